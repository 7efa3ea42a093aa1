"""Keys and values kept between turns: exact, shared, bounded, and gone with the weights."""

import random
import weakref
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadmill.nodes.models.decoding.batch import Batch
from threadmill.nodes.models.decoding.decode import Decoder
from threadmill.nodes.models.decoding.prefixes import Kept, Prefixes, shared
from threadmill.nodes.models.decoding.request import Row, Sampling


def plain(model: Any, prompt: list[int], ids: tuple[int, ...]) -> torch.Tensor:
    """Logprobs of ``ids`` by one ordinary forward pass."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids)[:, None])[:, 0]


def numbers(n: int, seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(90) for _ in range(n)]


def test_the_next_turn_reads_only_what_is_new_and_its_logprobs_are_exact(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset())
    prompt = numbers(40)
    reused = []
    for turn in range(4):
        answer = decoder.submit(prompt, max_new_tokens=9, temperature=1.0, seed=turn).result(timeout=60)
        assert (plain(tiny_model, prompt, answer.ids) - torch.tensor(answer.logprobs)).abs().max() < 1e-4
        reused.append(answer.reused)
        prompt = [*prompt, *answer.ids, *numbers(11, seed=turn)]
    # all but the last sampled token of the turn before, which the model never read
    assert reused == [0, 48, 68, 88]
    decoder.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_mixture_of_shared_beginnings_is_exact(tiny_model: Any, data: st.DataObject) -> None:
    decoder = Decoder(
        tiny_model, frozenset({5}), max_rows=4, kept_bytes=data.draw(st.sampled_from([0, 20_000, 1 << 20]))
    )
    common = numbers(60)
    asked = []
    for seed in range(data.draw(st.integers(1, 12))):
        head = common[: data.draw(st.integers(0, 60))]
        asked.append([*head, *numbers(data.draw(st.integers(1, 30)), seed=seed + 1)])
    futures = [
        decoder.submit(prompt, max_new_tokens=1 + seed % 7, temperature=1.0, seed=seed)
        for seed, prompt in enumerate(asked)
    ]
    for prompt, future in zip(asked, futures, strict=True):
        answer = future.result(timeout=60)
        assert (plain(tiny_model, prompt, answer.ids) - torch.tensor(answer.logprobs)).abs().max() < 1e-4
    decoder.close()


def test_instructions_that_many_begin_with_are_read_once(tiny_model: Any) -> None:
    batch = Batch(tiny_model, 8, kept_bytes=1 << 20)
    read = []
    forward = tiny_model.forward
    tiny_model.forward = lambda **inputs: read.append(inputs["input_ids"].numel()) or forward(**inputs)
    rows = [
        Row(np.array([*numbers(100), 7, i]), 5, Sampling(), np.random.default_rng(0), frozenset()) for i in range(8)
    ]
    with torch.inference_mode():
        batch.join(rows)
    assert read == [102, 7]  # the first one's prompt, then the last token of the seven others
    assert [row.reused for row in rows] == [0, *[101] * 7]


def test_what_was_not_used_for_longest_is_forgotten_first() -> None:
    one = (torch.zeros(1, 32, 2), torch.zeros(1, 32, 2))  # 512 bytes
    kept = [Kept(np.arange(32) + 100 * i, [one]) for i in range(4)]
    prefixes = Prefixes(max_bytes=3 * 512)
    for entry in kept[:3]:
        prefixes.keep(entry)
    assert prefixes.find(np.arange(40))[1] == 32  # the first is used again
    prefixes.keep(kept[3])
    assert [prefixes.find(entry.ids)[1] for entry in kept] == [31, 0, 31, 31]
    assert (len(prefixes), prefixes.bytes) == (3, 3 * 512)
    prefixes.keep(Kept(np.arange(33), [one]), instead_of=kept[0])
    assert prefixes.find(np.arange(40))[1] == 33
    assert len(prefixes) == 3


def test_what_is_forgotten_while_a_row_continues_it_takes_no_memory(tiny_model: Any) -> None:
    batch = Batch(tiny_model, 2, kept_bytes=1 << 20)

    def row(prompt: list[int]) -> Row:
        return Row(np.array(prompt), 1000, Sampling(), np.random.default_rng(0), frozenset())

    with torch.inference_mode():
        first, second = row(numbers(40)), row([*numbers(40), 7, 8])
        batch.join([first])
        batch.step()
        first.future.cancel()
        batch.leave()
        batch.join([second])
        (kept,) = (weakref.ref(entry) for entry in batch.prefixes._kept.values())
        batch.prefixes.clear()
        assert kept() is None
        batch.step()
        second.future.cancel()
        batch.leave()
    assert [len(entry.ids) for entry in batch.prefixes._kept.values()] == [43]


def test_shared() -> None:
    assert shared(np.array([1, 2, 3]), np.array([1, 2, 4, 5])) == 2
    assert shared(np.array([1, 2]), np.array([1, 2, 3])) == 2
    assert shared(np.array([1]), np.array([2])) == 0
