"""One thread that decodes for all callers of a model: requests join and leave between steps.

Rows of a batch end at one common column of a preallocated key/value buffer, so a step writes one
column in place; what a row does not use is masked. Each row samples with a seed of its own, so its
result does not depend on who else is in the batch (up to rounding). The logprob of every sampled
token over the full vocabulary is recorded as it is drawn.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

GATHER_S = 0.003
"""How long an idle model waits for more requests before it starts with those that it has."""
PATIENCE_STEPS = 4
"""Steps that a few newcomers wait at most, so that their prompts are read in one go."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one request got: ids, one logprob per id, and why it stopped (``stop`` or ``length``)."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: str


@dataclass(slots=True)
class _Row:
    prompt: Sequence[int]
    budget: int
    temperature: float
    draw: np.random.Generator
    future: "Future[Sampled]"
    waited: int = 0
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.ids)


class Decoder:
    """Owns the decoding of one model; ``submit`` may be called from any thread."""

    def __init__(self, model: Any, end_ids: frozenset[int], *, max_rows: int = 64) -> None:
        self.model = model
        self.end_ids = end_ids
        self.max_rows = max_rows
        self._queue: SimpleQueue[_Row | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int) -> "Future[Sampled]":
        """Queue one request. Temperature 0 takes the likeliest token and records its logprob at temperature 1.

        The future can be cancelled until it is done; its row is then free for others.
        """
        future: Future[Sampled] = Future()
        row = _Row(prompt, max_new_tokens, temperature, np.random.default_rng(seed), future)
        with self._lock:
            if self._closed:
                raise RuntimeError("this model is closed; open it again to use it")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="decode")
                self._thread.start()
            self._queue.put(row)
        return future

    def close(self) -> None:
        """Stop the thread; requests in flight fail with a clear error."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    @torch.inference_mode()
    def _work(self) -> None:
        batch = _Batch(self.model, self.max_rows)
        waiting: list[_Row] = []
        while self._collect(waiting, idle=not batch.rows):
            newcomers: list[_Row] = []
            try:
                if self._admits(batch, waiting):
                    room = self.max_rows - len(batch.rows)
                    newcomers, waiting = waiting[:room], waiting[room:]
                    batch.join(newcomers)
                elif batch.rows:
                    batch.step()
                for row in waiting:
                    row.waited += 1
                batch.leave(self.end_ids)
            except BaseException as error:
                _fail([*batch.rows, *newcomers, *waiting], error)
                batch, waiting = _Batch(self.model, self.max_rows), []
        _fail([*batch.rows, *waiting], RuntimeError("the model was closed while it was decoding"))

    def _collect(self, waiting: list[_Row], *, idle: bool) -> bool:
        """Move queued requests into ``waiting``; False when the thread must end."""
        block = idle and not waiting
        while True:
            try:
                row = self._queue.get(block, None if block and not waiting else GATHER_S)
            except Empty:
                return True
            if row is None:
                return False
            waiting.append(row)
            block = idle

    def _admits(self, batch: "_Batch", waiting: list[_Row]) -> bool:
        if not waiting or len(batch.rows) >= self.max_rows:
            return False
        return not batch.rows or len(waiting) * 3 >= len(batch.rows) or waiting[0].waited >= PATIENCE_STEPS


class _Batch:
    """The rows being decoded and their keys and values."""

    def __init__(self, model: Any, max_rows: int) -> None:
        self.model = model
        self.device = model.device
        self.rows: list[_Row] = []
        self.max_rows = max_rows
        self.cache = _Columns()
        self.valid = torch.zeros((0, 0), dtype=torch.bool, device=self.device)
        """Which columns of the buffer a row uses."""

    def join(self, newcomers: list[_Row]) -> None:
        """Read the prompts of ``newcomers`` in one padded batch and sample their first token."""
        newcomers = [row for row in newcomers if not row.future.cancelled()]
        if not newcomers:
            return
        longest = max(len(row.prompt) for row in newcomers)
        ids = torch.zeros((len(newcomers), longest), dtype=torch.long)
        valid = torch.zeros((len(newcomers), longest), dtype=torch.bool)
        for i, row in enumerate(newcomers):
            ids[i, longest - len(row.prompt) :] = torch.tensor(row.prompt)
            valid[i, longest - len(row.prompt) :] = True
        ids, valid = ids.to(self.device), valid.to(self.device)
        positions = (valid.long().cumsum(-1) - 1).clamp(min=0)
        read = DynamicCache()
        logits = self.model(
            input_ids=ids,
            attention_mask=valid.long(),
            position_ids=positions,
            past_key_values=read,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self._make_room(len(newcomers), longest)
        begin, end, n = self.cache.end - longest, self.cache.end, len(self.rows)
        self.cache.put(read, n, begin)
        self.valid[n : n + len(newcomers)] = False
        self.valid[n : n + len(newcomers), begin:end] = valid
        self.rows += newcomers
        _sample(newcomers, logits)

    def step(self) -> None:
        """Feed every row its last token and sample the next."""
        self._make_room(0, 0)
        n, column = len(self.rows), self.cache.end
        self.valid[:n, column] = True
        begin = int(self.valid[:n].any(0).long().argmax())
        self.cache.window(n, begin)
        ids = torch.tensor([[row.ids[-1]] for row in self.rows], device=self.device)
        positions = torch.tensor([[row.length - 1] for row in self.rows], device=self.device)
        logits = self.model(
            input_ids=ids,
            attention_mask=self._mask(begin, column + 1),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        self.cache.end += 1
        _sample(self.rows, logits)

    def _mask(self, begin: int, end: int) -> torch.Tensor:
        """What each row may attend to, as numbers added to the scores: every attention understands that."""
        dtype = self.model.dtype
        allowed = self.valid[: len(self.rows), None, None, begin:end]
        return torch.zeros(allowed.shape, dtype=dtype, device=self.device).masked_fill_(
            ~allowed, torch.finfo(dtype).min
        )

    def leave(self, end_ids: frozenset[int]) -> None:
        """Hand finished rows back and drop those of callers that gave up; the last row moves into each gap."""
        for i in reversed(range(len(self.rows))):
            row = self.rows[i]
            stopped = row.ids[-1] in end_ids
            if not stopped and len(row.ids) < row.budget and not row.future.cancelled():
                continue
            last = len(self.rows) - 1
            if i != last:
                self.cache.move(last, i)
                self.valid[i] = self.valid[last]
                self.rows[i] = self.rows[last]
            self.rows.pop()
            with suppress(InvalidStateError):  # the caller gave up
                row.future.set_result(Sampled(tuple(row.ids), tuple(row.logprobs), "stop" if stopped else "length"))
        if not self.rows:
            self.cache.end = 0
            self.valid[:] = False

    def _make_room(self, newcomers: int, longest: int) -> None:
        """Make ``newcomers`` rows fit, ``longest`` columns before the common end and one after it."""
        end, n = self.cache.end, len(self.rows)
        used = end - int(self.valid[:n].any(0).long().argmax()) if n else 0
        size = max(used, longest)
        rows, capacity = self.valid.shape
        if n + newcomers <= rows and size <= end and end + 1 <= capacity:
            return
        rows, grown = max(rows, 1), max(capacity, 256)
        while rows < n + newcomers:
            rows = min(2 * rows, self.max_rows)
        while grown < 2 * size + 1:
            grown *= 2
        valid = torch.zeros((rows, grown), dtype=torch.bool, device=self.device)
        valid[:n, size - used : size] = self.valid[:n, end - used : end]
        self.valid = valid
        self.cache.shift(n, end - used, end, size, (rows, grown))


def _fail(rows: list[_Row], error: BaseException) -> None:
    for row in rows:
        with suppress(InvalidStateError):  # it was answered already, or its caller gave up
            row.future.set_exception(error)


def _sample(rows: list[_Row], logits: torch.Tensor) -> None:
    """Draw one token for each row by inverse transform sampling, and record its logprob."""
    temperatures = torch.tensor([row.temperature or 1.0 for row in rows], device=logits.device)
    logprobs = torch.log_softmax(logits.float() / temperatures[:, None], dim=-1)
    draws = torch.tensor([row.draw.random() for row in rows], dtype=torch.float64, device=logits.device)
    cumulative = logprobs.double().exp().cumsum(-1)
    chosen = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True).squeeze(1)
    greedy = torch.tensor([row.temperature == 0 for row in rows], device=logits.device)
    chosen = torch.where(greedy, logprobs.argmax(-1), chosen.clamp(max=logits.shape[-1] - 1))
    picked = logprobs.gather(1, chosen[:, None]).squeeze(1)
    for row, token, logprob in zip(rows, chosen.tolist(), picked.tolist(), strict=True):
        row.ids.append(token)
        row.logprobs.append(logprob)


class _Columns(Cache):
    """Keys and values of all rows, (rows, heads, columns, width) a layer, written at one column."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=DynamicLayer)
        self.end = 0
        """The common column at which every row ends (exclusive)."""
        self.capacity = (0, 0)
        """Rows and columns of the buffers."""
        self.buffers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._n = 0
        self._begin = 0

    def window(self, n: int, begin: int) -> None:
        """Say which rows and columns the next step reads."""
        self._n, self._begin = n, begin

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one column of a layer and return all that the step may attend to."""
        keys, values = self.buffers[layer_idx]
        keys[: self._n, :, self.end] = key_states[:, :, 0]
        values[: self._n, :, self.end] = value_states[:, :, 0]
        seen = slice(self._begin, self.end + 1)
        return keys[: self._n, :, seen], values[: self._n, :, seen]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns that the next step attends to, its own not among them."""
        return self.end - self._begin

    def put(self, read: DynamicCache, row: int, column: int) -> None:
        """Copy what was just read into the rows from ``row`` on, from ``column`` on."""
        layers: list[Any] = read.layers
        for (keys, values), layer in zip(self.buffers or self._allocate(layers), layers, strict=True):
            count, _, columns, _ = layer.keys.shape
            keys[row : row + count, :, column : column + columns] = layer.keys
            values[row : row + count, :, column : column + columns] = layer.values

    def _allocate(self, layers: list[Any]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        for layer in layers:
            self.buffers.append((self._empty(layer.keys), self._empty(layer.values)))
        return self.buffers

    def move(self, source: int, target: int) -> None:
        """Copy one row over another."""
        for buffer in self.buffers:
            for tensor in buffer:
                tensor[target, :, : self.end] = tensor[source, :, : self.end]

    def shift(self, n: int, begin: int, end: int, new_end: int, capacity: tuple[int, int]) -> None:
        """Move the columns [begin, end) of the first ``n`` rows so that they end at ``new_end``."""
        self.capacity = capacity
        for i, pair in enumerate(self.buffers):  # layer by layer, so that only one is there twice
            keys, values = (self._empty(t) for t in pair)
            for old, fresh in zip(pair, (keys, values), strict=True):
                fresh[:n, :, new_end - (end - begin) : new_end] = old[:n, :, begin:end]
            self.buffers[i] = (keys, values)
        self.end = new_end

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        rows, columns = self.capacity
        return like.new_zeros((rows, like.shape[1], columns, like.shape[3]))
