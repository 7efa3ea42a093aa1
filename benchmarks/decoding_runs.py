"""Agent threads, or recorded requests, through one decoder, with every call and its time noted."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, sleep
from typing import Any

from threadmill.checkpoints import open_store
from threadmill.nodes import Slot
from threadmill.nodes.models.decoding.request import Sampled
from threadmill.nodes.models.local import LocalChatModel
from threadmill.training.rollout import run_tasks
from threadmill.training.worlds.helpdesk.tasks import make_tasks

TEMPERATURE = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """One answered request."""

    prompt: tuple[int, ...]
    seed: int
    sampled: Sampled
    seconds: float
    """From submit to result."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and how many tokens to sample."""

    prompt: tuple[int, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Run:
    """What one decoder did in one repetition."""

    calls: tuple[Call, ...]
    seconds: float
    cpu_seconds: float

    @property
    def tokens(self) -> int:
        """Sampled tokens."""
        return sum(len(call.sampled.ids) for call in self.calls)

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds

    @property
    def cpu_speed(self) -> float:
        """Tokens per CPU second of the whole process."""
        return self.tokens / self.cpu_seconds


class Meter:
    """A decoder that notes every call."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self._asked: list[Future[Sampled]] = []
        self._answered: list[Call] = []

    def submit(self, prompt: Sequence[int], *, seed: int, **settings: Any) -> "Future[Sampled]":
        """Queue one request."""
        began = perf_counter()
        future = self.decoder.submit(prompt, seed=seed, **settings)

        def note(done: "Future[Sampled]") -> None:
            self._answered.append(Call(tuple(prompt), seed, done.result(), perf_counter() - began))

        self._asked.append(future)
        future.add_done_callback(note)
        return future

    def measure(self, work: Callable[[], Any]) -> Run:
        """The calls and the time of ``work``, which fails if one of them fails."""
        self._asked, self._answered = [], []
        began, began_cpu = perf_counter(), process_time()
        work()
        seconds, cpu_seconds = perf_counter() - began, process_time() - began_cpu
        while len(self._answered) < len(self._asked):
            sleep(0.001)  # a caller may go on before the last answer is noted
        return Run(tuple(self._answered), seconds, cpu_seconds)

    def close(self) -> None:
        """Stop the decoder."""
        self.decoder.close()


def put_decoder(chat: LocalChatModel, decoder: Any) -> None:
    """Let ``decoder`` answer the calls of ``chat``."""
    chat.voice.decoder = decoder


def run_threads(meter: Meter, chat: LocalChatModel, threads: int, per_tier: int, seed: int) -> Run:
    """Agent threads in a database of their own, ``threads`` at a time; equal seeds give equal tasks."""
    put_decoder(chat, meter)
    tasks = make_tasks("heldout", per_tier, seed=seed)
    random.Random(seed).shuffle(tasks)  # or all the long ones would come last
    slot = Slot.fixed("helpdesk.think", chat, chat.version)
    with TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/runs.db") as store:
        return meter.measure(lambda: run_tasks(store, tasks, slot, trials=1, seed=seed, workers=threads))


def replay(meter: Meter, requests: Sequence[Request], submitters: int) -> Run:
    """The requests in their order, ``submitters`` at a time, without any graph."""

    def one(seed: int) -> None:
        request = requests[seed]
        meter.submit(request.prompt, max_new_tokens=request.tokens, temperature=TEMPERATURE, seed=seed).result()

    def work() -> None:
        with ThreadPoolExecutor(submitters) as pool:
            list(pool.map(one, range(len(requests))))

    return meter.measure(work)
