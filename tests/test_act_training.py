"""What export and metrics make of calls that act put right, refused or stopped."""

from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.branches import Branch, Outcome
from threadmill.training.evaluation.calls_measured import find_repeated
from threadmill.training.judgements import judge_turns
from threadmill.training.pairing.sources import find_repairs, is_refused, repaired_turns
from threadmill.training.rewards.finished import Finished
from threadmill.training.rewards.made import made_calls
from threadmill.training.rewards.tool_calls import fitting
from threadmill.training.rows import sft_rows
from threadmill.training.selection.redaction import Redactor, redact_branch
from threadmill.training.trajectory import read_trajectory

GOOD = Outcome(success=True, reward=1.0, source="check")
MENDED = {"proposal": {"tool_calls": [], "invalid_tool_calls": []}, "how": [{"id": "c1", "how": "read", "text": "{x"}]}


def spoken(name: str, prompt: list[int], sampled: list[int], *, call: bool = True, **notes: Any) -> AIMessage:
    trace = Trace("a.think@0001", tuple(prompt), tuple(sampled), tuple(-0.5 for _ in sampled))
    calls: Any = [{"name": "look", "args": {"id": 1}, "id": "c1", "type": "tool_call"}] if call else []
    return AIMessage("", id=name, tool_calls=calls, response_metadata={"trace": write_trace(trace), **notes})


def answered(kind: str, text: str = "found") -> ToolMessage:
    status = "success" if kind == "result" else "error"
    return ToolMessage(text, tool_call_id="c1", status=status, additional_kwargs={"kind": kind})


def branch(*messages: BaseMessage) -> Branch:
    trajectories = tuple(read_trajectory(messages))
    nodes = {message.id: "think" for message in messages if message.id}
    return Branch("t1", "leaf", "task-1", tuple(messages), "recorded", trajectories, GOOD, agent="shop", nodes=nodes)


def test_the_tokens_of_a_call_that_was_put_right_are_context_and_counted():
    mended = spoken("a", [1], [10, 11], repaired=MENDED)
    found = branch(mended, answered("result"), spoken("b", [3], [12], call=False))
    (row,), left_out = sft_rows([found])
    assert row["input_ids"] == [1, 10, 11, 3, 12]
    assert row["labels"] == [-100, -100, -100, -100, 12]
    assert left_out == {"turns with a call that had to be put right": 1}
    assert judge_turns(found, None)["a"].good is False


def test_without_recorded_tokens_the_call_is_trained_as_it_was_put_right():
    found = replace(branch(spoken("a", [1], [10, 11], repaired=MENDED), answered("result")), tokens="rendered")
    (row,), left_out = sft_rows([found])
    assert (row["labels"], left_out) == ([-100, 10, 11], {})


def test_redaction_does_not_make_it_an_example():
    found = branch(spoken("a", [1], [10, 11], repaired=MENDED), answered("result"))
    redacted, _ = redact_branch(found, Redactor())
    assert repaired_turns(redacted) == {"a"}


def test_a_call_that_was_put_right_repairs_no_other():
    wrong, mended = spoken("a", [1], [10]), spoken("b", [2], [11], repaired=MENDED)
    assert find_repairs(branch(wrong, answered("invalid"), mended, answered("result"))) == []
    good = spoken("b", [2], [11])
    assert find_repairs(branch(wrong, answered("invalid"), good, answered("result"))) == [("a", "b")]


def test_a_call_that_was_put_right_ran_but_was_not_well_formed():
    messages = [HumanMessage("Look."), spoken("a", [1], [10], repaired=MENDED), answered("result")]
    (made,) = calls = made_calls(messages)
    assert (made.became, made.repaired, made.args) == ("result", True, {"id": 1})
    assert fitting(calls, Finished("t", tuple(messages))) == [False]


def test_what_a_rule_refused_is_refused_and_what_was_stopped_in_a_loop_is_a_repetition():
    assert is_refused([answered("forbidden")])
    looping = [HumanMessage("Look."), spoken("a", [1], [10]), answered("looping", "not run")]
    assert find_repeated(made_calls(looping), [looping]) == [0]


def test_the_prompt_after_a_call_that_was_put_right_continues_what_was_sampled(tiny_tokenizer: Any):
    renderer = Renderer(tiny_tokenizer)
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"properties": {"id": {}}}}}]
    asked: list[BaseMessage] = [HumanMessage("Look.")]
    first = renderer.prompt(asked, tools)
    sampled = tuple(tiny_tokenizer.encode("oops<|im_end|>"))
    trace = Trace("t@0001", first.delta_ids, sampled, (-1.0,) * len(sampled), digest=first.digest)
    call: Any = {"name": "look", "args": {"id": 1}, "id": "c1", "type": "tool_call"}
    mended = AIMessage("", tool_calls=[call], response_metadata={"trace": write_trace(trace), "repaired": MENDED})
    prompt = renderer.prompt([*asked, mended, ToolMessage("found", tool_call_id="c1", name="look")], tools)
    assert not prompt.restart
    assert prompt.full_ids == first.full_ids + sampled + prompt.delta_ids
    assert tiny_tokenizer.decode(prompt.delta_ids).endswith("tool\nfound<|im_end|>\n<|im_start|>assistant\n")
