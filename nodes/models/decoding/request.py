"""One request to the decode thread while it is being answered, and what it gets."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, Protocol

import numpy as np
import torch

from ....errors import BadModelSpec

Finish = Literal["stop", "length", "stop_text"]


class Constraint(Protocol):
    """A grammar that one answer must follow."""

    def mask_(self, scores: torch.Tensor, left: int) -> None:
        """Set what may not come next to -inf, in place; ``left`` tokens may still be sampled, this one among them."""
        ...

    def accept(self, token: int) -> None:
        """Go on behind ``token``."""
        ...


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one request got: ids, one logprob per id, and why it stopped.

    ``stop``: a token that ends turns; ``length``: the budget is used up; ``stop_text``: the caller's stop.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    reused: int = field(default=0, compare=False)
    """Tokens of the prompt whose keys and values were kept from before."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Logprobs are those before ``top_k``, ``top_p``, ``min_p`` and any grammar.

    Raises:
        BadModelSpec: a number that means nothing.
    """

    temperature: float = 1.0
    """0 takes the likeliest token and records its logprob at temperature 1."""
    top_k: int = 0
    """Draw from so many of the likeliest tokens; 0 from all."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability."""
    min_p: float = 0.0
    """Draw from tokens at least this likely compared with the likeliest."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < inf:  # not a number is refused, too
            raise BadModelSpec(f"temperature={self.temperature}: it is 0 for the likeliest token, or positive")
        if self.top_k < 0:
            raise BadModelSpec(f"top_k={self.top_k}: it is 0 for all tokens, or how many of them")
        if not (0 <= self.top_p <= 1 and 0 <= self.min_p <= 1):
            raise BadModelSpec(f"top_p={self.top_p}, min_p={self.min_p}: they are shares between 0 and 1")

    @property
    def plain(self) -> bool:
        """Whether it draws from the whole distribution."""
        return self.top_k == 0 and self.top_p >= 1 and self.min_p <= 0


@dataclass(slots=True, eq=False)
class Row:
    """A request and its answer so far. Only the decode thread touches it once it is submitted."""

    prompt: np.ndarray
    """Token ids, int64."""
    budget: int
    """Tokens to sample at most."""
    sampling: Sampling
    random: np.random.Generator
    end_ids: frozenset[int]
    constraint: Constraint | None = None
    stops: Callable[[Sequence[int]], bool] | None = None
    """Whether the answer so far holds a text at which the caller wants it to stop."""
    on_token: Callable[[int], None] | None = None
    """Told every token as it is sampled; must not block."""
    lane: str = ""
    """Whose request it is: callers take turns."""
    future: "Future[Sampled]" = field(default_factory=Future)
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    first: int = 0
    """Its first column in the batch's buffers."""
    source: "Callable[[], Any] | None" = None
    """Gives the kept keys and values that it continues, or None once they are forgotten."""
    reused: int = 0
    """Tokens that it took over from kept keys and values."""

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.prompt) + len(self.ids)

    @property
    def left(self) -> int:
        """Tokens that may still be sampled."""
        return self.budget - len(self.ids)

    def take(self, token: int, logprob: float) -> None:
        """Write down what was drawn."""
        self.ids.append(token)
        self.logprobs.append(logprob)
        if self.constraint is not None and token not in self.end_ids:
            self.constraint.accept(token)
        if self.on_token is not None:
            self.on_token(token)

    def finish(self) -> Finish | None:
        """Why the answer ends here, or None. Fails the row alone if ``stops`` fails."""
        if self.future.done():  # it failed, or its caller gave up
            return None
        if self.ids[-1] in self.end_ids:
            return "stop"
        try:
            if self.stops is not None and self.stops(self.ids):
                return "stop_text"
        except BaseException as error:
            self.fail(error)
            return None
        return "length" if len(self.ids) >= self.budget else None

    def answer(self, finish: Finish) -> None:
        """Hand the answer back."""
        with suppress(InvalidStateError):  # the caller gave up
            self.future.set_result(Sampled(tuple(self.ids), tuple(self.logprobs), finish, self.reused))

    def fail(self, error: BaseException) -> None:
        """Hand an error back."""
        with suppress(InvalidStateError):  # it was answered already, or its caller gave up
            self.future.set_exception(error)
