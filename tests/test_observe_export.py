"""Rows of a trimmed thread hold what the model saw when it answered: neither more nor less."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.errors import CannotWrite
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.budget import Budget
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.slot import Heard
from threadmill.training.branches import Branch, Outcome, render_trajectory
from threadmill.training.chats.openai import openai_record
from threadmill.training.trajectory import read_trajectory
from threadmill.training.views import prompt_before

THREAD: Any = {"configurable": {"thread_id": "t", "seed": 1}}


class WordModel(ScriptedModel):
    """A model whose tokens are words."""

    def count_tokens(self, messages: Sequence[BaseMessage], tools: Sequence[Any] = ()) -> int:
        return sum(len(message.text.split()) for message in messages)


def trimmed_thread(saw: list[str]) -> list[BaseMessage]:
    """A thread of four turns whose last two answers were given without the first two turns."""

    def reply(messages: list[BaseMessage]) -> AIMessage:
        saw.append("|".join(message.text for message in messages))
        return AIMessage(f"on {messages[-1].text}")

    slot = Slot.fixed("a.think", WordModel(replies=reply), "v1")
    graph = build_react(slot, [], system="Kind.", budget=Budget(tokens=7, trim_to=0.4)).compile(InMemorySaver())
    for number in (1, 2, 3, 4):
        run_thread(graph, "t", f"q{number}")
    return graph.get_state(THREAD).values["messages"]


def test_a_rendered_row_begins_anew_where_the_context_does(tiny_tokenizer: Any):
    saw: list[str] = []
    messages = trimmed_thread(saw)
    assert saw == ["Kind.|q1", "Kind.|q1|on q1|q2", "Kind.|q3", "Kind.|q3|on q3|q4"]

    renderer = Renderer(tiny_tokenizer)
    first, second = render_trajectory(messages, renderer)
    begin = [SystemMessage("Kind."), *messages[:4]], [SystemMessage("Kind."), *messages[4:]]
    for row, told in zip((first, second), begin, strict=True):
        assert tiny_tokenizer.decode(row.ids()) == renderer.text(told, None, ask=False)
    trained = [[span.message for span in row.spans if span.origin == "sampled"] for row in (first, second)]
    assert trained == [[messages[1].id, messages[3].id], [messages[5].id, messages[7].id]]


def test_what_an_answer_was_given_after_can_be_told_for_each():
    saw: list[str] = []
    messages = trimmed_thread(saw)
    places = (1, 3, 5, 7)
    assert ["|".join(m.text for m in prompt_before(messages[:at], messages[at])) for at in places] == saw


def test_an_answer_after_a_trim_is_the_only_one_of_its_row_that_is_trained(tiny_tokenizer: Any):
    """Where the kept turns were answered under another context, they are given."""
    noted = {"context": {"start": "h2"}}
    messages = [
        HumanMessage("q1", id="h1"),
        AIMessage("one", id="a1"),
        HumanMessage("q2", id="h2"),
        AIMessage("two", id="a2"),
        HumanMessage("q3", id="h3"),
        AIMessage("three", id="a3", response_metadata=noted),
    ]
    renderer = Renderer(tiny_tokenizer)
    rows = render_trajectory(messages, renderer)
    assert [[span.message for span in row.spans if span.message] for row in rows] == [["a1", "a2"], ["a3"]]
    assert tiny_tokenizer.decode(rows[1].ids()) == renderer.text(messages[2:], None, ask=False)


def test_answers_under_another_memory_are_in_a_row_of_their_own(tiny_tokenizer: Any):
    messages = [
        HumanMessage("q1"),
        AIMessage("one", id="a1", response_metadata={"system": "Likes tea."}),
        HumanMessage("q2"),
        AIMessage("two", id="a2", response_metadata={"system": "Likes milk."}),
    ]
    renderer = Renderer(tiny_tokenizer)
    rows = render_trajectory(messages, renderer)
    assert [tiny_tokenizer.decode(row.ids()) for row in rows] == [
        renderer.text([SystemMessage("Likes tea."), *messages[:2]], None, ask=False),
        renderer.text([SystemMessage("Likes milk."), *messages], None, ask=False),
    ]


def test_a_trimmed_thread_is_no_conversation_of_a_chat_format():
    branch = Branch("t", "c", None, tuple(trimmed_thread([])), "rendered", (), Outcome())
    with pytest.raises(CannotWrite, match="the context was trimmed on the way"):
        openai_record(branch)


def test_recorded_rows_are_the_ids_that_the_model_saw(tiny_model: Any, tiny_tokenizer: Any):
    from threadmill.nodes.models.local import LocalChatModel

    model = LocalChatModel.from_model(tiny_model, tiny_tokenizer, version="a.think@0001", max_new_tokens=6)
    slot = Slot.fixed("a.think", model, "a.think@0001")
    heard: list[tuple[int, ...]] = []

    def overhear(call: Heard) -> None:
        heard.append(model.voice.renderer.prompt(call.prompt, []).full_ids)

    slot.overhear = overhear
    graph = build_react(slot, [], budget=Budget(tokens=110)).compile(InMemorySaver())
    for number in range(4):
        run_thread(graph, "t", f"Where is order O12{number}?", configurable={"seed": 1})
    messages = graph.get_state(THREAD).values["messages"]
    model.close()

    rows = read_trajectory(messages)
    assert len(rows) == 2
    assert [len(ids) <= 110 for ids in heard] == [True] * 4
    saw = []
    for row in rows:
        for place, span in enumerate(row.spans):
            if span.origin == "sampled":
                saw.append(tuple(token for earlier in row.spans[:place] for token in earlier.tokens))
    assert saw == heard
