"""Which rows of a data set a model can train on, and how many of them it reads at once. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import BadDataset

Row = dict[str, Any]
TOKENS_AT_ONCE = 32_768
"""Padded tokens of one forward pass. Quickstart's rows stay far below; sixteen rows of 10,000 tokens need 30 GB."""


def split_usable(
    rows: Sequence[Row],
    *,
    sequences: Callable[[Row], Sequence[Sequence[int]]],
    trains: Callable[[Row], bool],
    context: int,
    vocabulary: int,
    base: str,
) -> tuple[list[Row], dict[str, int]]:
    """The rows that fit the model, in order, and how many were left out by reason.

    ``sequences`` gives what the model would read of a row, ``trains`` says whether any token of it is trained.

    Raises:
        BadDataset: no row is left, or a row holds a token that the model does not have.
    """
    kept: list[Row] = []
    left_out = {"too_long": 0, "nothing_trained": 0}
    for number, row in enumerate(rows, 1):
        read = sequences(row)
        unknown = [token for ids in read for token in ids if not 0 <= token < vocabulary]
        if unknown:
            raise BadDataset(
                f"row {number} holds the token {unknown[0]}, but {base} has {vocabulary} tokens; "
                "export again with the tokenizer of this model (--tokenizer)"
            )
        if max(len(ids) for ids in read) > context:
            left_out["too_long"] += 1
        elif not trains(row):
            left_out["nothing_trained"] += 1
        else:
            kept.append(row)
    if not kept:
        raise BadDataset(
            f"no row can be trained on: of {len(rows)}, {left_out['too_long']} are longer than the {context} tokens "
            f"of {base}, and {left_out['nothing_trained']} train nothing; export with --max-length, "
            "or use a model with a longer context"
        )
    return kept, left_out


def rows_at_once(batch_size: int, longest: int) -> int:
    """The largest part of a batch whose rows, padded to ``longest``, fit into one forward pass.

    It divides ``batch_size``, so that a step of several passes is the same step.

    >>> rows_at_once(16, 324), rows_at_once(16, 10_900), rows_at_once(6, 10_900), rows_at_once(16, 90_000)
    (16, 2, 3, 1)
    """
    fitting = [part for part in range(1, batch_size + 1) if not batch_size % part and part * longest <= TOKENS_AT_ONCE]
    return max(fitting, default=1)
