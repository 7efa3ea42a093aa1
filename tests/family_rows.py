"""What the tests of every family do: aligned rows of text over mask, render and read again, read what still grows."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from threadmill.nodes.models.families.family import Family, Said, read_calls
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.streaming import settled
from threadmill.nodes.models.trace import Trace, write_trace

_LOOKS = [ToolCall(name="look", args={"id": f"O{i}"}, id=f"VvvODy9m{i}") for i in (1, 2)]
TWO_QUESTIONS: tuple[BaseMessage, ...] = (
    HumanMessage("Where are they?"),
    AIMessage("", tool_calls=_LOOKS, additional_kwargs={"reasoning_content": "Two."}),
    ToolMessage("sent", tool_call_id="VvvODy9m1", name="look"),
    ToolMessage("lost", tool_call_id="VvvODy9m2", name="look"),
    AIMessage("One is lost.", additional_kwargs={"reasoning_content": "Bad."}),
    HumanMessage("Oh."),
    AIMessage("Sorry."),
)
"""Three answers: with thinking and two calls, with thinking, and to another question."""


def rows_of(
    renderer: Renderer,
    messages: Sequence[BaseMessage],
    breaks: tuple[str, ...] = (),
    *,
    tools: Sequence[dict[str, Any]] | None = None,
) -> list[str]:
    """The training rows of a conversation, each as aligned rows: a line of text over a line with 1 where it is trained.

    Lines end with the lines of the text, shown as ``⏎``, where the mask changes, and behind the tokens ``breaks``.
    Only for tokens of whole characters.
    """
    return [_aligned(renderer, row.ids, row.mask(), breaks) for row in renderer.training_rows(messages, tools)]


def _aligned(renderer: Renderer, ids: Sequence[int], mask: Sequence[int], breaks: tuple[str, ...]) -> str:
    text = marks = ""
    lines: list[str] = []
    for place, (token, marked) in enumerate(zip(ids, mask, strict=True)):
        piece = renderer.tokenizer.decode([token], clean_up_tokenization_spaces=False)
        assert "\ufffd" not in piece, "a token holds part of a character"
        text += piece
        marks += str(marked) * len(piece)
        if piece.endswith("\n") or piece in breaks or place + 1 == len(ids) or mask[place + 1] != marked:
            lines += [text.replace("\n", "⏎"), marks]
            text = marks = ""
    return "\n".join(lines)


def converse(renderer: Renderer, talk: Sequence[BaseMessage]) -> list[bool]:
    """For every answer of ``talk``, sampled as it is rendered, whether its prompt is a restart.

    Whether or not, the prompt says what the template says.
    """
    told: list[BaseMessage] = []
    restarts: list[bool] = []
    for message in talk:
        if isinstance(message, AIMessage):
            prompt = renderer.prompt(told, None)
            assert renderer.tokenizer.decode(prompt.full_ids) == renderer.text(told, None, ask=True)
            restarts.append(prompt.restart)
            row = renderer.training_rows([*told, message])[-1]
            ids = row.ids[row.turns[-1].low : row.turns[-1].high]
            trace = Trace("v1", prompt.delta_ids, ids, (-1.0,) * len(ids), restart=prompt.restart, digest=prompt.digest)
            message = message.model_copy(update={"response_metadata": {"trace": write_trace(trace)}})
        told.append(message)
    return restarts


def say_again(renderer: Renderer, message: AIMessage) -> AIMessage:
    """The message rendered as an answer, and its tokens read again."""
    asked: list[BaseMessage] = [HumanMessage("Go on.")]
    (row,) = renderer.training_rows([*asked, message])
    (turn,) = row.turns
    given = renderer.tokenizer.decode(row.ids[: turn.low], clean_up_tokenization_spaces=False)
    opening = given.removeprefix(renderer.text(asked, None, ask=False))
    said = renderer.read(row.ids[turn.low : turn.high], opening)
    ids = [str(call["id"]) for call in message.tool_calls]
    calls, broken = read_calls(said, lambda place: ids[place] if place < len(ids) else "more")
    kept = {"reasoning_content": said.reasoning} if said.reasoning else {}
    return AIMessage(said.content, tool_calls=calls, invalid_tool_calls=broken, additional_kwargs=kept)


def messages(without: str, *, beside_calls: bool = True, most_calls: int = 3) -> st.SearchStrategy[AIMessage]:
    """Answers with text, thinking and calls; text and thinking have no characters of ``without``."""
    text = st.text(st.characters(codec="utf-8", exclude_characters=without), max_size=20).map(str.strip)

    def build(content: str, reasoning: str, spoken: list[tuple[str, dict[str, Any]]]) -> AIMessage:
        return AIMessage(
            content if beside_calls or not spoken else "",
            additional_kwargs={"reasoning_content": reasoning} if reasoning else {},
            tool_calls=[ToolCall(name=name, args=args, id=f"call{i:05}") for i, (name, args) in enumerate(spoken)],
        )

    names = st.text("abcxyz_-.09", min_size=1, max_size=12)
    return st.builds(build, text, text, st.lists(st.tuples(names, ARGS), max_size=most_calls))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ARGS = st.dictionaries(st.text(), _JSON, max_size=4)


def told(said: Said) -> tuple[str, str, dict[int, str]]:
    """What a listener has been told: text, thinking, and by its place each call with a name and no error."""
    calls = {place: f"{call.name} {call.args}" for place, call in enumerate(said.calls) if call.name and not call.error}
    return said.content, said.reasoning, calls


def assert_only_grows(family: Family, opening: str, text: str) -> None:
    """What is told of an answer that is still being written is never taken back, unless a call turns out broken.

    And that is never taken back.
    """
    before: tuple[str, str, dict[int, str]] = ("", "", {})
    broken: list[int] = []
    for end in range(1, len(text) + 1):
        part = settled(text[:end], family.markers, family.stop) if end < len(text) else text
        said = family.read(opening, part)
        now = told(said)
        assert now[0].startswith(before[0]), part
        assert now[1].startswith(before[1]), part
        for place, call in before[2].items():
            assert place < len(said.calls), part
            assert said.calls[place].error or now[2][place].startswith(call), part
        assert all(place < len(said.calls) and said.calls[place].error for place in broken), part
        broken = [place for place, call in enumerate(said.calls) if call.error]
        before = now
