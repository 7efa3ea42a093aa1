"""The grammar of each family's answers, as a structural tag of xgrammar.

What it lets through is what the family's ``read`` finds calls in: a call always stands there whole, with the name
of a bound tool and arguments that fit. Free text holds no marker that a reader could take for the beginning of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..schema_grammar import SchemaGrammar, schema_grammar
from ..schema_objects import KEYWORDS, XML
from . import thinking

Format = dict[str, Any]
Choice = Literal["auto", "none", "required", "one"]
"""``required``: one call or more; ``one``: exactly one."""


@dataclass(frozen=True, slots=True)
class ToolForm:
    """A tool as the grammar sees it."""

    name: str
    parameters: Mapping[str, Any] | bool


@dataclass(frozen=True, slots=True)
class Tag:
    """The grammar of an answer."""

    format: Format
    hints: tuple[str, ...]
    """Texts that lead to its end: they close thinking, or write a whole call."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a family speaks. Calls stand in blocks that have a beginning and an end."""

    open: str
    close: str
    calls: Callable[[Sequence[ToolForm], bool], tuple[Format, tuple[str, ...]]]
    """From the tools, and whether there must be no more than one call: what stands between the two, and hints."""
    banned: tuple[str, ...] = ()
    """Markers, besides these, that free text must not hold."""
    think: tuple[str, str] = (thinking.OPEN, thinking.CLOSE)
    several: bool = True
    """Whether one block may follow another."""

    def tag(self, tools: Sequence[ToolForm], choice: Choice, opening: str) -> Tag:
        """The grammar of an answer to a prompt that ends in ``opening``."""
        begin, end = self.think
        banned = (*self.think, self.close, *self.banned)
        if choice == "none" or not tools:
            answer, hints = any_text(self.open, *banned), ()
        else:
            inner, hints = self.calls(tools, choice == "one")
            block = tagged(self.open, inner, self.close)
            hints = (self.close, f"{self.open}{hints[0]}{self.close}", *hints)
            if choice == "auto":
                answer = {"type": "triggered_tags", "triggers": [self.open], "tags": [block], "excludes": [*banned]}
            else:
                once = sequence(block, SPACE)
                answer = sequence(SPACE, {"type": "plus", "content": once} if choice == "required" else once)
                answer = answer if self.several else sequence(SPACE, once)
        if opening.rfind(begin) > opening.rfind(end):
            return Tag(sequence(tagged("", any_text(), end), answer), (end, *hints))
        thought = sequence(SPACE, tagged(begin, any_text(), end), answer)
        return Tag({"type": "or", "elements": [thought, answer]}, (end, *hints))


def sequence(*elements: Format) -> Format:
    return {"type": "sequence", "elements": list(elements)}


def one_of(elements: Sequence[Format]) -> Format:
    return elements[0] if len(elements) == 1 else {"type": "or", "elements": list(elements)}


def constant(value: str) -> Format:
    return {"type": "const_string", "value": value}


def any_text(*banned: str) -> Format:
    return {"type": "any_text", "excludes": list(banned)}


def tagged(begin: str, content: Format, end: str) -> Format:
    return {"type": "tag", "begin": begin, "content": content, "end": end}


def ebnf(grammar: SchemaGrammar) -> Format:
    return {"type": "grammar", "grammar": grammar.ebnf}


SPACE: Format = {"type": "regex", "pattern": r"[ \n]{0,4}"}
LINE: Format = {"type": "regex", "pattern": r"\n?"}


def call_objects(tools: Sequence[ToolForm], key: str, banned: Sequence[str] = ()) -> SchemaGrammar:
    """The grammar of ``{"name": …, key: {…}}`` for any of ``tools``."""
    calls = []
    for place, tool in enumerate(tools):
        properties = {"name": {"const": tool.name}, key: _moved(tool.parameters, f"#/$defs/{place}")}
        calls.append({"properties": properties, "required": ["name", key], "additionalProperties": False})
    schema = {"anyOf": calls, "$defs": {str(place): tool.parameters for place, tool in enumerate(tools)}}
    return schema_grammar(schema, banned=banned)


def _moved(schema: Any, root: str) -> Any:
    """``schema`` with its references pointing to where it now stands."""
    if isinstance(schema, Mapping):
        return {
            key: root + value[1:] if key == "$ref" and str(value).startswith("#") else _moved(value, root)
            for key, value in schema.items()
        }
    return [_moved(item, root) for item in schema] if isinstance(schema, list) else schema


def _hermes(tools: Sequence[ToolForm], one: bool) -> tuple[Format, tuple[str, ...]]:
    calls = call_objects(tools, "arguments")
    return sequence(LINE, ebnf(calls), LINE), (calls.least, *calls.hints)


HERMES = Spoken("<tool_call>", "</tool_call>", _hermes)

SPOKEN: Mapping[str, Spoken] = {"hermes": HERMES, "qwen3": HERMES}
"""By the family's name."""
