"""Qwen2.5 and Qwen3: what is trained, and when recorded tokens still hold although the template drops thinking."""

from collections.abc import Sequence
from typing import Any

from family_rows import rows_of
from family_tokenizers import qwen_tokenizer
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from threadmill.nodes.models.families.family import fresh_id, read_calls
from threadmill.nodes.models.render import Prompt, Renderer
from threadmill.nodes.models.trace import EDIT_KEY, Trace, write_trace

LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"id": {}}}}}
TALK: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Where are they?"),
    AIMessage(
        "I look.",
        additional_kwargs={"reasoning_content": "Two."},
        tool_calls=[ToolCall(name="look", args={"id": '"1"'}, id="a"), ToolCall(name="look", args={"id": 2}, id="b")],
    ),
    ToolMessage("sent", tool_call_id="a", name="look"),
    ToolMessage("lost", tool_call_id="b", name="look"),
    AIMessage("One is lost."),
    HumanMessage("Oh."),
    AIMessage("Sorry.", additional_kwargs={"reasoning_content": "Bad."}),
]


def test_qwen2_5_is_trained_on_its_thinking_too() -> None:
    (row,) = rows_of(Renderer(qwen_tokenizer("qwen2_5")), TALK, tools=[LOOK])
    assert (
        row
        == """\
<|im_start|>system⏎
0000000000000000000
Be brief.⏎
0000000000
⏎
0
# Tools⏎
00000000
⏎
0
You may call one or more functions to assist with the user query.⏎
000000000000000000000000000000000000000000000000000000000000000000
⏎
0
You are provided with function signatures within <tools></tools> XML tags:⏎
000000000000000000000000000000000000000000000000000000000000000000000000000
<tools>⏎
00000000
{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"id": {}}}}}⏎
000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
</tools>⏎
000000000
⏎
0
For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:⏎
00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
<tool_call>⏎
000000000000
{"name": <function-name>, "arguments": <args-json-object>}⏎
00000000000000000000000000000000000000000000000000000000000
</tool_call><|im_end|>⏎
00000000000000000000000
<|im_start|>user⏎
00000000000000000
Where are they?<|im_end|>⏎
00000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>⏎
11111111
Two.⏎
11111
</think>⏎
111111111
⏎
1
I look.⏎
11111111
<tool_call>⏎
111111111111
{"name": "look", "arguments": {"id": "\\"1\\""}}⏎
11111111111111111111111111111111111111111111111
</tool_call>⏎
1111111111111
<tool_call>⏎
111111111111
{"name": "look", "arguments": {"id": 2}}⏎
11111111111111111111111111111111111111111
</tool_call><|im_end|>
1111111111111111111111
⏎
0
<|im_start|>user⏎
00000000000000000
<tool_response>⏎
0000000000000000
sent⏎
00000
</tool_response>⏎
00000000000000000
<tool_response>⏎
0000000000000000
lost⏎
00000
</tool_response><|im_end|>⏎
000000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
One is lost.<|im_end|>
1111111111111111111111
⏎
0
<|im_start|>user⏎
00000000000000000
Oh.<|im_end|>⏎
00000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>⏎
11111111
Bad.⏎
11111
</think>⏎
111111111
⏎
1
Sorry.<|im_end|>
1111111111111111
⏎
0"""
    )


def from_the_question(row: str) -> str:
    """The row from its first question on; nothing in front of it is trained."""
    before, question, after = row.partition("<|im_start|>user⏎")
    assert not {line for line in before.splitlines()[1::2] if "1" in line}
    return question + after


def test_qwen3_starts_a_row_where_thinking_is_dropped_and_trains_no_empty_thought() -> None:
    first, second = rows_of(Renderer(qwen_tokenizer("qwen3")), TALK, tools=[LOOK])
    assert (
        from_the_question(first)
        == """\
<|im_start|>user⏎
00000000000000000
Where are they?<|im_end|>⏎
00000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>⏎
11111111
Two.⏎
11111
</think>⏎
111111111
⏎
1
I look.⏎
11111111
<tool_call>⏎
111111111111
{"name": "look", "arguments": {"id": "\\"1\\""}}⏎
11111111111111111111111111111111111111111111111
</tool_call>⏎
1111111111111
<tool_call>⏎
111111111111
{"name": "look", "arguments": {"id": 2}}⏎
11111111111111111111111111111111111111111
</tool_call><|im_end|>
1111111111111111111111
⏎
0
<|im_start|>user⏎
00000000000000000
<tool_response>⏎
0000000000000000
sent⏎
00000
</tool_response>⏎
00000000000000000
<tool_response>⏎
0000000000000000
lost⏎
00000
</tool_response><|im_end|>⏎
000000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>⏎
00000000
⏎
0
</think>⏎
000000000
⏎
0
One is lost.<|im_end|>
1111111111111111111111"""
    )
    assert (
        from_the_question(second)
        == """\
<|im_start|>user⏎
00000000000000000
Where are they?<|im_end|>⏎
00000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
I look.⏎
00000000
<tool_call>⏎
000000000000
{"name": "look", "arguments": {"id": "\\"1\\""}}⏎
00000000000000000000000000000000000000000000000
</tool_call>⏎
0000000000000
<tool_call>⏎
000000000000
{"name": "look", "arguments": {"id": 2}}⏎
00000000000000000000000000000000000000000
</tool_call><|im_end|>⏎
00000000000000000000000
<|im_start|>user⏎
00000000000000000
<tool_response>⏎
0000000000000000
sent⏎
00000
</tool_response>⏎
00000000000000000
<tool_response>⏎
0000000000000000
lost⏎
00000
</tool_response><|im_end|>⏎
000000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
One is lost.<|im_end|>⏎
00000000000000000000000
<|im_start|>user⏎
00000000000000000
Oh.<|im_end|>⏎
00000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>⏎
11111111
Bad.⏎
11111
</think>⏎
111111111
⏎
1
Sorry.<|im_end|>
1111111111111111
⏎
0"""
    )


def test_trls_training_template_trains_the_empty_thought_and_shows_old_thinking() -> None:
    from trl.chat_template_utils import get_training_chat_template

    tokenizer = qwen_tokenizer("qwen3")
    out = tokenizer.apply_chat_template(
        Renderer(tokenizer).family.write(TALK),
        chat_template=get_training_chat_template(tokenizer),
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    trained = tokenizer.decode([i for i, own in zip(out["input_ids"], out["assistant_masks"], strict=True) if own])
    assert "<think>\n\n</think>\n\nOne is lost.<|im_end|>\n" in trained
    assert tokenizer.decode(out["input_ids"]).count("<think>") == 3


def answer(renderer: Renderer, messages: Sequence[BaseMessage], text: str) -> AIMessage:
    """What a model says after ``messages`` that samples the characters of ``text`` one by one."""
    prompt = renderer.prompt(messages, None)
    ids = [token for letter in text for token in renderer.ids(letter)] + [renderer.tokenizer.eos_token_id]
    trace = Trace(
        "q@0001", prompt.delta_ids, tuple(ids), (-1.0,) * len(ids), restart=prompt.restart, digest=prompt.digest
    )
    said = renderer.read(ids, renderer.opening(messages, None))
    calls, broken = read_calls(said, fresh_id)
    return AIMessage(
        said.content,
        tool_calls=calls,
        invalid_tool_calls=broken,
        additional_kwargs={"reasoning_content": said.reasoning} if said.reasoning else {},
        response_metadata={"trace": write_trace(trace)},
    )


def told(renderer: Renderer, prompt: Prompt) -> str:
    return renderer.tokenizer.decode(prompt.delta_ids)


CALL = '<tool_call>\n{"name": "look", "arguments": {"id": 1}}\n</tool_call>'


def test_thinking_holds_between_calls_and_a_new_question_makes_a_restart() -> None:
    renderer = Renderer(qwen_tokenizer("qwen3"))
    asked: list[BaseMessage] = [HumanMessage("Where?")]
    called = answer(renderer, asked, f"<think>\nHm.\n</think>\n\n{CALL}")
    assert called.additional_kwargs == {"reasoning_content": "Hm."}
    asked += [called, ToolMessage("sent", tool_call_id="a")]
    prompt = renderer.prompt(asked, None)
    assert not prompt.restart
    assert told(renderer, prompt) == (
        "\n<|im_start|>user\n<tool_response>\nsent\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    asked += [answer(renderer, asked, "<think>\n\n</think>\n\nIt is sent."), HumanMessage("When?")]
    prompt = renderer.prompt(asked, None)
    assert prompt.restart
    assert told(renderer, prompt) == (
        f"<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n{CALL}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\nsent\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\nIt is sent.<|im_end|>\n<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_without_thinking_there_is_no_restart_because_only_empty_thoughts_are_dropped() -> None:
    for template in ("qwen3", "qwen3_5_nothink"):
        renderer = Renderer(qwen_tokenizer(template), chat_template_kwargs={"enable_thinking": False})
        opening = "<|im_start|>assistant\n<think>\n\n</think>\n\n"
        asked: list[BaseMessage] = [HumanMessage("Where?")]
        assert renderer.opening(asked, None) == opening
        row = renderer.prompt(asked, None).full_ids
        for said, then, text in (
            (CALL, ToolMessage("sent", tool_call_id="a"), "<tool_response>\nsent\n</tool_response>"),
            ("It is sent.", HumanMessage("When?"), "When?"),
            ("Today.", HumanMessage("Thanks."), "Thanks."),
        ):
            spoken = answer(renderer, asked, said)
            asked += [spoken, then]
            prompt = renderer.prompt(asked, None)
            assert not prompt.restart
            assert told(renderer, prompt) == f"\n<|im_start|>user\n{text}<|im_end|>\n{opening}"
            row += tuple(token for letter in said for token in renderer.ids(letter)) + renderer.ids("<|im_end|>")
            row += prompt.delta_ids
            assert prompt.full_ids == row


def test_the_empty_thought_in_front_of_a_humans_edit_is_not_the_humans() -> None:
    renderer = Renderer(qwen_tokenizer("qwen3"))
    asked: list[BaseMessage] = [HumanMessage("Where?")]
    proposal = answer(renderer, asked, "<think>\n\n</think>\n\nHere.")
    metadata = {**proposal.response_metadata, EDIT_KEY: {"by": "eva"}}
    edited = proposal.model_copy(update={"content": "There.", "response_metadata": metadata})
    prompt = renderer.prompt([*asked, edited, HumanMessage("Thanks.")], None)
    ((low, high),) = prompt.human
    assert renderer.tokenizer.decode(prompt.delta_ids[:low]) == "<think>\n\n</think>\n\n"
    assert renderer.tokenizer.decode(prompt.delta_ids[low:high]) == "There.<|im_end|>"


def test_an_empty_thought_that_the_model_writes_about_is_its_own() -> None:
    renderer = Renderer(qwen_tokenizer("qwen3"))
    said = AIMessage("Write <think>\n\n</think>!", additional_kwargs={"reasoning_content": "Hm."})
    ids, mask = renderer.training_ids([HumanMessage("How?"), said])
    assert renderer.tokenizer.decode([i for i, own in zip(ids, mask, strict=True) if own]) == (
        "<think>\nHm.\n</think>\n\nWrite <think>\n\n</think>!<|im_end|>"
    )


def test_arguments_are_escaped_once(tiny_tokenizer: Any) -> None:
    call = AIMessage("", tool_calls=[ToolCall(name="look", args={"id": 'a "b"'}, id="a")])
    for tokenizer in (qwen_tokenizer("qwen2_5"), qwen_tokenizer("qwen3"), tiny_tokenizer):
        text = Renderer(tokenizer).text([HumanMessage("Go."), call], None, ask=False)
        assert '"arguments": {"id": "a \\"b\\""}}' in text
