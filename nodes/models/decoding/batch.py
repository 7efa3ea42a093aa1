"""The rows of one model that are decoded together: they join, step and leave between forward passes.

Each row ends at the common last column of the buffers; what it does not use has position -1 and is
masked. What a row attends to follows from positions alone, so windows of sliding attention hold too.
"""

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .columns import Columns
from .prefixes import SHORTEST, Kept, Prefixes, shared
from .request import Row
from .sampling import draw
from .traced import Traced

SHORT = 32
"""Prompts with at most so many new tokens are read together whatever the padding: a pass costs more."""


class Batch:
    """Rows, their keys and values, and those kept from earlier turns."""

    def __init__(self, model: Any, max_rows: int, kept_bytes: int, traced: Traced | None = None) -> None:
        self.model = model
        self.device = model.device
        self.max_rows = max_rows
        self.rows: list[Row] = []
        self.prefixes = Prefixes(kept_bytes)
        self.columns = Columns()
        self._traced = traced
        self.positions = torch.full((0, 0), -1, device=self.device)
        """(rows, columns): the position of the token in a row's column, -1 where there is none."""
        config = model.config.get_text_config()
        self._window = getattr(config, "sliding_window", None)
        kinds: set[str] = set(getattr(config, "layer_types", None) or ())
        self.kinds: tuple[str, ...] = tuple(sorted(kinds)) if "sliding_attention" in kinds else ()
        """The masks that the model tells apart, by kind of layer; none if it takes one."""
        if kinds and not self.kinds:
            self._window = None

    def join(self, newcomers: Sequence[Row]) -> None:
        """Read the prompts of ``newcomers``, as far as nothing kept covers them, and sample their first tokens."""
        found = [(row, *self.prefixes.find(row.prompt)) for row in newcomers]
        now, later = _after_their_leader(found) if self.prefixes.max_bytes else (found, [])
        self._read_alike(now)
        self._read_alike([(row, *self.prefixes.find(row.prompt)) for row in later])

    def _read_alike(self, found: list[tuple[Row, Kept | None, int]]) -> None:
        """Read those of similar length together, so that little is padding."""
        found.sort(key=lambda item: _width(item[0], item[2]))
        while found:
            widest = max(SHORT, 2 * _width(found[0][0], found[0][2]))
            alike = sum(_width(row, length) <= widest for row, _, length in found)
            self._read(found[:alike])
            found = found[alike:]

    def _read(self, found: list[tuple[Row, Kept | None, int]]) -> None:
        """One forward pass over the new tokens of some rows, about equally many each."""
        width = max(_width(row, length) for row, _, length in found)
        self._make_room(len(found), width + max(length for _, _, length in found))
        end, n = self.columns.end, len(self.rows)
        begin = end - width - max(length for _, _, length in found)
        ids = np.zeros((len(found), width), dtype=np.int64)
        positions = np.full((len(found), end), -1)
        for i, (row, kept, length) in enumerate(found):
            new = _width(row, length)
            ids[i, width - new :] = row.prompt[length:]
            positions[i, end - width - length : end - width] = np.arange(length)
            positions[i, end - new :] = np.arange(length, len(row.prompt))
            row.first = end - width - length if length else end - new
            row.reused = length
            row.source = weakref.ref(kept) if kept is not None and length == len(kept.ids) else None
        for kept, length in {(kept, length) for _, kept, length in found if kept is not None}:
            rows = [n + i for i, (_, other, k) in enumerate(found) if other is kept and k == length]
            self.columns.put(kept.layers, length, rows, end - width)
        self.positions[n : n + len(found)] = -1
        self.positions[n : n + len(found), :end] = torch.from_numpy(positions).to(self.device)
        self.rows += [row for row, _, _ in found]
        logits = self._forward(slice(n, n + len(found)), begin, slice(end - width, end), ids)
        for i, (row, _, length) in enumerate(found):
            if self.prefixes.max_bytes and length * 2 < len(row.prompt):
                row.source = weakref.ref(self._keep(n + i, row, row.prompt))
        draw(self.rows[n:], logits)

    def step(self) -> None:
        """Feed every row its last token and sample the next."""
        self._make_room(0, 0)
        n, column = len(self.rows), self.columns.end
        self.positions[:n, column] = torch.tensor([row.length - 1 for row in self.rows], device=self.device)
        self.columns.end += 1
        ids = np.array([[row.ids[-1]] for row in self.rows])
        logits = self._forward(slice(0, n), min(row.first for row in self.rows), slice(column, column + 1), ids)
        draw(self.rows, logits)

    def _forward(self, rows: slice, begin: int, write: slice, ids: np.ndarray) -> torch.Tensor:
        """Logits (rows, vocabulary) behind the last of ``ids``."""
        positions = self.positions[rows, write]
        mask = self._mask(self.positions[rows, begin : write.stop], positions)
        tokens = torch.from_numpy(ids).to(self.device)
        if self._traced is not None and self.columns.buffers:
            masks = list(mask.values()) if isinstance(mask, dict) else [mask]
            new = torch.arange(write.start - begin, write.stop - begin)
            buffers = self.columns.views(rows, slice(begin, write.stop))
            return self._traced(tokens, positions.clamp(min=0), masks, new, buffers)
        self.columns.window(rows, begin, write)
        return self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions.clamp(min=0),
            past_key_values=self.columns,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]

    def _mask(self, keys: torch.Tensor, queries: torch.Tensor) -> Any:
        """What each query (rows, queries) may attend to, as numbers added to scores; by layer kind where those differ.

        The masked get the smallest number, not -inf: a query of padding may attend to nothing at all.
        """
        allowed = (keys >= 0)[:, None, :] & (keys[:, None, :] <= queries[:, :, None])
        if self._window is None:
            return self._added(allowed)
        near = self._added(allowed & (keys[:, None, :] > queries[:, :, None] - self._window))
        if not self.kinds:
            return near
        full = self._added(allowed)
        return {kind: near if kind == "sliding_attention" else full for kind in self.kinds}

    def _added(self, allowed: torch.Tensor) -> torch.Tensor:
        dtype = self.model.dtype
        scores = torch.zeros(allowed.shape, dtype=dtype, device=self.device)
        return scores.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]

    def leave(self) -> None:
        """Hand finished rows back and drop those of callers that gave up; the last row moves into each gap."""
        for i in reversed(range(len(self.rows))):
            row = self.rows[i]
            finish = row.finish()
            if finish is None and not row.future.done():
                continue
            if self.prefixes.max_bytes:
                self._keep(i, row, np.concatenate([row.prompt, row.ids[:-1]]))
            last = len(self.rows) - 1
            if i != last:
                self.columns.move(last, i, self.rows[last].first)
                self.positions[i] = self.positions[last]
                self.rows[i] = self.rows[last]
            self.rows.pop()
            if finish is not None:
                row.answer(finish)
        if not self.rows:
            self.columns.end = 0

    def _keep(self, place: int, row: Row, ids: np.ndarray) -> Kept:
        """Keep what the row at ``place`` has read, which is ``ids``."""
        end = self.columns.end
        columns: slice | torch.Tensor = slice(row.first, end)
        if end - row.first != len(ids):  # it has a gap
            columns = row.first + (self.positions[place, row.first : end] >= 0).nonzero().squeeze(1)
        kept = Kept(ids, self.columns.copy(place, columns))
        self.prefixes.keep(kept, row.source() if row.source is not None else None)
        return kept

    def _make_room(self, newcomers: int, longest: int) -> None:
        """Make ``newcomers`` rows fit, ``longest`` columns before the common end and one after it."""
        end, n = self.columns.end, len(self.rows)
        first = min((row.first for row in self.rows), default=end)
        used = end - first
        size = max(used, longest)
        rows, capacity = self.positions.shape
        if n + newcomers <= rows and size <= end and end + 1 <= capacity:
            return
        if n + newcomers <= rows and 2 * size + 1 <= capacity:
            self.positions[:n, size - used : size] = self.positions[:n, first:end].clone()
            self.positions[:n, : size - used] = -1
            self.columns.shift(n, first, size)
        else:
            rows, grown = max(rows, 1), max(capacity, 256)
            while rows < n + newcomers:
                rows = min(2 * rows, self.max_rows)
            while grown < 4 * size + 1:
                grown *= 2
            positions = torch.full((rows, grown), -1, device=self.device)
            positions[:n, size - used : size] = self.positions[:n, first:end]
            self.positions = positions
            self.columns.grow(n, first, size, (rows, grown))
        for row in self.rows:
            row.first += size - end


def _width(row: Row, length: int) -> int:
    """Tokens of the prompt that must be read."""
    return len(row.prompt) - length


def _after_their_leader(
    found: list[tuple[Row, Kept | None, int]],
) -> tuple[list[tuple[Row, Kept | None, int]], list[Row]]:
    """Who is read now, and who waits a moment because one of those begins alike and nothing of it is kept yet."""
    now: list[tuple[Row, Kept | None, int]] = []
    later: list[Row] = []
    for row, kept, length in found:
        news = [shared(row.prompt[:-1], leader.prompt) for leader, _, _ in now]
        if max(news, default=0) >= max(SHORTEST, 2 * length):
            later.append(row)
        else:
            now.append((row, kept, length))
    return now, later
