"""Preference pairs from edits, repairs, branches and trials: the same prefix, and refusals that are counted."""

from dataclasses import replace

from pair_world import CALL, branch, lost, result, sides, spoken, won
from threadmill.checkpoints.labels import Label
from threadmill.training.branches import Outcome
from threadmill.training.pairing.pairs import Pairs
from threadmill.training.trajectory import Span, Trajectory

UNKNOWN = {"completion": None, "tool_use": None, "efficiency": None}


def edited(name="t"):
    return branch(
        name,
        spoken("a", [1, 2], [10, 11], edited=True),
        spoken("b", [20, 11, 3], [12], human=((0, 2),)),
    )


def test_a_human_edit_against_the_proposal():
    (row,) = Pairs().of_thread([edited()])
    assert sides(row) == [
        [1, 2],
        [20, 11],
        [1, 1],
        [10, 11],
        [1, 1],
    ]
    about = {key: value for key, value in row.items() if not key.endswith(("_ids", "_mask"))}
    assert about == {
        "tokens": "recorded",
        "source": "human_edit",
        "pair": "59696ddb9bb44c5861423918d757d00a",
        "threads": ["t", "t"],
        "checkpoints": ["leaf", "leaf"],
        "messages": ["a", "a"],
        "agent": "shop",
        "task": "task-1",
        "why": "a human replaced the proposal of message a",
        "components": {"chosen": UNKNOWN, "rejected": UNKNOWN},
    }


def test_an_edit_that_branches_share_is_one_pair():
    shared = edited()
    sibling = replace(shared, checkpoint="other")
    pairs = Pairs()
    assert len(list(pairs.of_thread([shared, sibling]))) == 1
    assert pairs.left_out == {}


def test_an_edit_nobody_went_on_from_is_counted():
    pairs = Pairs()
    alone = branch("t", spoken("a", [1], [10], edited=True))
    assert list(pairs.of_thread([alone, replace(alone, checkpoint="other")])) == []
    assert pairs.left_out == {"human_edit: no later call has seen it": 1}


def test_trials_are_cut_at_the_first_turn_where_they_differ():
    good = branch("t0", spoken("a", [1], [10, 11]), spoken("b", [2], [12, 11]), spoken("c", [3], [13]), outcome=won())
    bad = branch("t1", spoken("d", [1], [10, 11]), spoken("e", [2], [14]), spoken("f", [4, 5], [15]), outcome=lost())
    (row,) = Pairs().of_trials([bad, good])
    assert sides(row) == [
        [1, 10, 11, 2],
        [12, 11, 3, 13],
        [1, 1, 0, 1],
        [14, 4, 5, 15],
        [1, 0, 0, 1],
    ]
    assert (row["source"], row["threads"], row["task"]) == ("trials", ["t0", "t1"], "task-1")
    assert row["why"] == "check: success against failure, from turn 2 on"
    assert row["messages"] == ["b", "e"]
    (turn,) = Pairs(continuation="turn").of_trials([bad, good])
    assert sides(turn) == [[1, 10, 11, 2], [12, 11], [1, 1], [14], [1]]


def test_trials_with_other_prompts_or_observations_are_refused_and_counted():
    good = branch("t0", spoken("a", [1], [10]), spoken("b", [2], [12]), outcome=won())
    others = [
        branch("t1", spoken("c", [9], [10]), outcome=lost()),
        branch("t2", spoken("d", [1], [10]), spoken("e", [7], [14]), outcome=lost()),
        branch("t3", spoken("f", [1], [10]), outcome=lost()),
        branch("t4", spoken("g", [1], [10]), spoken("h", [2], [12]), outcome=lost()),
        branch("t5", outcome=lost()),
    ]
    pairs = Pairs()
    assert list(pairs.of_trials([good, *others])) == []
    assert pairs.left_out == {
        "trials: prompts differ": 1,
        "trials: observations differ first": 1,
        "trials: one is the beginning of the other": 1,
        "trials: no turn differs": 1,
        "trials: no message of a model": 1,
    }


def test_recorded_and_rendered_tokens_are_never_compared():
    good = branch("t0", spoken("a", [1], [10]), outcome=won())
    bad = replace(branch("t1", spoken("b", [1], [11]), outcome=lost()), tokens="rendered")
    pairs = Pairs()
    assert list(pairs.of_trials([good, bad])) == []
    assert pairs.left_out == {"trials: recorded against rendered tokens": 1}


def test_trials_without_success_are_compared_by_reward_the_largest_difference_first():
    def trial(name, token, reward):
        return branch(name, spoken(name, [1], [token]), outcome=Outcome(reward=reward, source="judge"))

    trials = [trial("t0", 10, 0.5), trial("t1", 11, 0.9), trial("t2", 12, 0.1), trial("t3", 13, 0.5)]
    rows = list(Pairs(max_pairs_per_task=3).of_trials(trials))
    assert [row["threads"] for row in rows] == [["t1", "t2"], ["t1", "t0"], ["t1", "t3"]]
    assert rows[0]["why"] == "judge: reward 0.9 against 0.1, from turn 1 on"
    far = Pairs(min_reward_gap=0.4)
    assert [row["threads"] for row in far.of_trials(trials)] == [["t1", "t2"]]
    assert list(Pairs().of_trials([replace(one, outcome=won(reward)) for reward, one in enumerate(trials)])) == []


def test_each_trial_is_used_once_before_any_is_used_twice():
    trials = [branch(f"s{i}", spoken(f"s{i}", [1], [10 + i]), outcome=won()) for i in range(2)]
    trials += [branch(f"f{i}", spoken(f"f{i}", [1], [20 + i]), outcome=lost()) for i in range(2)]
    pairs = Pairs(max_pairs_per_task=3)
    rows = list(pairs.of_trials(trials))
    assert [row["threads"] for row in rows] == [["s0", "f0"], ["s1", "f1"], ["s0", "f1"]]
    assert pairs.left_out == {"trials: more than 3 of one task": 1}


def test_the_newest_branch_that_is_no_replay_stands_for_its_thread():
    old = branch("t0", spoken("a", [1], [10]), outcome=won(), leaf="c1")
    new = branch("t0", spoken("b", [1], [11]), outcome=won(), leaf="c2")
    replayed = branch("t0", spoken("c", [1], [12]), leaf="c3", metadata={"replay": "recorded"})
    bad = branch("t1", spoken("d", [1], [13]), outcome=lost())
    rows = list(Pairs().of([[old, new, replayed], [bad], []]))
    assert [(row["source"], row["checkpoints"]) for row in rows] == [("trials", ["c2", "leaf"])]


def test_sibling_branches_with_different_labels():
    shared = spoken("a", [1], [10])
    siblings = [
        branch("t", shared, spoken("b", [2], [11]), outcome=lost(), leaf="c1"),
        branch("t", shared, spoken("c", [2], [12]), outcome=won(), leaf="c2"),
    ]
    (row,) = Pairs().of_thread(siblings)
    assert sides(row) == [[1, 10, 2], [12], [1], [11], [1]]
    assert (row["source"], row["checkpoints"]) == ("branches", ["c2", "c1"])


def test_sibling_branches_with_different_grades():
    labels = (
        Label("t", "c1", None, "preference", 0.0, "ann"),
        Label("t", "c0", None, "preference", 1.0, "ann"),  # which only the second has on its way
    )
    siblings = [
        branch("t", spoken("b", [2], [11]), leaf="c1", path=("c1",), labels=labels),
        branch("t", spoken("c", [2], [12]), leaf="c2", path=("c2", "c0"), labels=labels),
    ]
    (row,) = Pairs().of_thread(siblings)
    assert sides(row) == [[2], [12], [1], [11], [1]]
    assert (row["source"], row["why"]) == ("preference", "ann: preferred, from turn 1 on")


def test_a_repaired_call_against_the_invalid_one():
    messages = [spoken("a", [1], [10], calls=[CALL]), result("invalid"), spoken("b", [2, 3], [12], calls=[CALL])]
    (row,) = Pairs().of_thread([branch("t", *messages, result())])
    assert sides(row) == [[1], [12], [1], [10], [1]]
    assert (row["source"], row["messages"]) == ("repair", ["b", "a"])


def test_a_call_that_a_person_refused_repairs_nothing():
    messages = [spoken("a", [1], [10], calls=[CALL]), result("invalid"), spoken("b", [2, 3], [12], calls=[CALL])]
    assert list(Pairs().of_thread([branch("t", *messages, result("rejected"))])) == []


def test_two_invalid_calls_in_a_row_make_one_pair_from_the_second():
    unknown = result("unknown_tool")
    turns = [spoken(name, [at], [9 + at], calls=[CALL]) for at, name in enumerate("abc", 1)]
    (row,) = Pairs().of_thread([branch("t", turns[0], unknown, turns[1], unknown, turns[2])])
    assert sides(row) == [[1, 10, 2], [12], [1], [11], [1]]


def test_a_repair_after_a_restart_does_not_follow_the_same_tokens():
    messages = [spoken("a", [1], [10], calls=[CALL]), result("invalid")]
    pairs = Pairs()
    apart = branch("t", *messages, spoken("b", [1, 3], [12], calls=[CALL], restart=True))
    assert list(pairs.of_thread([apart])) == []
    assert pairs.left_out == {"repair: not in one trajectory": 1}


def test_a_pair_of_equals_or_one_that_is_too_long_is_counted():
    messages = [spoken("a", [1], [10], edited=True), spoken("b", [10, 3], [12], human=((0, 1),))]
    pairs = Pairs()
    assert list(pairs.of_thread([branch("t", *messages)])) == []
    assert pairs.left_out == {"human_edit: chosen and rejected are the same": 1}
    short = Pairs(max_length=2)
    trials = [
        branch("t0", spoken("a", [1, 2], [10]), outcome=won()),
        branch("t1", spoken("b", [1, 2], [11]), outcome=lost()),
    ]
    assert list(short.of_trials(trials)) == []
    assert short.left_out == {"trials: longer than 2 tokens": 1}


def test_only_the_turns_of_chosen_nodes_are_compared():
    good = branch("t0", spoken("a", [1], [10]), spoken("b", [2], [12]), spoken("c", [3], [13]), outcome=won())
    bad = branch("t1", spoken("a", [1], [10]), spoken("e", [2], [14]), outcome=lost())
    mixed = replace(good, nodes={"a": "plan", "b": "think", "c": "plan"})
    (row,) = Pairs(nodes={"think"}).of_trials([replace(bad, nodes={"a": "plan", "e": "think"}), mixed])
    assert sides(row) == [[1, 10, 2], [12], [1], [14], [1]]
    pairs = Pairs(nodes={"plan"})
    assert list(pairs.of_trials([replace(bad, nodes={"e": "think"}), mixed])) == []
    assert pairs.left_out == {"trials: prompts differ": 1}


def test_a_turn_with_a_redaction_inside_is_one_turn():
    spans = (
        Span("given", (1,)),
        Span("sampled", (10,), (-0.5,), "a"),
        Span("given", (99,), message="a"),
        Span("sampled", (12,), (-0.5,), "a"),
        Span("given", (3,)),
        Span("sampled", (13,), (-0.5,), "b"),
    )
    redacted = replace(branch("t0", outcome=won()), trajectories=(Trajectory(spans),))
    bad = branch("t1", spoken("c", [1], [20]), outcome=lost())
    (row,) = Pairs(continuation="turn").of_trials([redacted, bad])
    assert sides(row) == [[1], [10, 99, 12], [1, 0, 1], [20], [1]]


def test_a_turn_that_was_redacted_from_its_beginning_on_still_differs_at_its_beginning():
    spans = (Span("given", (1,)), Span("given", (99,), message="a"), Span("sampled", (12,), (-0.5,), "a"))
    redacted = replace(branch("t0", outcome=won()), trajectories=(Trajectory(spans),))
    bad = branch("t1", spoken("c", [1], [20]), outcome=lost())
    (row,) = Pairs().of_trials([redacted, bad])
    assert sides(row) == [[1], [99, 12], [0, 1], [20], [1]]


def test_a_turn_that_was_redacted_whole_is_context():
    spans = (Span("given", (1,)), Span("given", (99,), message="a"), Span("given", (3,)))
    redacted = Trajectory((*spans, Span("sampled", (13,), (-0.5,), "b")))
    good = replace(branch("t0", outcome=won()), trajectories=(redacted,))
    bad = branch("t1", spoken("c", [1, 99, 3], [20]), outcome=lost())
    (row,) = Pairs().of_trials([good, bad])
    assert sides(row) == [[1, 99, 3], [13], [1], [20], [1]]


def test_a_proposal_with_a_redaction_inside_is_rejected_around_it():
    (trajectory,) = edited().trajectories
    (proposal,) = trajectory.proposals
    cut = (Span("sampled", (10,), (-0.5,), "a"), Span("given", (99,), message="a"))
    redacted = replace(proposal, span=Span("given", (10, 99), message="a"), cut=cut)
    thread = replace(edited(), trajectories=(replace(trajectory, proposals=(redacted,)),))
    (row,) = Pairs().of_thread([thread])
    assert sides(row) == [[1, 2], [20, 11], [1, 1], [10, 99], [1, 0]]


def test_an_edit_beside_a_call_that_a_person_refused_is_no_example():
    messages = [
        spoken("a", [1, 2], [10, 11], edited=True),
        result("rejected"),
        spoken("b", [20, 11, 3], [12], human=((0, 2),)),
    ]
    pairs = Pairs()
    assert list(pairs.of_thread([branch("t", *messages)])) == []
    assert pairs.left_out == {"human_edit: a person refused another call of it": 1}


def test_a_turn_on_one_side_that_was_given_on_the_other_is_no_choice():
    turn = Span("sampled", (10,), (-0.5,), "a")
    one = (Span("given", (1,)), turn, Span("sampled", (11,), (-0.5,), "b"), Span("sampled", (12,), (-0.5,), "c"))
    other = (Span("given", (1,)), turn, Span("given", (11,)), Span("sampled", (13,), (-0.5,), "d"))
    good = replace(branch("t0", outcome=won()), trajectories=(Trajectory(one),))
    bad = replace(branch("t1", outcome=lost()), trajectories=(Trajectory(other),))
    pairs = Pairs()
    assert list(pairs.of_trials([good, bad])) == []
    assert pairs.left_out == {"trials: observations differ first": 1}
