"""A model that tells its tokens: ``invoke`` is exact whoever listens, and nothing is shown twice."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import UsageMetadata
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from threadmill.nodes.models.families.family import Family, Said, SpokenCall, read_calls
from threadmill.nodes.models.streaming import SpokenChunk, Teller
from threadmill.nodes.models.telling import TellingChatModel

PIECES = ["Let ", "me see.", "<call>", "look ", '{"id"', ": 1}", "</call>", "<call>", "look ", '{"id": 2']


def read(opening: str, text: str) -> Said:
    """``text<call>name {"json": 1}</call><call>…``, calls last."""
    content, *calls = text.split("<call>")
    return Said(content.strip(), "", tuple(spoken(raw) for raw in calls))


def spoken(raw: str) -> SpokenCall:
    name, space, args = raw.removesuffix("</call>").partition(" ")
    return SpokenCall(name if space else None, args, raw, closed=raw.endswith("</call>"))


FAMILY = Family("tiny", ("<call>", "</call>"), read, write=lambda messages: [])


class Toy(TellingChatModel):
    """Says its pieces."""

    pieces: list[str]
    log: list[str]

    @property
    def _llm_type(self) -> str:
        return "toy"

    def _tell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> Generator[SpokenChunk]:
        teller, text = Teller(FAMILY, stop=stop or ()), ""
        self.log.append("live" if live else "quiet")
        try:
            for piece in self.pieces:
                text += piece
                if live:
                    yield from teller.tell(text)
            yield from teller.finish(text, self.message(teller, text))
        finally:
            self.log.append("closed")

    async def _atell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> AsyncGenerator[SpokenChunk]:
        for chunk in self._tell(messages, stop, live=live, **settings):
            await asyncio.sleep(0)
            yield chunk

    def message(self, teller: Teller, text: str) -> AIMessage:
        said = read("", text)
        calls, broken = read_calls(said, teller.id_of)
        return AIMessage(
            content=said.content,
            tool_calls=calls,
            invalid_tool_calls=broken,
            usage_metadata=UsageMetadata(input_tokens=1, output_tokens=2, total_tokens=3),
            response_metadata={"trace": {"version": "toy@0001"}},
        )


def toy() -> Toy:
    return Toy(pieces=PIECES, log=[])


def graph(model: Toy) -> Any:
    def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def athink(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    built = StateGraph(MessagesState)
    built.add_node("think", RunnableLambda(think, athink))
    built.add_edge(START, "think")
    built.add_edge("think", END)
    return built.compile()


def check(message: Any) -> None:
    assert type(message) is AIMessage
    assert message.content == "Let me see."
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("look", {"id": 1})]
    assert [(call["args"], call["error"]) for call in message.invalid_tool_calls] == [
        ('look {"id": 2', "the call is not closed")
    ]
    assert message.usage_metadata == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    assert message.response_metadata == {"trace": {"version": "toy@0001"}}


def test_nobody_listens_and_nothing_is_told() -> None:
    model = toy()
    check(model.invoke("hi"))
    check(asyncio.run(model.ainvoke("hi")))
    assert model.log == ["quiet", "closed"] * 2


def test_an_explicit_stream_sums_up_to_the_message() -> None:
    chunks = list(toy().stream("hi"))
    assert [chunk.content for chunk in chunks[:2]] == ["Let", " me see."]
    check(message_chunk_to_message(reduce(add, chunks)))
    assert len({chunk.id for chunk in chunks}) == 1

    async def stream() -> list[Any]:
        return [chunk async for chunk in toy().astream("hi")]

    check(message_chunk_to_message(reduce(add, asyncio.run(stream()))))


def test_a_caller_who_gives_up_closes_the_answer() -> None:
    model = toy()
    stream = model.stream("hi")
    next(stream)
    stream.close()
    assert model.log == ["live", "closed"]


def test_a_graph_streams_tokens_and_keeps_the_exact_message() -> None:
    model = toy()
    heard: list[Any] = []
    final: Any = None
    for mode, item in graph(model).stream({"messages": "hi"}, stream_mode=["messages", "values"]):
        if mode == "messages":
            heard.append(item[0])
        else:
            final = item
    check(final["messages"][-1])
    assert {chunk.id for chunk in heard} == {final["messages"][-1].id}
    assert all(isinstance(chunk, SpokenChunk) for chunk in heard)  # the finished message is not shown once more
    check(message_chunk_to_message(reduce(add, heard)))
    assert model.log == ["live", "closed"]


def test_an_async_graph_does_too() -> None:
    async def run() -> tuple[list[Any], Any]:
        heard, final = [], None
        async for mode, item in graph(toy()).astream({"messages": "hi"}, stream_mode=["messages", "values"]):
            if mode == "messages":
                heard.append(item[0])
            else:
                final = item
        return heard, final

    heard, final = asyncio.run(run())
    check(final["messages"][-1])
    assert {chunk.id for chunk in heard} == {final["messages"][-1].id}
    check(message_chunk_to_message(reduce(add, heard)))


def test_events_show_each_token_once_and_end_with_the_exact_message() -> None:
    async def run() -> list[Any]:
        return [event async for event in graph(toy()).astream_events({"messages": "hi"}, version="v2")]

    events = asyncio.run(run())
    told = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    (ended,) = [event["data"]["output"] for event in events if event["event"] == "on_chat_model_end"]
    check(ended)
    check(message_chunk_to_message(reduce(add, told)))
    assert {chunk.id for chunk in told} == {ended.id}


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_the_newest_events_leave_the_message_exact() -> None:
    stream = graph(toy()).stream_events({"messages": "hi"}, version="v3")
    told = [list(message.text) for message in stream.messages]
    assert told == [["Let", " me see."]]
    check(stream.output["messages"][-1])


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_the_newest_events_of_the_model_alone_find_the_broken_call_too() -> None:
    output = toy().stream_events("hi", version="v3").output
    assert [(call["name"], call["args"]) for call in output.tool_calls] == [("look", {"id": 1})]
    assert [call["name"] for call in output.invalid_tool_calls] == ["look"]
