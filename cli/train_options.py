"""Options of ``threadmill train``: one for each setting of a recipe's config, made from its type and help text."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

if TYPE_CHECKING:
    from ..training.recipes.config import Setting

NAMES = {bool: "", int: "INTEGER", float: "NUMBER", str: "TEXT"}


def with_settings(command: Callable[..., None], config: type, help: Mapping[str, str]) -> Callable[..., None]:
    """``command`` with an option for each setting of ``config``, which it gets as one mapping ``flags``.

    Options that were not given are not in it. They arrive as texts: the config checks them, wherever they come from.
    ``help`` replaces texts by the names of settings.
    """
    from ..training.recipes.config import settings_of

    settings = settings_of(config)
    own = [parameter for name, parameter in _own(command).items() if name != "flags"]

    def run(**options: Any) -> None:
        flags = {setting.flag: options.pop(setting.flag) for setting in settings}
        told = {one.flag: _given(flags[one.flag], one) for one in settings if flags[one.flag] is not None}
        command(flags=told, **options)

    made = [
        Parameter(one.flag, Parameter.KEYWORD_ONLY, default=None, annotation=_option(one, help)) for one in settings
    ]
    run.__signature__ = Signature([*made, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*made, *own)}
    run.__doc__ = command.__doc__
    return run


def _own(command: Callable[..., None]) -> dict[str, Parameter]:
    from inspect import signature
    from typing import get_type_hints

    hints = get_type_hints(command, include_extras=True)
    return {
        name: parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, parameter in signature(command).parameters.items()
    }


def _option(setting: "Setting", help: Mapping[str, str]) -> Any:
    """How typer is told about a setting: a switch, a text that may be repeated, or a text."""
    flag = f"--{setting.flag.replace('_', '-')}"
    kinds = [kind for kind in _members(setting.type) if kind is not type(None)]
    panel = setting.path[0] if len(setting.path) > 1 else None
    text = f"{help.get(setting.flag, setting.help)}{_shown(setting.default)}".replace("[", "\\[")  # no markup of rich
    told: Any = {"help": text, "show_default": False, "rich_help_panel": panel}
    if kinds == [bool]:
        names = (flag, f"--no-{flag[2:]}")
        return Annotated[bool | None, typer.Option(*names, **told)]
    if get_origin(kinds[0]) in (tuple, list) or _is_table(kinds[0]):
        metavar = "NAME=VALUE" if _is_table(kinds[0]) else "|".join(map(str, get_args(_item(kinds[0])))) or "TEXT"
        return Annotated[list[str] | None, typer.Option(flag, metavar=metavar, **told)]
    return Annotated[str | None, typer.Option(flag, metavar="|".join(map(_metavar, kinds)), **told)]


def _members(hint: Any) -> tuple[Any, ...]:
    """The types that a value may have, without limits and help text."""
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_args(inner) if type(None) in get_args(inner) else (inner,)


def _item(kind: Any) -> Any:
    return _members(get_args(kind)[0])[0]


def _is_table(kind: Any) -> bool:
    return isinstance(get_origin(kind) or kind, type) and issubclass(get_origin(kind) or kind, Mapping)


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return NAMES.get(kind, "PATH" if getattr(kind, "__name__", "") == "Path" else "TEXT")


def _shown(default: Any) -> str:
    if default is MISSING or default in (None, False, (), {}, ""):
        return ""
    return f" [default: {default}]"


def _given(value: Any, setting: "Setting") -> Any:
    """What was given, as a config reads it: texts between commas are several, ``NAME=VALUE`` a table."""
    if not isinstance(value, list):
        return value
    parts = [part.strip() for text in value for part in text.split(",") if part.strip()]
    if parts == ["none"]:
        parts = []
    return dict(map(_entry, parts)) if _is_table(_members(setting.type)[0]) else parts


def _entry(text: str) -> tuple[str, Any]:
    """A name and what TOML makes of its value, or the text where that is no TOML."""
    import tomllib

    name, sign, value = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()
