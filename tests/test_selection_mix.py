"""Mixes of behaviours: shares within one row, and no larger set that has them."""

from itertools import product
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selection_rows import decide, row
from threadmill.errors import BadSelection
from threadmill.training.selection.mix import largest_mix, read_mix


def test_the_mix_of_the_manual():
    behaviours = ["success"] * 50 + ["recovery"] * 10 + ["refusal"] * 4 + ["clarification"] * 5 + ["failure"] * 3
    rows = [row(place, behaviour=name) for place, name in enumerate(behaviours)]
    mix = {"success": 0.4, "recovery": 0.3, "refusal|clarification": 0.3}
    selected = decide(rows, mix=mix)
    # of 33 rows the shares are 13.2, 9.9 and 9.9; 34 would need 10 refusals and clarifications
    kept = selected.behaviours
    assert (kept["success"], kept["recovery"], kept["refusal"] + kept["clarification"]) == (14, 10, 9)
    assert selected.left_out == {"over the mix": 36, "not in the mix": 3}


def test_the_seed_decides_which_rows_stay():
    rows = [row(place, behaviour="success" if place < 20 else "recovery") for place in range(25)]
    mix = {"success": 0.5, "recovery": 0.5}
    first, same, other = (decide(rows, mix=mix, seed=seed).places("train") for seed in (1, 1, 2))
    assert first == same != other
    assert len(first) == len(other) == 11


def test_a_mix_without_rows_of_one_class_is_refused():
    with pytest.raises(BadSelection, match="cannot be had of 2 success, 0 recovery; export more threads or leave out"):
        decide([row(0), row(1)], mix={"success": 0.5, "recovery": 0.5})
    assert decide([], mix={"success": 0.5, "recovery": 0.5}).decisions == {}


def is_mix(counts: tuple[int, ...], shares: list[float]) -> bool:
    """Is every count its share of the sum, rounded up or down? Shares are whole tenths, so this is exact."""
    tenths = [round(share * 10) * sum(counts) for share in shares]
    return all(floor(t / 10) <= count <= ceil(t / 10) for t, count in zip(tenths, counts, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    available=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    shares=st.sampled_from([[0.4, 0.3, 0.3], [0.1, 0.1, 0.8], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]),
)
def test_shares_within_one_row_and_no_larger_set(available, shares):
    names = ["success", "recovery", "refusal"]
    found = largest_mix(dict(zip(names, available, strict=True)), dict(zip(names, shares, strict=True)))
    counts = tuple(found[name] for name in names)
    assert is_mix(counts, shares)
    assert all(count <= there for count, there in zip(counts, available, strict=True))
    possible = product(*(range(there + 1) for there in available))
    assert sum(counts) == max(sum(some) for some in possible if is_mix(some, shares))


def test_thirds():
    assert largest_mix({"success": 4, "recovery": 9}, {"success": 1 / 3, "recovery": 2 / 3}) == {
        "success": 4,
        "recovery": 9,
    }


@pytest.mark.parametrize("text", ["success", "success=much", "success=0.5,success=0.5", ""])
def test_texts_that_are_no_mix(text):
    with pytest.raises(BadSelection, match=r"write success=0\.4|name it once"):
        read_mix(text)
