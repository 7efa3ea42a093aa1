"""Which rows a model can train on, and in how many passes it reads a batch."""

from typing import Any

import pytest
from threadmill.errors import BadDataset
from threadmill.training.recipes.usable import rows_at_once, split_usable


def split(*rows: list[int]) -> Any:
    """Rows of plain ids for a model of 4 positions and 10 tokens; a row trains something if it holds a 9."""
    return split_usable(
        [{"ids": ids} for ids in rows],
        sequences=lambda row: [row["ids"]],
        trains=lambda row: 9 in row["ids"],
        context=4,
        vocabulary=10,
        base="tiny",
    )


def test_rows_that_do_not_fit_are_counted_by_reason() -> None:
    kept, left_out = split([1, 9], [1, 2, 3, 4, 9], [1, 2], [1, 2, 3, 9])
    assert [row["ids"] for row in kept] == [[1, 9], [1, 2, 3, 9]]
    assert left_out == {"too_long": 1, "nothing_trained": 1}


def test_a_token_that_the_model_does_not_have_names_its_row() -> None:
    with pytest.raises(BadDataset, match="row 2 holds the token 10, but tiny has 10 tokens; export again"):
        split([1, 9], [9, 10])


def test_no_row_left_says_why() -> None:
    with pytest.raises(BadDataset, match="of 3, 2 are longer than the 4 tokens of tiny, and 1 train nothing"):
        split([9] * 5, [9] * 6, [1])


@pytest.mark.parametrize(
    ("batch_size", "longest", "expected"),
    [(16, 324, 16), (16, 2_048, 16), (16, 2_049, 8), (16, 10_900, 2), (6, 10_900, 3), (7, 10_900, 1), (16, 90_000, 1)],
)
def test_a_part_of_a_batch_divides_it_and_fits(batch_size: int, longest: int, expected: int) -> None:
    assert rows_at_once(batch_size, longest) == expected
