"""SFT rows: what is trained, once, across the branches of a thread."""

from dataclasses import replace

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from threadmill.nodes.models.rendered import Rendered, Turn
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.branches import Branch, Outcome, read_outcome, render_trajectory
from threadmill.training.rows import SftRows, sft_rows
from threadmill.training.trajectory import Span, Trajectory, read_trajectory

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


def branch(*messages, leaf="c1", thread="t1", tokens="recorded", nodes=None):
    trajectories = tuple(read_trajectory(messages))
    known = {message.id: "think" for message in messages if message.id} if nodes is None else nodes
    return Branch(thread, leaf, "task-1", tuple(messages), tokens, trajectories, GOOD, agent="shop", nodes=known)


def test_a_turn_with_a_refused_call_is_context_and_keeps_its_logprobs():
    refused = ToolMessage("no", tool_call_id="1", additional_kwargs={"kind": "rejected"})
    (row,), left_out = sft_rows([branch(spoken("a", [1], [10, 11]), refused, spoken("b", [3], [12]))])
    assert row["labels"] == [-100, -100, -100, -100, 12]
    assert row["logprobs"] == [None, -0.5, -0.5, None, -0.5]
    assert row["messages"] == ["b"]
    assert left_out == {"turns with a call that a person refused": 1}


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
        "nodes": ["think"],
        "versions": ["a.think@0001"],
        "agent": "shop",
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


def planned():
    """A thread in which a planner and a thinker take turns, and somebody whose node nobody noted."""
    messages = [spoken("a", [1], [10]), spoken("b", [2], [11, 12]), spoken("c", [3], [13]), spoken("d", [4], [14])]
    return branch(*messages, nodes={"a": "plan", "b": "think", "d": "plan"})


def test_only_the_turns_of_chosen_nodes_are_trained():
    rows, left_out = sft_rows([planned()], nodes={"think"})
    (row,) = rows
    assert row["input_ids"] == [1, 10, 2, 11, 12, 3, 13, 4, 14]
    assert row["labels"] == [-100, -100, -100, 11, 12, -100, -100, -100, -100]
    assert (row["messages"], row["nodes"], row["agent"]) == (["b"], ["think"], "shop")
    assert left_out == {"turns whose node is not known": 1}


def test_every_node_can_be_trained_in_a_data_set_of_its_own():
    thinker, _ = sft_rows([planned()], nodes={"think"})
    planner, _ = sft_rows([planned()], nodes={"plan"})
    both, _ = sft_rows([planned()], nodes={"plan", "think"})
    assert planner[0]["labels"] == [-100, 10, -100, -100, -100, -100, -100, -100, 14]
    assert [both[0]["labels"][at] for at in (1, 3, 4, 8)] == [10, 11, 12, 14]
    assert (both[0]["nodes"], thinker[0]["nodes"]) == (["plan", "think"], ["think"])


def test_a_branch_without_a_turn_of_the_chosen_nodes_is_counted():
    rows, left_out = sft_rows([branch(spoken("a", [1], [10]))], nodes={"search", "plan"})
    assert rows == []
    assert left_out == {"no turn of plan or search": 1}


def test_turns_of_unknown_nodes_are_counted_once_for_all_branches():
    shared = spoken("a", [1], [10])
    siblings = [branch(shared, spoken(name, [2], [11]), leaf=name, nodes={name: "think"}) for name in ("b", "c")]
    _, left_out = sft_rows(siblings, nodes={"think"})
    assert left_out == {"turns whose node is not known": 1}


def test_what_a_human_wrote_is_trained_for_the_node_that_it_stands_for():
    edited = [spoken("a", [1], [10, 11], edited=True), spoken("b", [20, 21, 3], [12], human=((0, 2),))]
    (row,), _ = sft_rows([branch(*edited, nodes={"a": "plan", "b": "think"})], nodes={"plan"})
    assert (row["input_ids"], row["labels"]) == ([1, 20, 21, 3, 12], [-100, 20, 21, -100, -100])


def test_turns_without_an_id_are_known_by_their_place():
    rows, _ = sft_rows([branch(spoken(None, [1], [10]), spoken(None, [2], [10]), tokens="rendered")])
    assert [row["labels"] for row in rows] == [[-100, 10, -100, 10]]


def test_a_turn_with_a_redaction_inside_is_trained_around_it():
    spans = (
        Span("given", (1,)),
        Span("sampled", (10,), (-0.5,), "a"),
        Span("given", (99,), message="a"),
        Span("sampled", (10,), (-0.5,), "a"),
    )
    redacted = replace(branch(), trajectories=(Trajectory(spans),))
    (row,), _ = sft_rows([redacted])
    assert row["labels"] == [-100, 10, -100, 10]


class Shelf:
    """A memory outside of the maker."""

    def __init__(self):
        self.keys = []

    def add(self, keys):
        new = [key not in self.keys for key in keys]
        self.keys += keys
        return new


def test_an_export_can_keep_what_is_trained_in_a_place_of_its_own():
    shelf = Shelf()
    thread = branch(spoken("a", [1], [10]), spoken("b", [2], [11]))
    assert len(list(SftRows(taken=shelf).of([thread]))) == 1
    assert list(SftRows(taken=shelf).of([thread])) == []
    assert [len(key) for key in shelf.keys[:2]] == [16, 16]
    # the same in every process
    assert shelf.keys[0].hex() == "8da3ff11fd48218ab85103d7cde40dac"


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
