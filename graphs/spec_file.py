"""An ``AgentSpec`` as a TOML file: its keys are the record's fields, tables the records in them. Nothing is guessed.

A key that does not exist is an error that names the nearest one, and so is a value of another type.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import BadSpec
from ..nodes.approval import Approval, Rule
from ..nodes.limits import Limits
from .spec import KINDS, AgentSpec, default_of

_OFF = {"limits", "timeout_s", "max_chars"}
"""Fields that are on by default and None if they are ``false`` in the file: TOML has no null."""
_NOT_IN_FILES = {"folder"}


def load_spec(path: str | Path) -> AgentSpec:
    """The agent that the TOML file describes; its relative paths begin in its folder.

    Raises:
        BadSpec: with file and key.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSpec(f"the agent file {str(path)!r} cannot be read: {error}") from error
    return read_spec_text(text, str(path), str(file.parent))


def read_spec_text(text: str, source: str = "agent.toml", folder: str = ".") -> AgentSpec:
    """The agent that the TOML ``text`` describes; ``source`` is what errors call it.

    >>> spec = read_spec_text('name = "shop"\\ntools = ["calculator"]\\n[limits]\\ncalls = 5')
    >>> spec.name, spec.tools, spec.limits.calls
    ('shop', ('calculator',), 5)

    Raises:
        BadSpec: with file and key.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSpec(f"{source} is no TOML: {error}") from error
    _refuse_unknown(source, "", given, [one.name for one in fields(AgentSpec) if one.name not in _NOT_IN_FILES])
    if "name" not in given:
        raise BadSpec(f'{source} has no name; begin it with name = "shop"')
    if given.get("kind", "react") not in KINDS:
        near = get_close_matches(str(given["kind"]), KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(KINDS)}"
        raise BadSpec(f"{source}: kind is {given['kind']!r}; {hint}")
    for key in _OFF & given.keys():
        if given[key] is False:
            given[key] = None
    if isinstance(given.get("response"), str):
        given["response"] = _read_json(source, Path(folder) / given["response"])
    given |= {key: _record(source, key, kind, given[key]) for key, kind in _records().items() if given.get(key)}
    return _checked(source, "", AgentSpec, {**given, "folder": folder})


def spec_as_toml(spec: AgentSpec) -> str:
    """The TOML text of ``spec``; what is as it is by default is left out.

    Raises:
        BadSpec: it holds a Python object that no file can name.
    """
    import tomli_w

    told: dict[str, Any] = {}
    for one in fields(AgentSpec):
        value = getattr(spec, one.name)
        if one.name in _NOT_IN_FILES or (value == default_of(one.name) and one.name != "kind"):
            continue
        told[one.name] = _told(spec, one.name, value)
    ordered = dict(sorted(told.items(), key=lambda item: _is_table(item[1])))
    return tomli_w.dumps(ordered, multiline_strings=True)


def write_spec(spec: AgentSpec, path: str | Path) -> Path:
    """Write ``spec`` to a TOML file; relative paths in it are read from that file's folder again.

    Raises:
        BadSpec: it holds a Python object that no file can name.
    """
    file = Path(path)
    file.write_text(spec_as_toml(spec), encoding="utf-8")
    return file


def _records() -> dict[str, Any]:
    from ..nodes.budget import Budget
    from ..nodes.memory import Memory

    return {"approval": Approval, "limits": Limits, "budget": Budget, "memory": Memory}


def _record(source: str, key: str, kind: Any, table: Any) -> Any:
    if not isinstance(table, Mapping):
        raise BadSpec(f"{source}: {key} is {table!r}; write it as a table [{key}]")
    _refuse_unknown(source, key, table, [one.name for one in fields(kind) if one.name not in ("query", "summarise")])
    given = dict(table)
    if kind is Approval and "rules" in given:
        rules = given["rules"] if isinstance(given["rules"], list) else [given["rules"]]
        for place, rule in enumerate(rules):
            where = f"approval.rules[{place}]"
            if not isinstance(rule, Mapping) or "tool" not in rule:
                raise BadSpec(f"{source}: {where} names no tool; write [[approval.rules]] and tool = …")
            _refuse_unknown(source, where, rule, [one.name for one in fields(Rule)])
        given["rules"] = tuple(_checked(source, f"approval.rules[{n}]", Rule, rule) for n, rule in enumerate(rules))
    return _checked(source, key, kind, given)


def _checked(source: str, where: str, kind: Any, given: Mapping[str, Any]) -> Any:
    """``given`` as a ``kind``, its values of the types that the record says."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    hints = _hints(kind)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if is_dataclass(value):
            values[name] = value
            continue
        try:
            free = ConfigDict(arbitrary_types_allowed=True, strict=True)
            values[name] = TypeAdapter(hints[name], config=free).validate_python(_tupled(value))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join([part for part in (where, name) if part])
            raise BadSpec(f"{source}: {place} is {value!r}: {first['msg']}") from error
    try:
        return kind(**values)
    except ValueError as error:  # the record's own checks
        raise BadSpec(f"{source}: {where or 'the agent'}: {error}") from error


def _hints(kind: Any) -> dict[str, Any]:
    from typing import get_type_hints

    return get_type_hints(kind)


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _refuse_unknown(source: str, where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            place = f" in [{where}]" if where else ""
            raise BadSpec(f"{source} has an unknown key {key!r}{place}; {hint}")


def _read_json(source: str, file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSpec(f"{source}: the answer's schema {str(file)!r} cannot be read: {error}") from error


def _told(spec: AgentSpec, name: str, value: Any) -> Any:
    if value is None:
        return False
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        changed = {
            one.name: getattr(value, one.name)
            for one in fields(kind)
            if getattr(value, one.name) != (one.default if one.default_factory is MISSING else one.default_factory())
            or one.default is MISSING
        }
        return _told(spec, name, changed)
    if isinstance(value, Mapping):
        return {str(key): _told(spec, f"{name}.{key}", inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_told(spec, name, inner) for inner in value]
    if isinstance(value, str | int | float | bool):
        return value
    named = getattr(value, "name", None) or getattr(value, "__name__", None) or type(value).__name__
    raise BadSpec(
        f"agent {spec.name!r}: {name} holds {named}, a Python object, which no file can name; write its place instead, "
        "as in my_tools.py:look"
    )


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)
