"""Text ReAct on chat models: the thread looks as with native calls, and the model reads its own words again."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import Field
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import Slot
from threadmill.nodes.models.react_chat import NEITHER, ReactChatModel


@tool
def look(order: int) -> str:
    """Look at an order."""
    return f"{order} was sent"


class Texts(BaseChatModel):
    """Says one text after the other, stopped where it is told to stop, and keeps what it was asked."""

    texts: list[str]
    asked: list[list[BaseMessage]] = Field(default_factory=list)
    settings: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "texts"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, *args: Any, **kwargs: Any) -> ChatResult:
        assert kwargs.keys() <= {"temperature"}  # no tools or choices, of which it has no idea, and no seed
        self.asked.append(messages)
        self.settings.append(kwargs)
        text = self.texts[len(self.asked) - 1]
        for end in stop or ():
            text = text.partition(end)[0]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


class Streamed(Texts):
    """The same, letter by letter."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for letter in self._generate(*args, **kwargs).generations[0].text:
            yield ChatGenerationChunk(message=AIMessageChunk(content=letter))


def talk(inner: Texts, **settings: Any) -> list[BaseMessage]:
    slot = Slot.fixed("desk.think", ReactChatModel(inner=inner), "v1")
    graph = build_react(slot, [look], system="Be brief.", **settings).compile(checkpointer=InMemorySaver())
    run_thread(graph, "t", "Was 7 sent?")
    return graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]


ACTION = 'Thought: I look.\nAction: look\nAction Input: {"order": 7}'


BROKEN = [
    "Thought: Hm.\nAction: look",
    'Action: look\nAction Input: ```json\n{"order": 7}\n``` yes\n**Observation:** Lost.\nFinal Answer: Lost.',
]


def test_an_agent_acts_in_text() -> None:
    inner = Texts(texts=[ACTION + "\nObservation: never mind", "Thought: Good.\nFinal Answer: It was sent."])
    _, call, observation, answer = talk(inner)
    assert isinstance(call, AIMessage)
    assert [(one["name"], one["args"]) for one in call.tool_calls] == [("look", {"order": 7})]
    assert call.additional_kwargs == {"reasoning_content": "I look."}
    assert call.response_metadata["tokens"] == "none"
    assert observation.text == "7 was sent"
    assert (answer.text, answer.additional_kwargs) == ("It was sent.", {"reasoning_content": "Good."})
    system, *told = inner.asked[1]
    assert isinstance(system, SystemMessage)
    assert system.text.startswith("Be brief.\n\nThese are the tools:\n\nlook: Look at an order. Arguments: {")
    assert told == [HumanMessage("Was 7 sent?"), AIMessage(ACTION), HumanMessage("Observation: 7 was sent")]


def test_what_is_invented_behind_a_call_is_not_kept() -> None:
    inner = Texts(texts=[ACTION + "\nObservation: 7 is lost\nFinal Answer: Lost."])
    message = ReactChatModel(inner=inner, stops=False).bind_tools([look]).invoke("7?", temperature=0.5, seed=1)
    assert (message.text, message.response_metadata["react_text"]) == ("", ACTION)
    assert inner.settings == [{"temperature": 0.5}]


@pytest.mark.parametrize(
    "text",
    [
        '**Thought:** I look.\n**Action:** `look`\n**Action Input:** {"order": 7}',
        'action: look()\naction input:\n```json\n{"order": 7}\n```',
        'Sure!\n\n  Action: look\n  Action Input:\n{"order":\n 7}\n',
        'Action: look\nAction Input: ```json\n{"order": 7}\n```\nThat tells us.',
        '```\nAction: look\nAction Input: {"order": 7}\n```',
        'Action: look\nAction Input: `{"order": 7}`',
        ACTION.replace("Action", "**Action") + "\n**Observation:** 7 is lost\n**Final Answer:** Lost.",
        ACTION + "\nobservation: 7 is lost\nThought: So be it.",
    ],
)
def test_liberties_with_the_form_are_read(text: str) -> None:
    message = ReactChatModel(inner=Texts(texts=[text])).bind_tools([look]).invoke("Was 7 sent?")
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("look", {"order": 7})]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("It was sent, I guess.", f"the call could not be read: {NEITHER}"),
        ("Thought: Hm.\nAction: look", "the call could not be read: no Action Input"),
        ('Action: lok\nAction Input: {"order": 7}', "there is no tool 'lok'; did you mean look?"),
    ],
)
def test_what_cannot_be_read_goes_back_to_the_model(text: str, told: str) -> None:
    inner = Texts(texts=[text, "Final Answer: Sorry."])
    thread = talk(inner)
    assert thread[-1].text == "Sorry."
    assert thread[2].text.startswith(told)
    assert inner.asked[1][1:] == [
        HumanMessage("Was 7 sent?"),
        AIMessage(text),
        HumanMessage(f"Observation: {thread[2].text}"),
    ]


def test_a_final_answer_is_left_as_it_was_written() -> None:
    said = "Ask this:\n**Action:** none\nQuestion: Was 7 sent?\nthought: hardly"
    message = ReactChatModel(inner=Texts(texts=[f"**Final Answer:** {said}"])).bind_tools([look]).invoke("What now?")
    assert (message.text, message.tool_calls) == (said, [])


def test_images_are_shown_to_the_model_that_can_see_them() -> None:
    image: Any = {"type": "image", "base64": "iVBORw==", "mime_type": "image/png"}
    model = ReactChatModel(inner=(inner := Texts(texts=["Final Answer: A cat."])))
    call = AIMessage("", tool_calls=[{"name": "look", "args": {"order": 7}, "id": "c"}])
    seen: list[Any] = [{"type": "text", "text": "What is it?"}, image]
    results = [ToolMessage("sent", tool_call_id="c"), ToolMessage([image], tool_call_id="d")]
    model.bind_tools([look]).invoke([HumanMessage(seen), call, *results])
    assert [message.content for message in inner.asked[0][1::2]] == [
        seen,
        [*({"type": "text", "text": f"Observation: {text}"} for text in ("sent", "")), image],
    ]


def test_a_plan_is_words_and_no_call_is_read_in_it() -> None:
    inner = Texts(texts=["Look it up, then answer.", ACTION, "Final Answer: It was sent."])
    assert [m.text for m in talk(inner, first="plan") if isinstance(m, AIMessage)] == [
        "Look it up, then answer.",
        "",
        "It was sent.",
    ]
    assert "no Action" in inner.asked[0][0].text
    assert inner.asked[1][-1] == AIMessage("Look it up, then answer.")


def test_what_others_said_is_told_in_the_form() -> None:
    model = ReactChatModel(inner=(inner := Texts(texts=["Final Answer: Yes."])))
    call = AIMessage("I look.", tool_calls=[{"name": "look", "args": {"order": 7}, "id": "c"}])
    results = [ToolMessage("sent", tool_call_id="c"), ToolMessage("paid", tool_call_id="d")]
    model.bind_tools([look]).invoke([HumanMessage("Hi."), AIMessage("Ho."), HumanMessage("7?"), call, *results])
    assert inner.asked[0][1:] == [
        HumanMessage("Hi."),
        AIMessage("Final Answer: Ho."),
        HumanMessage("7?"),
        AIMessage(ACTION),
        HumanMessage("Observation: sent\nObservation: paid"),
    ]


@pytest.mark.parametrize(
    "text", [ACTION, "**Thought:** Good.\n**Final Answer:** It *was* sent.\nBye.", "Hm.", "", *BROKEN]
)
def test_chunks_sum_to_the_message(text: str) -> None:
    def model() -> Any:
        return ReactChatModel(inner=Streamed(texts=[text])).bind_tools([look])

    async def chunks() -> list[Any]:
        return [chunk async for chunk in model().astream("7?")]

    whole = model().invoke("7?")
    for parts in (list(model().stream("7?")), asyncio.run(chunks())):
        total: Any = parts[0]
        for part in parts[1:]:
            total = total + part
        assert (total.text, total.additional_kwargs) == (whole.text, whole.additional_kwargs)
        assert [(c["name"], c["args"]) for c in total.tool_calls] == [(c["name"], c["args"]) for c in whole.tool_calls]
        assert [c["error"] for c in total.invalid_tool_calls] == [c["error"] for c in whole.invalid_tool_calls]
    if text == ACTION:
        assert len(parts) > 5
