"""Which rows are kept: filters, lengths, the order of the steps, and that each row is decided once."""

import doctest
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selection_rows import PLAIN, decide, decisions, row
from threadmill.errors import BadSelection, ThreadmillError
from threadmill.training.selection import best, mix
from threadmill.training.selection import settings as wishes
from threadmill.training.selection.behaviour import BEHAVIOURS
from threadmill.training.selection.contamination import build_suite
from threadmill.training.selection.facts import Facts
from threadmill.training.selection.filters import refuse
from threadmill.training.selection.select import Selection, select


def test_without_wishes_every_row_is_trained():
    assert decisions([row(0), row(1, success=False)]) == ["train", "train"]
    assert decide([]).decisions == {}


def test_only_good_outcomes():
    rows = [row(0, success=True), row(1, success=False), row(2), row(3, reward=1.0), row(4, success=False, reward=1.0)]
    assert decisions(rows, success_only=True) == [
        "train",
        "left out: failure",
        "left out: no outcome",
        "train",
        "left out: failure",
    ]


def test_a_least_reward():
    rows = [row(0, reward=0.5), row(1, reward=0.4), row(2, success=True)]
    kept = ["train", "left out: reward below 0.5", "left out: no reward"]
    assert decisions(rows, min_reward=0.5) == kept
    assert [refuse(candidate.facts, Selection(min_reward=0.5)) for candidate in rows] == [
        None,
        "reward below 0.5",
        "no reward",
    ]


def test_lengths_say_what_they_drop():
    rows = [row(place, tokens=tokens) for place, tokens in enumerate((9, 10, 20, 21, 500, 0))]
    selected = decide(rows, min_tokens=10, max_tokens=20)
    assert selected.places("train") == [1, 2, 5]  # the last holds text: nobody has counted its tokens
    assert selected.to_dict() == {
        "left_out": {"longer than 20 tokens": 2, "shorter than 10 tokens": 1},
        "left_out_tokens": {"longer than 20 tokens": 521, "shorter than 10 tokens": 9},
        "behaviours": {"success": 3},
        "contaminated": [],
    }


def test_the_best_of_each_task():
    rows = [
        row(0, task="a", reward=0.2),
        row(1, task="a", reward=0.9),
        row(2, task="a", reward=0.9, success=True),
        row(3, task="b", success=False),
        row(4, task="b", success=True),
        row(5, task="b"),
        row(6),
        row(7),
    ]
    second = "left out: not among the best 1 of its task"
    assert decisions(rows, best_of=1) == [second, second, "train", second, "train", second, "train", "train"]
    second = "left out: not among the best 2 of its task"
    assert decisions(rows, best_of=2) == [second, "train", "train", second, "train", "train", "train", "train"]


def test_of_equally_good_trials_the_names_of_their_threads_decide():
    rows = [row(0, task="a", thread="t2"), row(1, task="a", thread="t1")]
    assert decisions(rows, best_of=1) == ["left out: not among the best 1 of its task", "train"]


def test_all_rows_of_a_branch_are_as_good_as_it():
    again = "left out: not among the best 1 of its task"
    rows = [row(0, task="a", thread="t1"), row(1, task="a", thread="t2"), row(2, task="a", thread="t1")]
    assert decisions(rows, best_of=1) == ["train", again, "train"]
    rows = [row(0, task="a", thread="t1"), row(1, task="a", thread="t1", checkpoint="another branch")]
    assert decisions(rows, best_of=1).count(again) == 1


def test_balanced_by_tier():
    tiers = ["simple"] * 4 + ["complex"] * 2 + [None]
    rows = [row(place, tier=tier) for place, tier in enumerate(tiers)]
    decided = decisions(rows, balance="tier")
    assert sorted(decided[:4]) == ["left out: more than 2 with tier simple"] * 2 + ["train"] * 2
    assert decided[4:] == ["train", "train", "left out: no tier to balance by"]
    capped = decide(rows, balance="tier", balance_cap=3)
    assert capped.left_out == {"more than 3 with tier simple": 1, "no tier to balance by": 1}


def test_balanced_by_the_rarest_tool_of_each_row():
    tools = [("look",), ("look",), ("look", "pay"), ("look", "pay"), ("look", "pay"), (), ()]
    selected = decide([row(place, tools=called) for place, called in enumerate(tools)], balance="tool")
    # look 2, pay 3, none 2: every class keeps 2
    assert selected.left_out == {"more than 2 with tool pay": 1}
    assert set(selected.places("train")) >= {0, 1, 5, 6}


def test_the_order_of_the_steps():
    """Most rows would fall by a later step too; each falls by the first, and a step counts only what came through."""
    words = "one two three four five six"
    rows = [
        row(0, success=False, tokens=99),
        row(1, success=True, tokens=99, task="held-out"),
        row(2, success=True, task="held-out", digest="same", reward=1.0),
        row(3, success=True, task="a", reward=0.9, digest="same", text=words, tier="hard"),
        row(4, success=True, task="a", reward=0.8, digest="same", text=words),
        row(5, success=True, task="a", reward=0.7, text=words, behaviour="failure"),
        row(6, success=True, task="a", reward=0.6, tier="hard", behaviour="failure"),
        row(7, success=True, task="b", tier="hard"),
        row(8, success=True, task="c", tier="hard", behaviour="failure"),
        *(row(place, success=True, task=f"t{place}", tier="easy", behaviour="recovery") for place in range(9, 13)),
    ]
    suite = build_suite("exam", [("held-out", "")])
    wished = Selection(
        success_only=True,
        max_tokens=50,
        exact=True,
        near=0.8,
        best_of=1,
        balance="tier",
        mix={"success": 0.6, "recovery": 0.4},
        test=0.5,
    )
    selected = select(lambda: iter(rows), wished, suites=[suite])
    decided = [selected.decisions[place] for place in range(13)]
    assert decided[:3] == [
        "left out: failure",
        "left out: longer than 50 tokens",
        "left out: decontaminated: exam",
    ]
    assert decided[4:7] == [
        "left out: duplicate",
        "left out: near duplicate",
        "left out: not among the best 1 of its task",
    ]
    assert decided[8] == "left out: not in the mix"  # counted by the balance: 3 hard rows
    assert selected.left_out["more than 3 with tier easy"] == 1
    assert selected.left_out["over the mix"] == 1  # 2 successes allow 2 of the 3 recoveries
    assert selected.behaviours == {"success": 2, "recovery": 2}
    assert {*decided[3:8:4]} <= {"train", "test"} <= {*decided}


behaviours = st.sampled_from(BEHAVIOURS)
candidates = st.lists(
    st.fixed_dictionaries(
        {
            "thread": st.sampled_from(["t1", "t2", "t3", "t4", "t5"]),
            "checkpoint": st.sampled_from(["c1", "c2"]),
            "task": st.sampled_from([None, "a", "b", "c"]),
            "tier": st.sampled_from([None, "easy", "hard"]),
            "tools": st.sampled_from([(), ("look",), ("look", "pay")]),
            "behaviour": behaviours,
            "success": st.sampled_from([None, True, False]),
            "reward": st.sampled_from([None, 0.0, 0.5, 1.0]),
            "opening": st.sampled_from(["", "Hi", "hi!", "Cancel it", "Where is it"]),
            "digest": st.sampled_from(list("abcdefgh")),
            "tokens": st.integers(1, 9),
            "text": st.sampled_from(["", "one two three four five six seven", "one two three four five six eight"]),
        }
    ),
    max_size=25,
    unique_by=lambda known: (known["thread"], known["checkpoint"], known["digest"]),
)
selections = st.fixed_dictionaries(
    {
        "success_only": st.booleans(),
        "min_reward": st.sampled_from([None, 0.5]),
        "max_tokens": st.sampled_from([None, 7]),
        "exact": st.booleans(),
        "near": st.sampled_from([None, 0.5, 1.0]),
        "best_of": st.sampled_from([None, 1, 2]),
        "balance": st.sampled_from([None, "tier", "tool"]),
        "mix": st.sampled_from([{}, {"success|recovery": 0.5, "refusal|clarification|failure|other": 0.5}]),
        "test": st.sampled_from([0.0, 0.3, 0.9]),
        "seed": st.integers(0, 3),
    }
)


@settings(max_examples=50, deadline=None)
@given(made=candidates, wished=selections, data=st.data())
def test_every_row_is_decided_once_and_its_place_among_the_others_decides_nothing(made, wished, data):
    rows = [row(place, **known) for place, known in enumerate(made)]
    order = data.draw(st.permutations(range(len(made))))
    moved = [row(place, **made[other]) for place, other in enumerate(order)]
    try:
        selected = decide(rows, **wished)
    except BadSelection:
        with pytest.raises(BadSelection, match="the mix cannot be had"):
            decide(moved, **wished)
        return
    assert list(selected.decisions) == list(range(len(made)))
    reasons = [decided for decided in selected.decisions.values() if decided not in ("train", "test")]
    assert all(decided.startswith("left out: ") for decided in reasons)
    assert sum(selected.left_out.values()) == len(reasons)
    assert sum(selected.behaviours.values()) == len(made) - len(reasons)

    def by_content(rows: list[Any], decided: Any) -> list[tuple[str, str]]:
        return sorted((repr((one.facts, one.digest, one.tokens, one.text)), decided[one.place]) for one in rows)

    assert by_content(moved, decide(moved, **wished).decisions) == by_content(rows, selected.decisions)


def test_a_selection_as_json():
    asked = Selection(near=0.8, suites=("helpdesk",), mix={"success": 0.5, "refusal|clarification": 0.5}, test=0.1)
    said = {
        "suites": ["helpdesk"],
        "near": 0.8,
        "mix": {"success": 0.5, "refusal|clarification": 0.5},
        "test": 0.1,
    }
    assert asked.to_dict() == said
    assert Selection.from_dict(json.loads(json.dumps(said))) == asked
    assert Selection().to_dict() == {}


@pytest.mark.parametrize(
    ("wished", "complaint"),
    [
        ({"near": 1.5}, "near is 1.5; give a part between 0 and 1"),
        ({"near": 0}, "near is 0"),
        ({"best_of": 0}, "best_of is 0; give a whole number of at least 1"),
        ({"max_tokens": 2.5}, "max_tokens is 2.5; give a whole number"),
        ({"min_tokens": 9, "max_tokens": 8}, "no row has at least 9 and at most 8 tokens"),
        ({"min_reward": float("nan")}, "min_reward is nan; give a finite number"),
        ({"balance": "task"}, "balance is 'task'; choose tier or tool"),
        ({"balance_cap": 3}, "balance_cap is 3 without a balance"),
        ({"test": 1.0}, "test is 1.0; give a part from 0 up to 1"),
        ({"suites": "helpdesk"}, "suites is 'helpdesk'; give a list"),
        ({"mix": {"sucess": 1.0}}, "'sucess' is no behaviour; there are failure, refusal, recovery"),
        ({"mix": {"success": 0.5, "recovery": 0.3}}, "the shares of the mix sum to 0.8; let them sum to 1"),
        ({"mix": {"success|recovery": 0.5, "recovery": 0.5}}, "the mix has recovery twice; name it once"),
        ({"mix": {"success": 1.5, "recovery": -0.5}}, "the share of success is 1.5; give a part between 0 and 1"),
    ],
)
def test_wishes_that_mean_nothing_are_refused(wished, complaint):
    with pytest.raises(BadSelection, match=complaint) as refused:
        Selection(**wished)
    assert isinstance(refused.value, ThreadmillError)
    assert isinstance(refused.value, ValueError)


def test_a_selection_or_facts_of_another_kind_are_refused():
    with pytest.raises(BadSelection, match="a selection has no nearly; it has success_only, min_reward"):
        Selection.from_dict({"nearly": 0.8})
    with pytest.raises(BadSelection, match=r"these are no facts: .*unexpected keyword argument 'who'"):
        Facts.from_dict({**PLAIN.to_dict(), "who": "me"})


def test_two_candidates_at_one_place_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="two candidates have the place 1; give each its own"):
        decide([row(1), row(1)])


@pytest.mark.parametrize("module", [best, mix, wishes])
def test_the_examples(module):
    assert doctest.testmod(module).failed == 0
