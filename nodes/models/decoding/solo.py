"""Decode models whose state cannot share columns, row by row, with the cache that the model makes itself.

For recurrent and hybrid layers and for positions that a mask cannot tell (ALiBi): exact, but each
row is a forward pass of its own, and nothing is kept between turns.
"""

from collections.abc import Sequence
from typing import Any

import torch

from .request import Row
from .sampling import draw


class Solo:
    """The rows of one model, each with its own cache; the same interface as ``Batch``."""

    def __init__(self, model: Any, max_rows: int) -> None:
        self.model = model
        self.max_rows = max_rows
        self.rows: list[Row] = []
        self._caches: dict[int, Any] = {}

    def join(self, newcomers: Sequence[Row]) -> None:
        """Read the prompts of ``newcomers`` and sample their first tokens."""
        for row in newcomers:
            self.rows.append(row)
            self._read(row, row.prompt.tolist())

    def step(self) -> None:
        """Feed every row its last token and sample the next."""
        for row in self.rows:
            if self._caches[id(row)] is None:  # the model keeps nothing: read all again
                self._read(row, [*row.prompt.tolist(), *row.ids])
            else:
                self._read(row, row.ids[-1:])

    def _read(self, row: Row, ids: list[int]) -> None:
        read = self.model(
            input_ids=torch.tensor([ids], device=self.model.device),
            past_key_values=self._caches.get(id(row)),
            use_cache=True,
        )
        self._caches[id(row)] = getattr(read, "past_key_values", None)
        draw([row], read.logits[:, -1])

    def leave(self) -> None:
        """Hand finished rows back and drop those of callers that gave up."""
        for row in list(self.rows):
            finish = row.finish()
            if finish is None and not row.future.done():
                continue
            self.rows.remove(row)
            del self._caches[id(row)]
            if finish is not None:
                row.answer(finish)
