"""From traces to spans: what was given, sampled, written by a human, proposed and replaced."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from threadmill.errors import BadTrace
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.trajectory import Span, loss_mask, read_trajectory


def spoken(name, prompt, sampled, *, human=(), restart=False, finish="stop", edited=False):
    """An AI message that saw ``prompt`` after what came before it, and sampled ``sampled``."""
    trace = Trace(
        version="a.think@0001",
        prompt_ids=tuple(prompt),
        sampled_ids=tuple(sampled),
        logprobs=tuple(-0.5 for _ in sampled),
        human=human,
        restart=restart,
        finish=finish,
    )
    edit = {"edit": {"by": "ann", "at": "", "proposal": {}}} if edited else {}
    return AIMessage("", id=name, response_metadata={"trace": write_trace(trace), **edit})


def aligned(messages):
    """Ids and mask of the only trajectory, as rows to compare by eye."""
    (trajectory,) = read_trajectory(messages)
    return trajectory.ids(), loss_mask(trajectory.spans)


def test_two_turns():
    messages = [HumanMessage("hi"), spoken("a", [1, 2, 3], [10, 11]), spoken("b", [4, 5], [12, 11])]
    assert aligned(messages) == (
        [1, 2, 3, 10, 11, 4, 5, 12, 11],
        [0, 0, 0, 1, 1, 0, 0, 1, 1],
    )


def test_a_proposal_that_a_human_replaced_is_no_part_of_the_row_and_the_replacement_is_trained():
    messages = [
        spoken("a", [1, 2], [10, 11], edited=True),
        ToolMessage("ok", tool_call_id="c"),
        spoken("b", [20, 21, 22, 3, 4], [12], human=((0, 3),)),
    ]
    assert aligned(messages) == (
        [1, 2, 20, 21, 22, 3, 4, 12],
        [0, 0, 1, 1, 1, 0, 0, 1],
    )
    (trajectory,) = read_trajectory(messages)
    (proposal,) = trajectory.proposals
    assert proposal.span.tokens == (10, 11)
    assert proposal.at == 1
    assert proposal.replaced
    assert trajectory.spans[1] == Span("human", (20, 21, 22), message="a")


def test_an_edit_that_no_later_call_saw_leaves_only_its_prompt():
    messages = [spoken("a", [1], [10]), spoken("b", [2], [12, 11], edited=True)]
    assert aligned(messages) == ([1, 10, 2], [0, 1, 0])
    assert not read_trajectory(messages)[0].proposals[0].replaced


def test_a_call_that_a_human_rejected_stays_as_the_model_saw_it():
    refusal = {"kind": "rejected"}
    rejected = ToolMessage("a person refused this call", tool_call_id="c", additional_kwargs=refusal)
    messages = [spoken("a", [1], [10, 11]), rejected, spoken("b", [2, 3], [12])]
    assert aligned(messages) == ([1, 10, 11, 2, 3, 12], [0, 1, 1, 0, 0, 1])


def test_parallel_calls_are_one_sampled_turn_and_their_results_are_given():
    results = [ToolMessage("x", tool_call_id="c1"), ToolMessage("y", tool_call_id="c2")]
    messages = [spoken("a", [1], [10, 13, 10, 11]), *results, spoken("b", [30, 31, 2], [12])]
    assert aligned(messages) == (
        [1, 10, 13, 10, 11, 30, 31, 2, 12],
        [0, 1, 1, 1, 1, 0, 0, 0, 1],
    )


def test_the_end_that_a_cut_off_turn_lacks_is_given_by_the_next_prompt():
    messages = [spoken("a", [1], [10, 10], finish="length"), spoken("b", [11, 2], [12, 11])]
    assert aligned(messages) == ([1, 10, 10, 11, 2, 12, 11], [0, 1, 1, 0, 0, 1, 1])


def test_a_restart_begins_a_new_trajectory():
    messages = [spoken("a", [1], [10]), spoken("b", [1, 7, 8], [12], restart=True), spoken("c", [2], [13])]
    assert [trajectory.ids() for trajectory in read_trajectory(messages)] == [[1, 10], [1, 7, 8, 12, 2, 13]]


def test_an_edit_before_a_restart_was_not_seen_in_its_place():
    messages = [spoken("a", [1], [10], edited=True), spoken("b", [1, 20, 2], [12], restart=True)]
    first, second = read_trajectory(messages)
    assert first.ids() == [1]
    assert not first.proposals[0].replaced
    assert (second.ids(), loss_mask(second.spans)) == ([1, 20, 2, 12], [0, 0, 0, 1])


def test_untraced_messages_give_nothing_of_their_own():
    assert read_trajectory([HumanMessage("hi"), AIMessage("hello")]) == []
    messages = [AIMessage("hello"), HumanMessage("hi"), spoken("b", [1, 2], [12])]
    assert aligned(messages) == ([1, 2, 12], [0, 0, 1])


def test_a_human_range_outside_its_prompt_is_refused():
    with pytest.raises(BadTrace, match=r"message 'b': human range \[1, 9\)"):
        read_trajectory([spoken("b", [1, 2], [12], human=((1, 9),))])
