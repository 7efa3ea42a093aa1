"""Every way to ask a local model gives the same message; who gives up makes room."""

import asyncio
import time
from functools import reduce
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from threadmill.errors import BadModelSpec, QueueFull, UnknownTool
from threadmill.nodes.models.call import tool_named
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.trace import read_trace


@tool
def look(order: str) -> str:
    """Look at an order."""
    return order


@pytest.fixture
def model(tiny_model: Any, tiny_tokenizer: Any) -> Any:
    """A model whose answers have at most 12 tokens."""
    chat = LocalChatModel.from_model(tiny_model, tiny_tokenizer, version="t@0001", max_new_tokens=12)
    yield chat
    chat.close()


def told(message: Any) -> tuple[Any, ...]:
    """What must be the same however it was asked for."""
    return message.text, message.tool_calls, message.invalid_tool_calls, message.response_metadata["trace"]


def test_one_seed_gives_one_answer_however_it_is_asked_for(model: Any) -> None:
    async def both() -> tuple[AIMessage, AIMessageChunk]:
        answer = await model.ainvoke("Where is O123?", seed=7)
        chunks = [chunk async for chunk in model.astream("Where is O123?", seed=7)]
        return answer, reduce(lambda a, b: a + b, chunks)

    plain = model.invoke("Where is O123?", seed=7)
    streamed = reduce(lambda a, b: a + b, model.stream("Where is O123?", seed=7))
    asynchronous, streamed_too = asyncio.run(both())
    (batched,) = model.batch(["Where is O123?"], seed=7)
    for other in (streamed, asynchronous, streamed_too, batched):
        assert told(other) == told(plain)
    assert model.invoke("Where is O123?", seed=8).text != plain.text


def test_text_arrives_while_it_is_written(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    work = model.voice.decoder.work  # who listens slowly hears several tokens at once
    monkeypatch.setattr(model.voice.decoder, "work", lambda: time.sleep(0.02) or work())
    chunks = list(model.stream("Where is O123?", seed=7))
    texts = [chunk.text for chunk in chunks if chunk.text]
    assert len(texts) >= 2
    assert "".join(texts).strip() == model.invoke("Where is O123?", seed=7).text


def test_sixty_four_are_asked_at_once_and_decoded_together(model: Any) -> None:
    async def all_at_once() -> list[AIMessage]:
        return await asyncio.gather(*(model.ainvoke(f"{i}?", seed=i) for i in range(64)))

    steps = []
    work = model.voice.decoder.work
    model.voice.decoder.work = lambda: work() or steps.append(model.voice.decoder.rows)
    answers = asyncio.run(all_at_once())
    assert max(steps) > 16
    steps.clear()
    batched = model.batch([f"{i}?" for i in range(64)])
    assert max(steps) > 16  # they arrive one after the other
    assert len(batched) == 64
    assert [answer.text for answer in answers[:3]] == [model.invoke(f"{i}?", seed=i).text for i in range(3)]


def test_a_cancelled_task_frees_its_row(tiny_model: Any, tiny_tokenizer: Any) -> None:
    tiny_model.config.max_position_embeddings = 10**9
    tokenizer, tokenizer.eos_token = tiny_tokenizer, tiny_tokenizer.eos_token
    model = LocalChatModel.from_model(tiny_model, tokenizer, version="t@0001", max_new_tokens=10**8)
    model.voice.decoder.end_ids = frozenset()  # it never stops by itself

    async def give_up() -> None:
        task = asyncio.create_task(model.ainvoke("Count."))
        while model.voice.decoder.rows == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    stream = model.stream("Count.")
    next(stream)
    stream.close()
    began = time.monotonic()
    while model.voice.decoder.rows and time.monotonic() - began < 10:
        time.sleep(0.01)
    assert model.voice.decoder.rows == 0
    model.close()


def test_a_stop_text_ends_the_answer_and_the_next_turn_continues_its_tokens(model: Any) -> None:
    whole = model.invoke("Where?", seed=3).text
    stop = whole[2:4]
    answer = model.invoke("Where?", seed=3, stop=[stop])
    assert answer.text == whole[: whole.index(stop)].strip()
    trace = read_trace(answer)
    assert trace is not None
    assert (trace.finish, trace.settings["stop"]) == ("stop_text", [stop])
    following = read_trace(model.invoke([HumanMessage("Where?"), answer, HumanMessage("And?")], seed=1))
    assert following is not None
    assert not following.restart
    tokenizer = model.voice.renderer.tokenizer
    assert tokenizer.decode(following.prompt_ids).startswith(model.voice.renderer.end_of_turn)


def test_settings_are_recorded_where_they_differ_from_the_usual(model: Any) -> None:
    trace = read_trace(model.invoke("?", seed=3, temperature=0.5, top_k=4, top_p=0.9, min_p=0.1, max_new_tokens=2))
    assert trace is not None
    assert trace.settings == {
        "temperature": 0.5,
        "seed": 3,
        "max_new_tokens": 2,
        "top_k": 4,
        "top_p": 0.9,
        "min_p": 0.1,
    }
    plain = read_trace(model.invoke("?", seed=3))
    assert plain is not None
    assert plain.settings == {"temperature": 1.0, "seed": 3, "max_new_tokens": 12}


def test_usage_says_what_was_kept_from_the_turn_before(model: Any) -> None:
    first = model.invoke([HumanMessage("Where is O123?")], seed=1)
    second = model.invoke([HumanMessage("Where is O123?"), first, HumanMessage("And O124?")], seed=1)
    assert second.usage_metadata["input_token_details"]["cache_read"] == first.usage_metadata["total_tokens"] - 1


def test_an_unknown_tool_cannot_be_chosen(model: Any) -> None:
    with pytest.raises(UnknownTool, match="the tool choice 'lock' is none of auto, required, none, look"):
        model.bind_tools([look], tool_choice="lock")


def test_a_full_queue_reaches_the_caller(tiny_folder: Any) -> None:
    model = LocalChatModel.from_folder(str(tiny_folder), version="t@0001", max_rows=1, max_waiting=0)
    with pytest.raises(QueueFull, match="larger max_waiting"):
        model.invoke("?")
    model.close()


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (None, "auto"),
        (True, "required"),
        ("any", "required"),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
        ({"type": "function", "function": {"name": "look"}}, "look"),
        ({"type": "tool", "name": "look"}, "look"),
    ],
)
def test_tool_choices_of_langchain_and_openai(choice: Any, meant: str) -> None:
    assert tool_named(choice, [{"function": {"name": "look"}}]) == meant


def test_a_tool_choice_that_means_nothing_is_named() -> None:
    with pytest.raises(BadModelSpec, match=r"the tool choice \{'of': 'look'\} is none of auto"):
        tool_named({"of": "look"}, [{"function": {"name": "look"}}])


def test_tokens_are_counted_by_the_models_own_tokenizer(model: Any) -> None:
    seen = model.invoke([HumanMessage("Where is O123?")]).usage_metadata["input_tokens"]
    assert model.get_num_tokens_from_messages([HumanMessage("Where is O123?")]) == seen
    assert model.get_num_tokens_from_messages([]) == 0
    ids = model.voice.renderer.tokenizer("Where is O123?", add_special_tokens=False)["input_ids"]
    assert model.get_num_tokens("Where is O123?") == len(ids)
    with_tools = model.get_num_tokens_from_messages([HumanMessage("Where is O123?")], tools=[look])
    assert with_tools > seen


def test_a_misspelt_setting_is_named(tiny_folder: Any, model: Any) -> None:
    with pytest.raises(ValueError, match="temprature"):
        LocalChatModel.from_folder(str(tiny_folder), version="t@0001", temprature=0.0)
    with pytest.raises(BadModelSpec, match=r"'temprature' is no setting of a local model; there are .*temperature"):
        model.invoke("?", temprature=0.0)
    assert model.invoke("?", max_tokens=2).usage_metadata["output_tokens"] <= 2  # the name that LangChain uses


def test_one_stop_may_stand_alone(model: Any) -> None:
    trace = read_trace(model.invoke("?", stop="END"))
    assert trace is not None
    assert trace.settings["stop"] == ["END"]


def test_langchains_usage_handler_knows_the_version(model: Any) -> None:
    usage = UsageMetadataCallbackHandler()
    model.invoke("?", config={"callbacks": [usage]})
    assert list(usage.usage_metadata) == ["t@0001"]
