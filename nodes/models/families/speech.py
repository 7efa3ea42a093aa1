"""How each family writes calls, for the grammar: what its ``read`` takes for a call is let through only whole,
with the name of a bound tool and arguments that fit.

Where a marker ends a call even within a text, no text holds it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..schema_grammar import SchemaGrammar, schema_grammar
from ..schema_objects import KEYWORDS, OBJECT, XML, Frame
from . import deepseekv3, gptoss, hermes, lfm2, llama3, mistral, qwen35
from .tags import (
    SPACE,
    Blocks,
    Calls,
    Choice,
    Format,
    Speech,
    Tag,
    ToolForm,
    any_text,
    constant,
    either,
    many,
    regex,
    sequence,
    tagged,
)

LINE = regex(r"\n?")


def _ebnf(grammar: SchemaGrammar) -> Format:
    return {"type": "grammar", "grammar": grammar.ebnf}


def _call_schema(tools: Sequence[ToolForm], key: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of ``{"name": …, key: {…}}`` for any of ``tools``; ``more`` are properties that may follow."""
    calls = []
    for place, tool in enumerate(tools):
        properties = {"name": {"const": tool.name}, key: _moved(tool.parameters, f"#/$defs/{place}"), **more}
        calls.append({"properties": properties, "required": ["name", key], "additionalProperties": False})
    return {"anyOf": calls, "$defs": {str(place): tool.parameters for place, tool in enumerate(tools)}}


def _moved(schema: Any, root: str) -> Any:
    """``schema`` with its references pointing to where it now stands."""
    if isinstance(schema, Mapping):
        return {
            key: root + value[1:] if key == "$ref" and str(value).startswith("#") else _moved(value, root)
            for key, value in schema.items()
        }
    return [_moved(item, root) for item in schema] if isinstance(schema, list) else schema


def _each(
    tools: Sequence[ToolForm], frame: Frame | None, banned: Sequence[str], begin: Callable[[str], str], end: str
) -> Calls:
    """One call, written as the tool's beginning, its arguments, and ``end``."""
    made = [(begin(tool.name), schema_grammar(tool.parameters, frame=frame, banned=banned)) for tool in tools]
    formats = [sequence(constant(start), _ebnf(grammar), constant(end)) for start, grammar in made]
    least = sorted((start + grammar.least + end for start, grammar in made), key=len)
    hints = sorted({hint for _, grammar in made for hint in grammar.hints}, key=lambda hint: (len(hint), hint))
    begun = tuple(text for _, grammar in made for text in grammar.begun)
    return Calls(either(*formats), least[0], (*least[1:], end, *hints), begun)


def _hermes(tools: Sequence[ToolForm], one: bool) -> Calls:
    made = schema_grammar(_call_schema(tools, "arguments", {}))
    return Calls(sequence(LINE, _ebnf(made), LINE), made.least, made.hints, made.begun)


def _qwen35(tools: Sequence[ToolForm], one: bool) -> Calls:
    banned = ("</parameter>", "</function>", "</tool_call>")
    call = _each(tools, XML, banned, lambda name: f"<function={name}>\n", "</function>")
    return replace(call, format=sequence(LINE, call.format, LINE), hints=("\n</parameter>\n", *call.hints))


def _lfm2(tools: Sequence[ToolForm], one: bool) -> Calls:
    call = _each(tools, KEYWORDS, (lfm2.OPEN, lfm2.CLOSE), lambda name: f"{name}(", ")")
    more = many(sequence(constant(","), regex(" ?"), call.format), least=0)
    listed = sequence(constant("["), call.format, *([] if one else [more]), constant("]"))
    return Calls(listed, f"[{call.least}]", ("]", call.least, *call.hints), call.begun)


def _mistral(tools: Sequence[ToolForm], one: bool) -> Calls:
    return _each(tools, None, (mistral.CALL,), lambda name: f"{name}{mistral.ARGS}", "")


def _mistral_list(tools: Sequence[ToolForm], one: bool) -> Calls:
    call = _call_schema(tools, "arguments", {"id": {"type": "string", "pattern": "^[A-Za-z0-9]{9}$"}})
    shared = call.pop("$defs")
    made = schema_grammar(
        {"type": "array", "items": call, "minItems": 1, "$defs": shared, **({"maxItems": 1} if one else {})},
        banned=(mistral.CALL,),
    )
    return Calls(_ebnf(made), made.least, made.hints, made.begun)


def _deepseek(tools: Sequence[ToolForm], one: bool, *, fenced: bool) -> Calls:
    begin, end, separator = deepseekv3.CALL, deepseekv3.CALL_END, deepseekv3.SEPARATOR
    prefix, infix, fence = (f"function{separator}", "\n```json\n", "\n```") if fenced else ("", separator, "")
    call = _each(tools, None, ("<｜tool▁",), lambda name: begin + prefix + name + infix, fence + end)
    again = sequence(call.format, LINE)
    return replace(call, format=again if one else many(again, least=1))


def _llama3(tools: Sequence[ToolForm], one: bool) -> Calls:
    made = schema_grammar(_call_schema(tools, "parameters", {}), frame=OBJECT)
    return Calls(sequence(SPACE, _ebnf(made), SPACE), made.least, made.hints, made.begun)


def _no_calls() -> tuple[Format, ...]:
    """What a brace may open in a text of Llama's: an object that is no call, or something that is no JSON."""
    plain = schema_grammar(
        {"properties": {"parameters": False, "arguments": False}, "additionalProperties": True}, frame=OBJECT
    )
    no_json = regex(r'[^"<\s{}\[\]\-+.0-9tfnNI]')  # nor the beginning of a marker
    return tagged("{", sequence(SPACE, _ebnf(plain), SPACE), "}"), tagged("{", no_json, "")


@dataclass(frozen=True, slots=True)
class Harmony:
    """gpt-oss: a row of messages, the last of which is the answer or a call."""

    def thinks(self, opening: str) -> bool:
        """Whether the header of the first message is written already."""
        return opening.rfind(gptoss.CHANNEL) > opening.rfind(gptoss.START)

    def tag(self, tools: Sequence[ToolForm], choice: Choice, *, thinks: bool) -> Tag:
        """The grammar of an answer."""
        tags = (gptoss.START, gptoss.CHANNEL, gptoss.CONSTRAIN, gptoss.MESSAGE, gptoss.END, "<|call|>", "<|return|>")
        text, following = any_text(*tags), f"{gptoss.END}{gptoss.START}assistant"
        header = f"{gptoss.CHANNEL}%s{gptoss.MESSAGE}"
        before = either(*(tagged(header % channel, text, following) for channel in ("analysis", "commentary")))
        final, hints = sequence(constant(header % "final"), text), [header % "final"]
        last, begun = final, ()
        if tools and choice != "none":
            styles = [
                f" to=functions.%s{header % 'commentary json'}",
                header % f"commentary to=functions.%s {gptoss.CONSTRAIN}json",
                header % "commentary to=functions.%s",
            ]
            calls = [_each(tools, None, tags, lambda name, style=style: style % name, "") for style in styles]
            call = either(*(each.format for each in calls))
            last = sequence(call, many(sequence(constant(following), call), least=0)) if choice != "one" else call
            last = either(last, final) if choice == "auto" else last
            hints = [calls[-1].least, *calls[-1].hints, *(hints if choice == "auto" else [])]
            begun = calls[-1].begun
        hints = [following + hints[0], *hints]
        return Tag(sequence(many(before, least=0), last), tuple(hints), begun)


@dataclass(frozen=True, slots=True)
class ReactText:
    """ReAct as plain text: a thought, then actions or the final answer."""

    def thinks(self, opening: str) -> bool:
        """Every answer begins with a thought."""
        return True

    def tag(self, tools: Sequence[ToolForm], choice: Choice, *, thinks: bool) -> Tag:
        """The grammar of an answer."""
        ends = ("\nObservation:", "\nQuestion:")
        thought, said = any_text("\nAction", "\nFinal Answer:", *ends), any_text(*ends)
        final = sequence(constant("\nFinal Answer:"), said, either(constant(""), constant(ends[1])))
        if not tools or choice == "none":
            return Tag(sequence(thought, either(constant(""), final)), ())
        call = _each(tools, None, (), lambda name: f"\nAction: {name}\nAction Input: ", "")
        calls = call.format if choice == "one" else many(call.format, least=1)
        acts = sequence(calls, either(constant(""), constant(ends[0])))
        last = either(constant(""), final, acts) if choice == "auto" else acts
        return Tag(sequence(thought, last), (call.least, *call.hints), call.begun)


HERMES = Blocks(hermes.OPEN, hermes.CLOSE, _hermes)
SPEECH: Mapping[str, Speech] = {
    "hermes": HERMES,
    "qwen3": HERMES,
    "qwen3.5": Blocks(qwen35.OPEN, qwen35.CLOSE, _qwen35),
    "lfm2": Blocks(lfm2.OPEN, lfm2.CLOSE, _lfm2),
    "llama3": Blocks("{", "}", _llama3, (llama3.PYTHON,), between=r"[ \n]{0,4};?[ \n]{0,4}", besides=_no_calls()),
    "mistral": Blocks(mistral.CALL, "", _mistral, (mistral.ARGS,), (mistral.THINK, mistral.THOUGHT)),
    "mistral-list": Blocks(mistral.CALL, "", _mistral_list, (), (mistral.THINK, mistral.THOUGHT)),
    "deepseek-v3": Blocks(deepseekv3.CALLS, deepseekv3.CALLS_END, partial(_deepseek, fenced=True), ("<｜tool▁",)),
    "deepseek-v3.1": Blocks(deepseekv3.CALLS, deepseekv3.CALLS_END, partial(_deepseek, fenced=False), ("<｜tool▁",)),
    "gpt-oss": Harmony(),
    "react-text": ReactText(),
}
"""By the family's name."""
