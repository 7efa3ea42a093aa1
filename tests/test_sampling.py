"""Drawing tokens: what narrows the choice never touches the recorded logprobs, and a row that fails fails alone."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from threadmill.nodes.models.decoding.request import Row, Sampling
from threadmill.nodes.models.decoding.sampling import draw

PROBABILITIES = (0.4, 0.3, 0.2, 0.06, 0.04)
LOGITS = torch.log(torch.tensor(PROBABILITIES))


def row(sampling: Sampling = Sampling(), seed: int = 0, **rest: Any) -> Row:  # noqa: B008
    return Row(np.array([1]), 10_000, sampling, np.random.default_rng(seed), frozenset(), **rest)


class Only:
    """Allows some tokens."""

    def __init__(self, *allowed: int) -> None:
        self.allowed, self.accepted, self.left = allowed, list[int](), list[int]()

    def mask_(self, scores: torch.Tensor, left: int) -> None:
        self.left.append(left)
        forbidden = torch.ones(len(scores), dtype=torch.bool)
        forbidden[list(self.allowed)] = False
        scores.masked_fill_(forbidden, float("-inf"))

    def accept(self, token: int) -> None:
        self.accepted.append(token)


@pytest.mark.parametrize(
    ("sampling", "allowed"),
    [
        (Sampling(), {0, 1, 2, 3, 4}),
        (Sampling(top_k=2), {0, 1}),
        (Sampling(top_k=50), {0, 1, 2, 3, 4}),
        (Sampling(top_p=0.5), {0, 1}),
        (Sampling(top_p=0.2), {0}),
        (Sampling(top_p=0.0), {0}),
        (Sampling(min_p=0.4), {0, 1, 2}),
        (Sampling(top_k=3, min_p=0.6), {0, 1}),
        (Sampling(temperature=0.0, top_k=3), {0}),
    ],
)
def test_the_choice_is_narrowed_and_the_logprobs_are_not(sampling: Sampling, allowed: set[int]) -> None:
    one = row(sampling)
    for _ in range(400):
        draw([one], LOGITS[None])
    assert set(one.ids) == allowed
    for token, logprob in zip(one.ids, one.logprobs, strict=True):
        assert logprob == pytest.approx(np.log(PROBABILITIES[token]), abs=1e-6)


def test_what_is_left_keeps_its_proportions() -> None:
    one = row(Sampling(top_k=2))
    for _ in range(4000):
        draw([one], LOGITS[None])
    # 0.4 of 0.7; the standard error of a share is 0.008
    assert Counter(one.ids)[0] / 4000 == pytest.approx(4 / 7, abs=0.03)


def test_temperature_is_in_the_logprobs() -> None:
    one = row(Sampling(temperature=0.5))
    draw([one], LOGITS[None])
    squared = np.square(PROBABILITIES)
    assert one.logprobs[0] == pytest.approx(np.log(squared[one.ids[0]] / squared.sum()), abs=1e-6)


def test_a_grammar_chooses_and_the_logprobs_are_those_without_it() -> None:
    grammar = Only(3, 4)
    one = row(constraint=grammar)
    free = row(seed=1)
    for _ in range(50):
        draw([one, free], LOGITS.repeat(2, 1))
    assert set(one.ids) == {3, 4}
    assert grammar.accepted == one.ids
    assert grammar.left[:3] == [10_000, 9_999, 9_998]
    assert set(free.ids) > {0, 1}
    for token, logprob in zip(one.ids, one.logprobs, strict=True):
        assert logprob == pytest.approx(np.log(PROBABILITIES[token]), abs=1e-6)


def test_a_grammar_and_a_greedy_draw() -> None:
    one = row(Sampling(temperature=0.0), constraint=Only(2, 4))
    draw([one], LOGITS[None])
    assert one.ids == [2]


def test_a_grammar_that_fails_fails_its_own_row() -> None:
    class Broken(Only):
        def accept(self, token: int) -> None:
            raise ValueError("lost its place")

    broken, other = row(constraint=Broken(1)), row()
    draw([broken, other], LOGITS.repeat(2, 1))
    with pytest.raises(ValueError, match="lost its place"):
        broken.future.result(timeout=0)
    assert len(other.ids) == 1
    assert not other.future.done()


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.7), Sampling(temperature=0.7, min_p=0.1, top_p=0.9)])
def test_a_thread_that_loads_a_bfloat16_model_does_not_blur_the_logprobs(sampling: Sampling) -> None:
    before, after = row(sampling), row(sampling)
    draw([before], LOGITS[None])
    torch.set_default_dtype(torch.bfloat16)  # as transformers does for all threads while it builds a model
    try:
        draw([after], LOGITS[None])
    finally:
        torch.set_default_dtype(torch.float32)
    assert (after.ids, after.logprobs) == (before.ids, before.logprobs)
