"""Configs of recipes: read from TOML and flags, checked, and written as TOML that reads back equal.

A config is a frozen dataclass whose fields are ``Annotated[type, "help text", …]``; what follows the help
text are limits that pydantic checks. A field may be a dataclass of its own (``lora``, ``run``): a table in TOML.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from ...errors import BadConfig

Config = TypeVar("Config")
NOTHING = "none"
"""How TOML and flags write None, which TOML has no word for."""
UNPREFIXED = ("run",)
"""Tables whose flags carry their own names: ``--max-minutes``, but ``--lora-rank``."""


@dataclass(frozen=True)
class Setting:
    """One value of a config."""

    path: tuple[str, ...]
    """Its name, or its table and its name."""
    type: Any
    """With its limits, as pydantic reads it."""
    help: str
    default: Any
    """``MISSING`` where one must be given."""

    @property
    def flag(self) -> str:
        """Its name on the command line, with underscores."""
        return "_".join(self.path[1:] if self.path[0] in UNPREFIXED else self.path)


def settings_of(cls: type) -> list[Setting]:
    """All values of the config class ``cls``, in order; those of tables come where their table stands."""
    return list(_settings(cls, (), {}))


def load_config(cls: type[Config], toml: Path | None = None, flags: Mapping[str, Any] | None = None) -> Config:
    """A config from a file, where there is one, with ``flags`` (by ``Setting.flag``) in place of what it says.

    Raises:
        BadConfig: a name that ``cls`` does not have, a value of the wrong kind, or one that must be given is not.
    """
    values = given_values(cls, toml, flags)
    for setting in settings_of(cls):
        if setting.default is MISSING and _value_at(values, setting.path) is MISSING:
            name = ".".join(setting.path)
            raise BadConfig(f"{name} is not given; say --{setting.flag.replace('_', '-')}, or {name} = … in the file")
    return _made(cls, values)


def given_values(cls: type, toml: Path | None, flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the file and the flags say, in the shape of the file, each value checked.

    Raises:
        BadConfig: the file cannot be read, a name that ``cls`` does not have, or a value of the wrong kind.
    """
    values = {} if toml is None else _read(toml)
    known = settings_of(cls)
    _refuse_unknown(values, known, str(toml))
    by_flag = {setting.flag: setting for setting in known}
    for flag, value in (flags or {}).items():
        if flag not in by_flag:
            raise BadConfig(f"{cls.__name__} has no setting {flag!r}{_nearest(flag, by_flag)}")
        *table, name = by_flag[flag].path
        place = values
        for part in table:
            place = place.setdefault(part, {})
        place[name] = value
    return {name: _checked(name, value, hint) for name, value, hint in _with_types(cls, values)}


def to_toml(config: Any) -> str:
    """``config`` as TOML with its help texts; ``load_config`` reads an equal one from it."""
    return write_toml(type(config), _plain(config))


def write_toml(cls: type, values: Mapping[str, Any]) -> str:
    """TOML of the config class ``cls``: ``values`` where given, else defaults; what is missing stands as a comment."""
    import tomli_w

    lines: list[str] = []
    table: tuple[str, ...] = ()
    told = {one.path: _value_at(values, one.path) for one in settings_of(cls)}
    told = {one.path: one.default if told[one.path] is MISSING else told[one.path] for one in settings_of(cls)}
    tables_last = sorted(settings_of(cls), key=lambda one: (len(one.path) > 1, isinstance(told[one.path], Mapping)))
    for setting in tables_last:
        if setting.path[:-1] != table:
            table = setting.path[:-1]
            lines.append(f"\n[{'.'.join(table)}]")
        value = told[setting.path]
        if setting.help:
            lines.append(f"# {setting.help}")
        if value is MISSING:
            lines.append(f"# {setting.path[-1]} = must be given")
        else:
            lines.append(tomli_w.dumps({setting.path[-1]: _word(value)}).rstrip())
    return "\n".join(lines) + "\n"


def plain_values(config: Any) -> dict[str, Any]:
    """All values of ``config`` by their names in TOML: ``learning_rate``, ``lora.rank``."""
    values = _plain(config)
    return {".".join(setting.path): _value_at(values, setting.path) for setting in settings_of(type(config))}


def _settings(cls: type, table: tuple[str, ...], defaults: Mapping[str, Any]) -> Iterator[Setting]:
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        default = defaults.get(field.name, _default(field))
        hint = hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            inner = {one.name: getattr(default, one.name) for one in fields(hint)} if default is not MISSING else {}
            yield from _settings(hint, (*table, field.name), inner)
            continue
        yield Setting((*table, field.name), hint, _help(hint), default)


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _read(toml: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(toml.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadConfig(
            f"there is no file {toml}; `threadmill train sft --print-config > {toml}` writes one to edit"
        ) from None
    except (OSError, ValueError) as error:
        advice = "`threadmill train sft --print-config` shows how one looks"
        raise BadConfig(f"{toml} cannot be read as TOML: {error}; {advice}") from error


def _refuse_unknown(values: Mapping[str, Any], known: list[Setting], place: str) -> None:
    names = {setting.path[0]: setting for setting in known}
    tables = {setting.path[0] for setting in known if len(setting.path) > 1}
    for name, value in values.items():
        if name not in names:
            everywhere = {".".join(setting.path): setting for setting in known} | {s.path[-1]: s for s in known}
            raise BadConfig(f"{place} sets {name!r}, which is no setting{_nearest(name, everywhere)}")
        if name in tables:
            if not isinstance(value, Mapping):
                raise BadConfig(
                    f"{place}: {name} = {value!r}, but it is a table; write [{name}] and its settings below"
                )
            _refuse_unknown(
                value,
                [Setting(s.path[1:], s.type, s.help, s.default) for s in known if s.path[0] == name],
                f"{place}, [{name}]",
            )


def _nearest(name: str, known: Mapping[str, Setting]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {'.'.join(known[near[0]].path)}?"
    return f"; known are {', '.join(sorted({'.'.join(setting.path) for setting in known.values()}))}"


def _with_types(cls: type, values: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    hints = get_type_hints(cls, include_extras=True)
    yield from ((name, value, hints[name]) for name, value in values.items())


def _checked(name: str, value: Any, hint: Any) -> Any:
    """``value`` as the type ``hint`` has it; a table is checked value by value, so that the message can name one."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    if is_dataclass(hint):
        return {inner: _checked(f"{name}.{inner}", one, kind) for inner, one, kind in _with_types(hint, value)}  # pyright: ignore[reportArgumentType]
    if value == NOTHING and type(None) in _members(hint):
        return None
    if isinstance(value, bool) and hint is not Any and bool not in _kinds(hint):  # it would pass for 1 or 0
        raise BadConfig(f"{name} = {str(value).lower()}: it should not be true or false. {_help(hint)}".rstrip())
    try:
        return TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Input ")
        raise BadConfig(f"{name} = {value!r}: it {problem}. {_help(hint)}".rstrip()) from error


def _made(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """The config of checked values; a table's missing ones are those of the field's default."""
    found = dict(values)
    for field in fields(cls):  # pyright: ignore[reportArgumentType]
        table = values.get(field.name)
        default = _default(field)
        if is_dataclass(default) and not isinstance(default, type) and isinstance(table, Mapping):
            found[field.name] = _replaced(default, table)
    return cls(**found)


def _replaced(default: Any, values: Mapping[str, Any]) -> Any:
    inner = {name: getattr(default, name) for name in values}
    tables = {name: _replaced(inner[name], one) for name, one in values.items() if is_dataclass(inner[name])}
    return replace(default, **{**values, **tables})


def _members(hint: Any) -> tuple[Any, ...]:
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_args(inner)


def _kinds(hint: Any) -> tuple[Any, ...]:
    return _members(hint) if type(None) in _members(hint) else (get_args(hint)[:1] or (hint,))


def _help(hint: Any) -> str:
    notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((note for note in notes if isinstance(note, str)), "")


def _value_at(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    here: Any = values
    for part in path:
        if not isinstance(here, Mapping) or part not in here:
            return MISSING
        here = here[part]
    return here


def _plain(config: Any) -> dict[str, Any]:
    found = {field.name: getattr(config, field.name) for field in fields(config)}
    return {name: _plain(value) if is_dataclass(value) else value for name, value in found.items()}


def _word(value: Any) -> Any:
    if value is None:
        return NOTHING
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_word(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _word(one) for name, one in value.items()}
    return value
