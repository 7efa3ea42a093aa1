"""SFT rows: what is trained, once, across the branches of a thread."""

from langchain_core.messages import AIMessage, HumanMessage
from threadmill.nodes.models.rendered import Rendered, Turn
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.branches import Branch, Outcome, read_outcome, render_trajectory
from threadmill.training.rows import sft_rows
from threadmill.training.trajectory import read_trajectory

GOOD = Outcome(success=True, reward=1.0, source="check")


def spoken(name, prompt, sampled, *, human=(), restart=False, edited=False):
    trace = Trace(
        version="a.think@0001",
        prompt_ids=tuple(prompt),
        sampled_ids=tuple(sampled),
        logprobs=tuple(-0.5 for _ in sampled),
        human=human,
        restart=restart,
    )
    edit = {"edit": {"by": "ann", "at": "", "proposal": {}}} if edited else {}
    return AIMessage("", id=name, response_metadata={"trace": write_trace(trace), **edit})


def branch(*messages, leaf="c1", thread="t1", tokens="recorded"):
    trajectories = tuple(read_trajectory(messages))
    return Branch(thread, leaf, "task-1", tuple(messages), tokens, trajectories, GOOD)


def test_a_row_says_what_is_trained_and_where_it_came_from():
    (row,), left_out = sft_rows([branch(spoken("a", [1, 2], [10, 11]), spoken("b", [3], [12]))])
    assert row == {
        "input_ids": [1, 2, 10, 11, 3, 12],
        "labels": [-100, -100, 10, 11, -100, 12],
        "logprobs": [None, None, -0.5, -0.5, None, -0.5],
        "tokens": "recorded",
        "thread": "t1",
        "checkpoint": "c1",
        "messages": ["a", "b"],
        "versions": ["a.think@0001"],
        "task": "task-1",
        "source": "check",
        "reward": 1.0,
    }
    assert left_out == {}


def test_the_humans_call_is_trained_and_the_proposal_is_not():
    (row,), _ = sft_rows(
        [branch(spoken("a", [1], [10, 11], edited=True), spoken("b", [20, 21, 3], [12], human=((0, 2),)))]
    )
    assert row["input_ids"] == [1, 20, 21, 3, 12]
    assert row["labels"] == [-100, 20, 21, -100, 12]
    assert row["logprobs"] == [None, None, None, None, -0.5]
    assert row["messages"] == ["a", "b"]


def test_what_branches_share_is_trained_in_the_first_of_them_alone():
    shared = spoken("a", [1], [10])
    rows, _ = sft_rows(
        [
            branch(shared, spoken("b", [2], [11]), leaf="c1"),
            branch(shared, spoken("c", [2], [12]), leaf="c2"),
        ]
    )
    assert [row["input_ids"] for row in rows] == [[1, 10, 2, 11], [1, 10, 2, 12]]
    assert [row["labels"] for row in rows] == [[-100, 10, -100, 11], [-100, -100, -100, 12]]
    assert rows[1]["messages"] == ["c"]


def test_equal_tokens_of_different_turns_are_all_trained():
    rows, _ = sft_rows([branch(spoken("a", [1], [10]), leaf="c1"), branch(spoken("b", [1], [10]), leaf="c2")])
    assert [row["labels"] for row in rows] == [[-100, 10], [-100, 10]]


def test_a_copied_thread_is_not_trained_again():
    message = spoken("a", [1], [10])
    rows, left_out = sft_rows([branch(message, thread="t1"), branch(message, thread="t1-copy")])
    assert [row["thread"] for row in rows] == ["t1"]
    assert left_out == {}


def test_a_restart_makes_a_second_row():
    rows, _ = sft_rows([branch(spoken("a", [1], [10]), spoken("b", [1, 7], [12], restart=True))])
    assert [row["labels"] for row in rows] == [[-100, 10], [-100, -100, 12]]


def test_a_row_that_is_too_long_leaves_the_shared_turn_to_the_next_branch():
    shared = spoken("a", [1], [10])
    rows, left_out = sft_rows(
        [branch(shared, spoken("b", [2, 2, 2], [11])), branch(shared, spoken("c", [2], [12]), leaf="c2")],
        max_length=4,
    )
    assert [row["labels"] for row in rows] == [[-100, 10, -100, 12]]
    assert left_out == {"longer than 4 tokens": 1}


def test_branches_that_train_nothing_are_counted():
    rows, left_out = sft_rows([branch(HumanMessage("hi")), branch(spoken("a", [1], [10], edited=True), leaf="c2")])
    assert rows == []
    assert left_out == {"no message of a model": 1, "nothing to train": 1}


class Template:
    """Renders a person as [1, 2] and a model as a header [3] and the trained tokens [7, 9]."""

    def training_rows(self, messages, tools):
        ids, turns = (), ()
        for place, message in enumerate(messages):
            if message.type == "ai":
                turns += (Turn(place, len(ids) + 1, len(ids) + 3),)
            ids += (3, 7, 9) if message.type == "ai" else (1, 2)
        return [Rendered(ids, turns)]


def test_messages_without_traces_are_rendered_and_say_so():
    messages = [HumanMessage("hi"), AIMessage("hello", id="x"), HumanMessage("bye"), AIMessage("bye", id="y")]
    trajectories = render_trajectory(messages, Template())
    (row,), _ = sft_rows([Branch("t", "c", None, tuple(messages), "rendered", trajectories, GOOD)])
    assert row["tokens"] == "rendered"
    assert row["input_ids"] == [1, 2, 3, 7, 9, 1, 2, 3, 7, 9]
    assert row["labels"] == [-100, -100, -100, 7, 9, -100, -100, -100, 7, 9]
    assert row["logprobs"] == [None] * 10
    assert row["messages"] == ["x", "y"]


def test_a_label_on_a_checkpoint_speaks_for_the_branches_through_it():
    from threadmill.checkpoints.labels import Label

    labels = [
        Label("t", None, None, "success", 1.0, "check"),
        Label("t", "c2", None, "success", 0.0, "ann"),
        Label("t", None, None, "reward", 0.75, "check"),
    ]
    assert read_outcome(labels, ["c1", "c0"]) == Outcome(True, 0.75, "check")
    assert read_outcome(labels, ["c3", "c2", "c0"]) == Outcome(False, 0.75, "ann")
    assert read_outcome([], ["c1"]) == Outcome(None, None, "unlabelled")
