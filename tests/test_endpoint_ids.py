"""The endpoint with a tokenizer of its own: ids go out, ids come back, and every turn continues the one before."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import ModelServer, scores, serving
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from threadmill.errors import BadModelFolder, BadModelSpec, BadTrace, ContextOverflow
from threadmill.nodes.models.endpoint import EndpointChatModel
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.trace import EDIT_KEY, Trace, read_trace
from threadmill.training.trajectory import read_trajectory

GOOD = '<tool_call>{"name": "look", "arguments": {"order": "O123"}}</tool_call>'
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
    return EndpointChatModel.from_server(
        server.url, "tiny", version="t@0001", waits_s=(), tokenizer=server.folder, **settings
    )


def trace_of(message: BaseMessage) -> Trace:
    trace = read_trace(message)
    assert trace is not None
    return trace


def sum_of(chunks: Any) -> Any:
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total


def test_sampled_ids_are_sent_back_as_they_are_however_they_are_spelt(server: ModelServer) -> None:
    spelt = [server.tokenizer.convert_tokens_to_ids(letter) for letter in "shipped"]
    assert server.tokenizer("shipped", add_special_tokens=False)["input_ids"] != spelt
    server.says += [spelt, "Yes.", "Bye."]
    model = at(server)
    messages: list[BaseMessage] = [HumanMessage("Where is it?")]
    for question in ("Sure?", "Bye.", None):
        messages.append(model.invoke(messages))
        assert not trace_of(messages[-1]).restart
        messages += [HumanMessage(question)] if question else []
    (whole,) = read_trajectory(messages)
    last = trace_of(messages[-1])
    assert [*server.requests[-1]["prompt"], *last.sampled_ids] == whole.ids()
    plain = scores(server.model, server.requests[-1]["prompt"], last.sampled_ids)
    assert max(abs(one - other) for one, other in zip(plain, last.logprobs, strict=True)) <= 1e-4
    assert messages[1].text == "shipped"


def test_a_thread_of_a_local_model_goes_on_at_a_server_and_back(server: ModelServer) -> None:
    local = LocalChatModel.from_folder(str(server.folder), version="t@0000", device="cpu", max_new_tokens=6)
    messages: list[BaseMessage] = [HumanMessage("Where is O123?")]
    for model in (local, at(server, max_new_tokens=6), local):
        messages += [model.invoke(messages), HumanMessage("And now?")]
    local.close()
    traces = [trace_of(message) for message in messages[1::2]]
    assert [(trace.version, trace.restart) for trace in traces] == [
        ("t@0000", False),
        ("t@0001", False),
        ("t@0000", False),
    ]


def test_the_family_reads_thinking_and_calls_whole_and_in_parts(server: ModelServer) -> None:
    server.says += [f"Look.{CUT}{GOOD}"] * 3
    model = at(server).bind_tools([look])

    async def streamed() -> Any:
        chunks = [chunk async for chunk in model.astream("Where?")]
        await model.bound.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        return chunks

    parts = list(model.stream("Where?"))
    answers: list[Any] = [model.invoke("Where?"), sum_of(parts), sum_of(asyncio.run(streamed()))]
    for answer in answers:
        assert answer.content == "Look."
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("look", {"order": "O123"})]
        assert [call["args"] for call in answer.invalid_tool_calls] == [CUT[len("<tool_call>") : -len("</tool_call>")]]
        assert trace_of(answer) == trace_of(answers[0])
    assert len([chunk for chunk in parts if chunk.tool_call_chunks]) > 3  # pyright: ignore[reportAttributeAccessIssue]


def test_a_cut_off_answer_is_closed_and_an_edited_one_is_a_persons(server: ModelServer) -> None:
    server.says += ["It is shipped.", "No."]
    model = at(server)
    messages: list[BaseMessage] = [HumanMessage("Where is it?")]
    messages += [model.invoke(messages, max_new_tokens=2), HumanMessage("Refund it.")]
    proposal = model.invoke(messages)
    assert server.tokenizer.decode(trace_of(proposal).prompt_ids).startswith("<|im_end|>\n<|im_start|>user\nRefund")
    edited = proposal.model_copy(
        update={"content": "Yes.", "response_metadata": {**proposal.response_metadata, EDIT_KEY: {"by": "eva"}}}
    )
    trace = trace_of(model.invoke([*messages, edited, HumanMessage("Thanks.")]))
    ((low, high),) = trace.human
    assert server.tokenizer.decode(trace.prompt_ids[low:high]) == "Yes.<|im_end|>"


def test_a_stop_text_ends_the_answer(server: ModelServer) -> None:
    server.says.append("It is shipped.")
    answer = at(server).invoke("Where?", stop=[" shipped"])
    assert (answer.text, trace_of(answer).finish) == ("It is", "stop_text")


def test_an_answer_may_be_as_long_as_the_server_reads(server: ModelServer) -> None:
    at(server).invoke("Hi")
    (sent,) = server.requests
    assert sent["max_tokens"] + len(sent["prompt"]) == 256
    with pytest.raises(ContextOverflow, match=r"the prompt has \d{3} tokens, but the server reads at most 256"):
        at(server).invoke("x" * 400)
    assert len(server.requests) == 1


def test_a_server_that_reads_something_else_is_found_out(server: ModelServer) -> None:
    server.begins = [7]
    with pytest.raises(BadTrace, match=r"the server read \d+ other tokens than the \d+ it was sent; is `tokenizer`"):
        at(server).invoke("Hi")


def test_older_servers_that_name_tokens_by_their_ids_are_exact_too(server: ModelServer) -> None:
    server.says.append("Hello.")
    answer = at(server, extra_body={"return_token_ids": False}).invoke("Hi")
    assert server.tokenizer.decode(trace_of(answer).sampled_ids) == "Hello.<|im_end|>"


def test_without_any_ids_the_servers_text_is_read(tiny_folder: Path) -> None:
    with serving(tiny_folder, ids=False) as server:
        server.says += [f"Look.{GOOD}"] * 2
        model = at(server).bind_tools([look])
        for answer in (model.invoke("Where?"), sum_of(model.stream("Where?"))):
            assert (answer.content, len(answer.tool_calls)) == ("Look.", 1)
            assert (answer.response_metadata["tokens"], read_trace(answer)) == ("none", None)


def test_what_needs_the_servers_parser_is_refused(server: ModelServer) -> None:
    with pytest.raises(BadModelSpec, match="tool_choice 'required' needs the server to write the call; leave `token"):
        at(server).bind_tools([look], tool_choice="required").invoke("Hi")


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadModelFolder, match="there is no tokenizer in"):
        EndpointChatModel.from_server("http://127.0.0.1:1/v1", "tiny", tokenizer=tmp_path)


def test_a_tool_result_is_rendered_as_the_template_wants_it(server: ModelServer) -> None:
    server.says += [GOOD, "Shipped."]
    model = at(server).bind_tools([look])
    messages: list[BaseMessage] = [HumanMessage("Where?")]
    call = model.invoke(messages)
    answer = model.invoke([*messages, call, ToolMessage("shipped", tool_call_id=call.tool_calls[0]["id"])])
    added = server.tokenizer.decode(trace_of(answer).prompt_ids)
    assert added == "\n<|im_start|>tool\nshipped<|im_end|>\n<|im_start|>assistant\n"
