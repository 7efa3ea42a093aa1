"""Keys and values of all rows of a batch, written in place at common columns.

A transformers cache: for each layer two buffers (rows, heads, columns, width). All rows end at one
common column, so a step writes one column for all; a row begins wherever its length says.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

KeysAndValues = list[tuple[torch.Tensor, torch.Tensor]]
"""Of one row, for each layer: two tensors (heads, columns, width)."""


class Columns(Cache):
    """The buffers, and which part of them the next forward pass writes and reads."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=DynamicLayer)
        self.end = 0
        """The common column at which every row ends (exclusive)."""
        self.buffers: KeysAndValues = []
        self.capacity = (0, 0)
        """Rows and columns of the buffers."""
        self._rows = slice(0, 0)
        self._begin = 0
        self._write = slice(0, 0)

    def window(self, rows: slice, begin: int, write: slice) -> None:
        """The next pass is for ``rows``, writes the columns ``write``, and sees those from ``begin`` on."""
        self._rows, self._begin, self._write = rows, begin, write

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new columns of a layer and return all that the pass may attend to."""
        if layer_idx == len(self.buffers):
            self.buffers.append((self._empty(key_states), self._empty(value_states)))
        keys, values = self.buffers[layer_idx]
        keys[self._rows, :, self._write] = key_states
        values[self._rows, :, self._write] = value_states
        seen = slice(self._begin, self._write.stop)
        return keys[self._rows, :, seen], values[self._rows, :, seen]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns that the next pass sees, its own not among them."""
        return self._write.start - self._begin

    def views(self, rows: slice, columns: slice) -> list[torch.Tensor]:
        """Keys and values of each layer in turn."""
        return [tensor[rows, :, columns] for pair in self.buffers for tensor in pair]

    def put(self, kept: KeysAndValues, length: int, rows: Sequence[int], end: int) -> None:
        """Copy the first ``length`` columns of ``kept`` into each of ``rows``, so that they end at column ``end``."""
        if not self.buffers:
            self.buffers = [(self._empty(keys[None]), self._empty(values[None])) for keys, values in kept]
        for pair, (keys, values) in zip(self.buffers, kept, strict=True):
            for row in rows:
                pair[0][row, :, end - length : end] = keys[:, :length]
                pair[1][row, :, end - length : end] = values[:, :length]

    def copy(self, row: int, columns: slice | torch.Tensor) -> KeysAndValues:
        """What ``row`` holds in ``columns``."""
        return [(keys[row, :, columns].clone(), values[row, :, columns].clone()) for keys, values in self.buffers]

    def move(self, source: int, target: int, begin: int) -> None:
        """Copy one row over another, from column ``begin`` on."""
        for pair in self.buffers:
            for tensor in pair:
                tensor[target, :, begin : self.end] = tensor[source, :, begin : self.end]

    def shift(self, rows: int, begin: int, end: int) -> None:
        """Move the columns [begin, common end) of the first ``rows`` so that they end at ``end``."""
        for pair in self.buffers:
            for tensor in pair:
                tensor[:rows, :, end - (self.end - begin) : end] = tensor[:rows, :, begin : self.end].clone()
        self.end = end

    def grow(self, rows: int, begin: int, end: int, capacity: tuple[int, int]) -> None:
        """The same, into new buffers of ``capacity``."""
        self.capacity = capacity
        for i, pair in enumerate(self.buffers):  # layer by layer, so that only one is there twice
            keys, values = (self._empty(tensor) for tensor in pair)
            for old, fresh in zip(pair, (keys, values), strict=True):
                fresh[:rows, :, end - (self.end - begin) : end] = old[:rows, :, begin : self.end]
            self.buffers[i] = (keys, values)
        self.end = end

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        """A buffer of zeros: what is masked counts for nothing only if it is a number."""
        rows, columns = self.capacity
        return like.new_zeros((rows, like.shape[1], columns, like.shape[3]))
