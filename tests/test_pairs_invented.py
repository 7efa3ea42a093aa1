"""Pairs of an invented observation and the real call that another run made at the same place."""

import pytest
from langchain_core.messages import AIMessage
from pair_world import CALL, branch, result, sides, spoken
from threadmill.training.pairing.invented import invents_observation
from threadmill.training.pairing.pairs import Pairs

REACT = 'Action: look\nAction Input: {"id": 7}\nObservation: order 7 is paid\nFinal Answer: It is paid.'


def inventing(thread="t0", leaf="leaf"):
    return branch(thread, spoken("a", [1], [10]), spoken("b", [2], [11, 12], text=REACT), leaf=leaf)


def calling(thread="t1", leaf="leaf", kind="result"):
    call = spoken("d", [2], [13], calls=[CALL])
    messages = [spoken("c", [1], [10]), call, result(kind), spoken("e", [3], [14])]
    return branch(thread, *messages, leaf=leaf)


def test_the_real_call_of_another_trial_against_the_invented_observation():
    (row,) = Pairs().of_trials([inventing(), calling()])
    assert sides(row) == [[1, 10, 2], [13], [1], [11, 12], [1, 1]]
    assert (row["source"], row["threads"], row["messages"]) == ("invented", ["t1", "t0"], ["d", "b"])
    assert row["why"] == "message b invented what message d asked a tool for"


def test_the_real_call_of_a_sibling_branch_against_the_invented_observation():
    (row,) = Pairs().of_thread([inventing("t", "c1"), calling("t", "c2")])
    assert (row["source"], row["checkpoints"]) == ("invented", ["c2", "c1"])


@pytest.mark.parametrize("kind", ["invalid", "unknown_tool", "rejected"])
def test_a_call_that_did_not_run_is_no_real_call(kind):
    assert list(Pairs().of_trials([inventing(), calling(kind=kind)])) == []


def test_a_call_without_an_answer_is_no_real_call():
    unanswered = branch("t1", spoken("c", [1], [10]), spoken("d", [2], [13], calls=[CALL]))
    assert list(Pairs().of_trials([inventing(), unanswered])) == []


def test_a_real_call_after_other_tokens_is_no_pair():
    elsewhere = branch("t1", spoken("d", [2], [13], calls=[CALL]), result())
    assert list(Pairs().of_trials([inventing(), elsewhere])) == []


def test_trials_of_other_tasks_are_not_compared():
    other = branch("t1", spoken("c", [1], [10]), spoken("d", [2], [13], calls=[CALL]), result(), task="task-2")
    assert list(Pairs().of_trials([inventing(), other])) == []


@pytest.mark.parametrize(
    "text",
    [
        "Observation: paid",
        "I look it up.\n  Observation 2: paid",
        'Let me see.\n<tool_response>\n{"status": "paid"}\n</tool_response>',
        "<tool_result>paid</tool_result>",
        "<function_results>paid",
        '[TOOL_RESULTS] [{"content": "paid"}]',
        "<｜tool▁outputs▁begin｜>paid",
        "<|tool_response|>paid",
        "<|im_start|>tool\npaid<|im_end|>",
        "<|start_header_id|>ipython<|end_header_id|>\n\npaid",
        "role: tool\ncontent: paid",
        '{"role": "tool", "content": "paid"}',
    ],
)
def test_a_text_in_the_form_of_a_tools_result_is_invented(text):
    assert invents_observation(AIMessage(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is paid.",
        "Observation:",  # the marker alone, where the model was stopped
        "My observation: it is paid.",
        "An Observation: in the middle of a line",
        "<tool_response></tool_response>",
        "The tool role: toolbox",
    ],
)
def test_other_texts_are_not(text):
    assert not invents_observation(AIMessage(text))


def test_a_turn_that_calls_has_invented_nothing():
    assert not invents_observation(AIMessage(REACT, tool_calls=[CALL]))


def test_a_thread_that_began_again_and_called_is_one_pair():
    again = spoken("b", [1], [13], calls=[CALL], restart=True)
    thread = branch("t", spoken("a", [1], [11], text=REACT), again, result())
    pairs = Pairs()
    (row,) = pairs.of([[thread]])
    assert (sides(row), pairs.left_out) == ([[1], [13], [1], [11], [1]], {})
