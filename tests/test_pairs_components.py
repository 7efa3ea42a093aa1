"""What each side of a pair did: the work done, the calls that worked, the steps of those that went well."""

from langchain_core.messages import AIMessage
from pair_world import CALL, branch, lost, result, spoken, won
from threadmill.training.branches import Outcome
from threadmill.training.pairing.pairs import Pairs

NOTHING = {"completion": None, "tool_use": None, "efficiency": None}


def calls(name, prompt, sampled, *made):
    """A turn that makes the calls of these ids."""
    return spoken(name, prompt, sampled, calls=[{**CALL, "id": one} for one in made])


def answered(call, kind="result"):
    return result(kind).model_copy(update={"tool_call_id": call})


def test_whole_trials_tell_all_three_of_everything_in_the_row():
    # Both begin with a call that works. One repeats it and answers, the other makes a call that fails and is lost.
    start = [calls("a", [1], [10], "c1"), answered("c1")]
    good = branch("t0", *start, calls("b", [2], [11], "c2"), answered("c2"), spoken("c", [3], [12]), outcome=won())
    bad = branch("t1", *start, calls("d", [2], [13], "c2"), answered("c2", "failed"), outcome=lost(0.5))
    (row,) = Pairs().of_trials([good, bad])
    assert row["prompt_ids"] == [1, 10, 2]
    assert row["components"] == {
        "chosen": {"completion": 1.0, "tool_use": 1.0, "efficiency": -4.0},  # three turns, one call made twice
        "rejected": {"completion": 0.5, "tool_use": 0.5, "efficiency": None},  # a failure is not better for being short
    }


def test_a_turn_alone_tells_nothing_of_the_end():
    good = branch("t0", calls("a", [1], [10], "c1"), answered("c1"), spoken("b", [2], [11]), outcome=won())
    bad = branch("t1", calls("c", [1], [12], "c1"), answered("c1", "invalid"), spoken("d", [2], [13]), outcome=lost())
    (row,) = Pairs(continuation="turn").of_trials([good, bad])
    assert row["components"] == {
        "chosen": {**NOTHING, "tool_use": 1.0},
        "rejected": {**NOTHING, "tool_use": 0.0},
    }


def test_a_repair_used_its_tools_better_and_ended_no_better():
    turns = [calls("a", [1], [10], "c1"), answered("c1", "invalid"), calls("b", [2], [11], "c2"), answered("c2")]
    (row,) = Pairs().of_thread([branch("t", *turns, outcome=won())])
    assert row["source"] == "repair"
    assert row["components"]["rejected"] == {**NOTHING, "tool_use": 0.0}
    assert row["components"]["chosen"]["tool_use"] == 1.0


def test_an_invented_result_is_a_call_that_gave_none():
    real = branch("t0", calls("a", [1], [10], "c1"), answered("c1"))
    invents = branch("t1", spoken("b", [1], [11], text="Observation: order 7 is paid"))
    (row,) = Pairs().of_trials([real, invents])
    assert row["source"] == "invented"
    assert [row["components"][side]["tool_use"] for side in ("chosen", "rejected")] == [1.0, 0.0]


def test_what_became_of_a_humans_call_says_nothing_about_the_proposal():
    edited = spoken("a", [1, 2], [10, 11], edited=True, calls=[{**CALL, "id": "c1"}])
    after = spoken("b", [20, 11, 3], [12], human=((0, 2),))
    (row,) = Pairs().of_thread([branch("t", edited, answered("c1"), after, outcome=won())])
    assert row["components"] == {"chosen": {**NOTHING, "tool_use": 1.0}, "rejected": NOTHING}


def test_where_labels_say_only_success_that_is_the_completion():
    good = branch("t0", spoken("a", [1], [10]), outcome=Outcome(True, None, "check"))
    bad = branch("t1", spoken("b", [1], [11]), AIMessage("told apart", id="x"), outcome=Outcome(False, None, "check"))
    (row,) = Pairs().of_trials([good, bad])
    assert row["components"]["chosen"] == {"completion": 1.0, "tool_use": None, "efficiency": -1.0}
    assert row["components"]["rejected"] == {**NOTHING, "completion": 0.0}
