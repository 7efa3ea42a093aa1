"""One thread that decodes for all callers: requests join and leave between steps.

A ``DecodeThread`` may serve several sets of weights, a ``Decoder`` each: that is how a new version
takes over while answers of the old one are finished. Each row samples with a seed of its own, so its
result does not depend on who else is decoded (up to rounding). Callers take turns: who has many
requests waiting does not keep others from theirs.
"""

import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import torch

from ....errors import BadModelSpec, OutOfMemory, QueueFull
from .batch import Batch
from .request import Constraint, Row, Sampled, Sampling
from .solo import Solo
from .traced import Traced

GATHER_S = 0.003
"""How long an idle model waits for more requests before it starts with those that it has."""
PATIENCE_STEPS = 4
"""Steps that a few newcomers wait at most, so that their prompts are read in one go."""


class DecodeThread:
    """The owner of all decoding of one model; it starts with the first request.

    It ends with ``close``, or when nobody can ask any more: what works does not know this object.
    """

    def __init__(self) -> None:
        self._queue: _Queue = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def put(self, decoder: "Decoder", row: Row) -> None:
        """Queue one request for ``decoder``."""
        with self._lock:
            if self._closed:
                raise RuntimeError("this model is closed; open it again to use it")
            if self._thread is None:
                self._thread = threading.Thread(target=_work, args=(self._queue,), daemon=True, name="decode")
                self._thread.start()
                weakref.finalize(self, self._queue.put, None).atexit = False
            self._queue.put((decoder, row))

    def close(self) -> None:
        """Stop the thread; requests in flight fail with a clear error."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            if thread is not threading.current_thread():  # a listener or a callback may close, too
                thread.join()


class Decoder:
    """Decodes with one set of weights; ``submit`` may be called from any thread.

    Raises:
        BadModelSpec: fewer than one row, or a negative number of anything.
    """

    def __init__(
        self,
        model: Any,
        end_ids: frozenset[int],
        *,
        thread: DecodeThread | None = None,
        max_rows: int = 64,
        max_waiting: int = 4096,
        kept_bytes: int = 1 << 30,
        common_columns: bool = True,
        traced: Traced | None = None,
    ) -> None:
        """``kept_bytes``: keys and values kept between turns. ``common_columns`` False decodes row by row.
        ``traced`` is the model's forward pass, traced, if it could be."""
        if max_rows < 1 or max_waiting < 0 or kept_bytes < 0:
            raise BadModelSpec(
                f"max_rows={max_rows}, max_waiting={max_waiting}, kept_bytes={kept_bytes}: a model needs at least "
                "one row, and the others cannot be negative"
            )
        self.model = model
        self.end_ids = end_ids
        self._vocabulary = model.get_input_embeddings().weight.shape[0]
        self.max_rows = max_rows
        self.max_waiting = max_waiting
        self.kept_bytes = kept_bytes
        self._thread = thread or DecodeThread()
        self._common_columns = common_columns
        self._traced = traced
        self._batch = self._new_batch()
        self._lanes: OrderedDict[str, deque[Row]] = OrderedDict()
        self._patience = 0
        self._lock = threading.Lock()
        self._waiting: set[Future[Sampled]] = set()

    def submit(
        self,
        prompt: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        constraint: Constraint | None = None,
        stops: Callable[[Sequence[int]], bool] | None = None,
        on_token: Callable[[int], None] | None = None,
        lane: str = "",
    ) -> "Future[Sampled]":
        """Queue one request; those of one ``lane`` come one after the other, lanes take turns.

        The future can be cancelled until it is done; its row is then free for others.

        Raises:
            QueueFull: ``max_waiting`` requests wait already.
            BadModelSpec: settings that mean nothing, an empty prompt, or tokens that the model does not have.
        """
        ids = np.asarray(prompt, dtype=np.int64)
        if len(ids) == 0:
            raise BadModelSpec("the prompt is empty; a model continues at least one token")
        if ids.min() < 0 or ids.max() >= self._vocabulary:  # on a GPU, the model itself would not survive it
            raise BadModelSpec(
                f"the prompt has tokens from {ids.min()} to {ids.max()}, the model only 0 to {self._vocabulary - 1}; "
                "is the tokenizer another model's?"
            )
        if max_new_tokens < 1:
            raise BadModelSpec(f"max_new_tokens={max_new_tokens}: an answer has at least one token")
        if seed < 0:
            raise BadModelSpec(f"seed={seed}: seeds are whole numbers from 0 on")
        row = Row(
            ids,
            max_new_tokens,
            Sampling(temperature, top_k, top_p, min_p),
            np.random.default_rng(seed),
            self.end_ids,
            constraint,
            stops,
            on_token,
            lane,
        )
        with self._lock:
            if len(self._waiting) >= self.max_waiting:
                raise QueueFull(
                    f"{len(self._waiting)} requests wait already for this model, which answers {self.max_rows} at a "
                    "time; ask again later, run fewer threads at once, or open it with a larger max_waiting"
                )
            self._waiting.add(row.future)
        row.future.add_done_callback(self._waiting.discard)  # who gives up makes room at once
        try:
            self._thread.put(self, row)
        except RuntimeError:
            self._waiting.discard(row.future)
            raise
        return row.future

    def close(self) -> None:
        """Stop the thread, for all that it decodes; requests in flight fail with a clear error."""
        self._thread.close()

    # What follows is called by the decode thread alone.

    @property
    def rows(self) -> int:
        """Requests being decoded."""
        return len(self._batch.rows)

    @property
    def busy(self) -> bool:
        """Whether anything is decoded or waits."""
        return bool(self._batch.rows or self._lanes)

    def wait(self, row: Row) -> None:
        """Let ``row`` stand in its lane."""
        self._lanes.setdefault(row.lane, deque()).append(row)

    def work(self) -> None:
        """One step: read the prompts of newcomers, or sample one token for every row."""
        newcomers: list[Row] = []
        try:
            if self._admits():
                newcomers = self._next(self.max_rows - self.rows)
                if newcomers:
                    self._batch.join(newcomers)
                self._patience = 0
            elif self._batch.rows:
                self._batch.step()
                self._patience += bool(self._lanes)
            self._batch.leave()
        except BaseException as error:
            self.fail_all(self._explained(error), newcomers)

    def _admits(self) -> bool:
        if not self._lanes or self.rows >= self.max_rows:
            return False
        waiting = sum(map(len, self._lanes.values()))
        return not self._batch.rows or waiting * 3 >= self.rows or self._patience >= PATIENCE_STEPS

    def _next(self, room: int) -> list[Row]:
        """The next requests, one of each lane in turn, without those whose callers gave up."""
        taken: list[Row] = []
        while self._lanes and len(taken) < room:
            lane, rows = self._lanes.popitem(last=False)
            row = rows.popleft()
            if rows:
                self._lanes[lane] = rows  # at the end of the round
            if not row.future.done():
                taken.append(row)
        self._waiting.difference_update(row.future for row in taken)
        return taken

    def fail_all(self, error: BaseException, newcomers: Sequence[Row] = ()) -> None:
        """Hand ``error`` to everybody and begin anew."""
        waiting = [row for rows in self._lanes.values() for row in rows]
        for row in [*self._batch.rows, *newcomers, *waiting]:
            row.fail(error)
        self._lanes.clear()
        self._batch = self._new_batch()

    def _new_batch(self) -> Batch | Solo:
        if self._common_columns:
            return Batch(self.model, self.max_rows, self.kept_bytes, self._traced)
        return Solo(self.model, self.max_rows)

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, torch.OutOfMemoryError):
            return error
        longest = max((row.length for row in self._batch.rows), default=0)
        free, total = torch.cuda.mem_get_info(self.model.device) if torch.cuda.is_available() else (0, 0)
        return OutOfMemory(
            f"the GPU ran out of memory with {self.rows} answers at once, the longest of {longest} tokens "
            f"({free / 2**30:.1f} of {total / 2**30:.1f} GiB are free): {error}. Open the model with a smaller "
            f"max_rows than {self.max_rows} or kept_bytes than {self.kept_bytes}, or in bfloat16"
        )


_Queue = SimpleQueue["tuple[Decoder, Row] | None"]


@torch.inference_mode()
def _work(queue: _Queue) -> None:
    """Decode what comes through ``queue`` until that says None."""
    busy: dict[int, Decoder] = {}
    while _collect(queue, busy):
        for decoder in list(busy.values()):
            decoder.work()
            if not decoder.busy:
                del busy[id(decoder)]
        decoder = None  # nothing here keeps weights alive that nobody uses
    for decoder in busy.values():
        decoder.fail_all(RuntimeError("the model was closed while it was decoding"))


def _collect(queue: _Queue, busy: dict[int, Decoder]) -> bool:
    """Hand queued requests to their decoders; False when the thread must end."""
    idle = not any(decoder.rows for decoder in busy.values())
    block = idle and not busy
    until = None if block else time.monotonic() + GATHER_S
    while True:
        try:
            queued = queue.get(idle, None if until is None else max(0.0, until - time.monotonic()))
        except Empty:
            return True
        if queued is None:
            return False
        decoder, row = queued
        busy[id(decoder)] = decoder
        decoder.wait(row)
        until = until or time.monotonic() + GATHER_S
