"""Which rows of a data set a model can train on, and how many of them it reads at once. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import BadConfig, BadDataset
from .processes import process_count
from .settings import TOKENS_AT_ONCE

Row = dict[str, Any]


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


def rows_at_once(
    batch_size: int, longest: int, *, tokens_at_once: int = TOKENS_AT_ONCE, processes: int | None = None
) -> int:
    """The largest part of a process's share of a batch whose rows, padded to ``longest``, fit into one forward pass.

    It divides the share, so that a step of several passes is the same step. ``processes`` None is those of this run.

    >>> rows_at_once(16, 324), rows_at_once(16, 10_900), rows_at_once(6, 10_900), rows_at_once(16, 90_000)
    (16, 2, 3, 1)

    Raises:
        BadConfig: the batch cannot be shared equally among the processes.
    """
    processes = processes or process_count()
    if batch_size % processes:
        raise BadConfig(
            f"a batch of {batch_size} cannot be shared equally by {processes} processes; "
            f"take a batch size of {batch_size + processes - batch_size % processes}"
        )
    share = batch_size // processes
    return max(
        (part for part in range(1, share + 1) if not share % part and part * longest <= tokens_at_once), default=1
    )
