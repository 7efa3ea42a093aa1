"""The endpoint's chat model against a real server: the same trace as a local model's, or none at all."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import ModelServer, scores, serving
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel
from threadmill.errors import EndpointFailed, UnknownTool
from threadmill.graphs import build_react
from threadmill.nodes import Slot
from threadmill.nodes.models.endpoint import EndpointChatModel
from threadmill.nodes.models.trace import EDIT_KEY, Trace, read_trace
from threadmill.training.trajectory import read_trajectory

LOOK = '<tool_call>{"name": "look", "arguments": {"order": "O123"}}</tool_call>'
CUT = '<tool_call>{"name": "look", "arguments": {"order": "O12}</tool_call>'


@tool
def look(order: str) -> str:
    """Look at an order."""
    return order


@pytest.fixture
def server(tiny_folder: Path) -> Iterator[ModelServer]:
    with serving(tiny_folder) as listening:
        yield listening


def at(server: ModelServer, **settings: Any) -> EndpointChatModel:
    return EndpointChatModel.from_server(server.url, "tiny", version="t@0001", waits_s=(), **settings)


def trace_of(message: BaseMessage) -> Trace:
    trace = read_trace(message)
    assert trace is not None
    return trace


def off_by(server: ModelServer, prompt: Sequence[int], trace: Trace) -> float:
    """The largest difference between the recorded logprobs and those of a plain forward pass."""
    plain = scores(server.model, prompt, trace.sampled_ids)
    return max(abs(one - other) for one, other in zip(trace.logprobs, plain, strict=True))


def test_an_answer_records_what_the_server_saw_and_sampled(server: ModelServer) -> None:
    answer = at(server, max_new_tokens=8).invoke("Where is O123?", seed=4)
    trace = trace_of(answer)
    told = server.tokenizer.decode(trace.prompt_ids)
    assert told == "<|im_start|>user\nWhere is O123?<|im_end|>\n<|im_start|>assistant\n"
    assert (trace.version, trace.restart, trace.constrained, len(trace.sampled_ids)) == ("t@0001", False, False, 8)
    assert trace.finish == "length"
    assert off_by(server, trace.prompt_ids, trace) <= 1e-4
    assert trace.settings == {
        "temperature": 1.0,
        "top_p": 1.0,
        "seed": 4,
        "max_new_tokens": 8,
        "logprobs": "sampling",
    }
    assert answer.text == server.tokenizer.decode(trace.sampled_ids, skip_special_tokens=True)
    seen = len(trace.prompt_ids)
    assert answer.usage_metadata == {"input_tokens": seen, "output_tokens": 8, "total_tokens": seen + 8}


def test_later_turns_record_only_what_was_added(server: ModelServer) -> None:
    server.says += [LOOK, "It is shipped.", "Yes."]
    model = at(server).bind_tools([look])
    messages: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("Where is O123?")]
    for reply in (ToolMessage("shipped", tool_call_id="call_0"), HumanMessage("Sure?"), None):
        messages += [model.invoke(messages), *([reply] if reply else [])]
    assert messages[2].tool_calls == [  # pyright: ignore[reportAttributeAccessIssue]
        {"name": "look", "args": {"order": "O123"}, "id": "call_0", "type": "tool_call"}
    ]
    added = [server.tokenizer.decode(trace_of(m).prompt_ids) for m in messages if isinstance(m, AIMessage)]
    assert added[1:] == [
        "\n<|im_start|>tool\nshipped<|im_end|>\n<|im_start|>assistant\n",
        "\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n",
    ]
    (whole,) = read_trajectory(messages)
    assert server.tokenizer.decode(whole.ids()).endswith("<|im_start|>assistant\nYes.<|im_end|>")
    last = trace_of(messages[-1])
    assert off_by(server, whole.ids()[: -len(last.sampled_ids)], last) <= 1e-4


def test_ids_that_the_server_would_split_in_another_way_are_a_restart(server: ModelServer) -> None:
    spelt = [server.tokenizer.convert_tokens_to_ids(letter) for letter in "shipped"]
    assert server.tokenizer("shipped", add_special_tokens=False)["input_ids"] != spelt
    server.says += [spelt, "Yes."]
    messages: list[BaseMessage] = [HumanMessage("Where is it?")]
    messages += [at(server).invoke(messages), HumanMessage("Sure?")]
    answer = at(server).invoke(messages)
    assert trace_of(answer).restart
    assert len(trace_of(answer).prompt_ids) == answer.usage_metadata["input_tokens"]  # pyright: ignore[reportOptionalSubscript]
    first, second = read_trajectory([*messages, answer])
    assert server.tokenizer.decode(first.ids()).endswith("assistant\nshipped<|im_end|>")
    assert server.tokenizer.decode(second.ids()).endswith("assistant\nYes.<|im_end|>")


def test_an_answer_that_was_cut_off_is_closed_by_the_next_prompt(server: ModelServer) -> None:
    server.says += ["It is shipped.", "Yes."]
    messages: list[BaseMessage] = [HumanMessage("Where is it?")]
    messages += [at(server).invoke(messages, max_new_tokens=2), HumanMessage("Go on.")]
    assert trace_of(messages[1]).finish == "length"
    trace = trace_of(at(server).invoke(messages))
    assert not trace.restart
    assert server.tokenizer.decode(trace.prompt_ids).startswith("<|im_end|>\n<|im_start|>user\nGo on.")


def test_what_a_human_wrote_instead_is_marked(server: ModelServer) -> None:
    server.says += ["No.", "Fine."]
    messages: list[BaseMessage] = [HumanMessage("Refund it.")]
    proposal = at(server).invoke(messages)
    edited = proposal.model_copy(
        update={"content": "Yes.", "response_metadata": {**proposal.response_metadata, EDIT_KEY: {"by": "eva"}}}
    )
    trace = trace_of(at(server).invoke([*messages, edited, HumanMessage("Thanks.")]))
    ((low, high),) = trace.human
    assert (low, server.tokenizer.decode(trace.prompt_ids[low:high])) == (0, "Yes.<|im_end|>")
    assert not trace.restart


@pytest.mark.parametrize(
    ("settings", "mode", "expected"),
    [
        ({"temperature": 1.0}, "raw", "sampling"),
        ({"temperature": 0.0}, "raw", "sampling"),
        ({"temperature": 0.7}, "raw", "raw"),
        ({"temperature": 0.7}, "processed", "sampling"),
        ({"temperature": 0.7, "top_p": 0.9}, "processed", "processed"),
        ({"temperature": 1.0, "top_p": 0.9}, "raw", "sampling"),
        ({"extra_body": {"top_k": 5}}, "processed", "processed"),
        ({"response_format": {"type": "json_object"}}, "raw", "masked"),
        ({"tool_choice": "required"}, "raw", "masked"),
        ({"tool_choice": "auto"}, "raw", "sampling"),
    ],
)
def test_the_trace_says_of_which_distribution_its_logprobs_are(
    server: ModelServer, settings: dict[str, Any], mode: Any, expected: str
) -> None:
    model = at(server, max_new_tokens=2, logprobs_mode=mode).bind_tools([look])
    trace = trace_of(model.invoke("Hello", **settings))
    assert trace.settings["logprobs"] == expected
    assert trace.constrained == (expected == "masked")


def test_a_server_without_ids_leaves_no_trace_and_the_message_says_so(tiny_folder: Path) -> None:
    with serving(tiny_folder, ids=False) as server:
        server.says += ["Hello.", "Hello."]
        whole = at(server).invoke("Hi")
        streamed = sum_of(at(server).stream("Hi"))
    for answer in (whole, streamed):
        assert (answer.text, answer.response_metadata["tokens"], read_trace(answer)) == ("Hello.", "none", None)


def test_a_server_that_knows_no_such_fields_is_asked_without_them_from_then_on(server: ModelServer) -> None:
    server.refused_fields = {"return_token_ids"}
    server.says += ["One.", "Two."]
    model = at(server)
    assert [model.invoke("Hi").text, model.invoke("Hi").text] == ["One.", "Two."]
    assert ["return_token_ids" in request for request in server.requests] == [True, False, False]
    assert "top_k" not in server.requests[-1]
    assert model.invoke("Hi").response_metadata["tokens"] == "none"


def test_a_setting_that_the_server_refuses_costs_only_its_own_call(server: ModelServer) -> None:
    server.faults += [{"status": 400, "words": "top_k must be -1 or at least 1, got -5"}] * 2
    model = at(server, max_new_tokens=2)
    with pytest.raises(EndpointFailed, match="top_k must be -1 or at least 1, got -5"):
        model.invoke("Hi", top_k=-5)
    assert server.requests[0]["top_k"] == -5
    assert read_trace(model.invoke("Hi")) is not None


def test_logits_are_not_taken_for_logprobs(server: ModelServer) -> None:
    server.tells_logits = True
    assert at(server, max_new_tokens=2).invoke("Hi").response_metadata["tokens"] == "none"


def test_tokens_lost_on_the_way_leave_no_trace(server: ModelServer) -> None:
    server.says += ["Hello.", "Hello."]
    assert read_trace(sum_of(at(server).stream("Hi"))) is not None
    server.loses = {1}
    answer = sum_of(at(server).stream("Hi"))
    assert (answer.text, answer.response_metadata["tokens"], read_trace(answer)) == ("Hello.", "none", None)


def test_a_trace_needs_no_more_than_tokens_named_by_their_ids(server: ModelServer) -> None:
    """Servers older than ``return_token_ids`` name sampled tokens, but not those of a chat's prompt."""
    server.says += ["Hello."]
    answer = at(server, extra_body={"return_token_ids": False}).invoke("Hi")
    assert answer.response_metadata["tokens"] == "none"
    names = [token["token"] for token in server.last["choices"][0]["logprobs"]["content"]]
    assert names[0].startswith("token_id:")


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_is_kept_and_goes_back_in_the_field_it_came_in(tiny_folder: Path, field: str, streamed: bool) -> None:
    with serving(tiny_folder, reasoning=field) as server:
        server.says += ["<think>Hm, O123.</think>Shipped.", "Yes."]
        model = at(server)
        answer = sum_of(model.stream("Where?")) if streamed else model.invoke("Where?")
        assert (answer.additional_kwargs["reasoning_content"], answer.text) == ("Hm, O123.", "Shipped.")
        another = at(server)  # a process that has not heard this server yet
        again = another.invoke([HumanMessage("Where?"), answer, HumanMessage("Sure?")])
        assert server.requests[-1]["messages"][1] == {"role": "assistant", "content": "Shipped.", field: "Hm, O123."}
        assert trace_of(again).restart  # this template drops thinking: what was sampled is no longer in the prompt


def test_one_malformed_call_spoils_only_itself(server: ModelServer) -> None:
    server.says += [f"Look.{CUT}{LOOK}"] * 2
    model = at(server).bind_tools([look])
    whole, streamed = model.invoke("Where?"), sum_of(model.stream("Where?"))
    for answer in (whole, streamed):
        assert answer.content == "Look."
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("look", {"order": "O123"})]
        (broken,) = answer.invalid_tool_calls
        assert (broken["name"], broken["args"], broken["id"]) == ("look", '{"order": "O12', "call_0")
    assert trace_of(whole).sampled_ids == trace_of(streamed).sampled_ids


def test_a_malformed_call_is_told_to_the_server_as_json(server: ModelServer) -> None:
    server.says += [CUT, "Sorry."]
    model = at(server).bind_tools([look])
    answer = model.invoke("Where?")
    model.invoke([HumanMessage("Where?"), answer, ToolMessage("not JSON", tool_call_id="call_0", status="error")])
    (call,) = server.requests[-1]["messages"][1]["tool_calls"]
    assert (call["id"], call["function"]["arguments"]) == ("call_0", {"malformed": '{"order": "O12'})


def test_arguments_come_in_parts(server: ModelServer) -> None:
    server.says.append(LOOK)
    chunks = list(at(server).bind_tools([look]).stream("Where?"))
    parts = [part for chunk in chunks for part in chunk.tool_call_chunks]  # pyright: ignore[reportAttributeAccessIssue]
    assert [part["name"] for part in parts] == ["look", *[None] * (len(parts) - 1)]
    assert len(parts) > 3
    assert "".join(part["args"] or "" for part in parts) == '{"order": "O123"}'


def test_streams_and_whole_answers_are_the_same(server: ModelServer) -> None:
    said = f"<think>Hm.</think>Look.{LOOK}"
    server.says += [said] * 4
    model = at(server).bind_tools([look])

    async def both() -> list[Any]:
        streamed = [chunk async for chunk in model.astream("Where?")]
        answer = await model.ainvoke("Where?")
        await model.bound.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        return [sum_of(streamed), answer]

    answers = [model.invoke("Where?"), sum_of(model.stream("Where?")), *asyncio.run(both())]
    first = answers[0]
    for answer in answers[1:]:
        for field in ("content", "additional_kwargs", "tool_calls", "usage_metadata"):
            assert getattr(answer, field) == getattr(first, field), field
        assert answer.response_metadata["trace"] == first.response_metadata["trace"]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("look", {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_every_tool_choice_reaches_the_server(server: ModelServer, choice: Any, sent: Any) -> None:
    at(server, max_new_tokens=1).bind_tools([look], tool_choice=choice).invoke("Hi")
    assert server.requests[-1].get("tool_choice") == sent
    assert [each["function"]["name"] for each in server.requests[-1]["tools"]] == ["look"]


def test_a_tool_choice_that_is_not_bound_is_refused(server: ModelServer) -> None:
    with pytest.raises(UnknownTool, match="tool_choice 'jump' is no bound tool; there is look"):
        at(server).bind_tools([look], tool_choice="jump")


def test_settings_reach_the_server_and_nothing_is_left_to_its_defaults(server: ModelServer) -> None:
    model = at(server, temperature=0.5, top_p=0.9, extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    model.invoke("Hi", seed=0, stop=["\n"], max_new_tokens=1)
    sent = server.requests[-1]
    assert {key: sent[key] for key in ("temperature", "top_p", "seed", "stop", "max_tokens")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 0,
        "stop": ["\n"],
        "max_tokens": 1,
    }
    assert (sent["top_k"], sent["min_p"], sent["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_stop_text_ends_the_answer_but_not_the_turn(server: ModelServer) -> None:
    server.says.append("It is shipped.")
    answer = at(server).invoke("Where?", stop=[" shipped"])
    trace = trace_of(answer)
    assert (answer.text, trace.finish) == ("It is", "stop_text")
    assert server.tokenizer.decode(trace.sampled_ids) == "It is shipped"


def test_a_graph_that_streams_keeps_the_exact_message(server: ModelServer) -> None:
    server.says.append("<think>Hm.</think>Hello.")
    slot = Slot.fixed("shop.think", at(server), "t@0001")
    agent = build_react(slot, [look]).compile(checkpointer=InMemorySaver(), name="shop")
    config: Any = {"configurable": {"thread_id": "x7"}}
    given: Any = {"messages": [HumanMessage("Hi")], "versions": {"shop.think": "t@0001"}}
    shown = [part[0].text for part in agent.stream(given, config, stream_mode="messages")]  # pyright: ignore[reportAttributeAccessIssue]
    last = agent.get_state(config).values["messages"][-1]
    assert "".join(shown) == last.text == "Hello."
    assert last.additional_kwargs["reasoning_content"] == "Hm."
    assert server.tokenizer.decode(trace_of(last).sampled_ids) == "<think>Hm.</think>Hello.<|im_end|>"


class Order(BaseModel):
    """An order."""

    id: str
    paid: bool


def test_a_schema_goes_to_the_server_and_its_answer_becomes_an_object(server: ModelServer) -> None:
    server.says += ['{"id": "O123", "paid": true}'] * 2
    model = at(server)
    assert model.with_structured_output(Order).invoke("Which?") == Order(id="O123", paid=True)
    form = server.requests[-1]["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "Order")
    assert form["json_schema"]["schema"]["required"] == ["id", "paid"]
    raw = model.with_structured_output(Order, include_raw=True).invoke("Which?")["raw"]
    assert trace_of(raw).constrained


def test_sixteen_callers_at_once_get_their_own_tokens(server: ModelServer) -> None:
    model = at(server, max_new_tokens=6)
    questions = [f"Where is O{number}?" for number in range(100, 116)]

    async def asked() -> list[Any]:
        answers = await asyncio.gather(*(model.ainvoke(question) for question in questions))
        await model.aclose()
        return answers

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(model.invoke, questions))
    for question, answer in zip([*questions, *questions], [*answers, *asyncio.run(asked())], strict=True):
        trace = trace_of(answer)
        assert question in server.tokenizer.decode(trace.prompt_ids)
        assert off_by(server, trace.prompt_ids, trace) <= 1e-4


def sum_of(chunks: Any) -> Any:
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total
