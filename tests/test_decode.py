"""The decode thread: exact logprobs in a crowd, seeds, stopping, failing and closing."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from threadmill.errors import QueueFull
from threadmill.nodes.models.decoding.batch import Batch
from threadmill.nodes.models.decoding.decode import Decoder, DecodeThread
from threadmill.nodes.models.decoding.request import Row, Sampled, Sampling


def requests(count: int, vocabulary: int) -> list[dict[str, Any]]:
    rng = random.Random(0)
    return [
        {
            "prompt": [rng.randrange(vocabulary) for _ in range(rng.randrange(3, 60))],
            "max_new_tokens": rng.randrange(1, 20),
            "temperature": rng.choice((0.0, 0.7, 1.0)),
            "seed": seed,
        }
        for seed in range(count)
    ]


def ask(decoder: Decoder, request: dict[str, Any]) -> Sampled:
    return decoder.submit(**request).result(timeout=60)


def plain_logprobs(model: Any, request: dict[str, Any], ids: tuple[int, ...]) -> torch.Tensor:
    """The logprobs of ``ids`` by one ordinary forward pass over prompt and answer."""
    with torch.no_grad():
        logits = model(torch.tensor([[*request["prompt"], *ids]])).logits[0, len(request["prompt"]) - 1 : -1]
    logits = logits / (request["temperature"] or 1.0)
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids)[:, None])[:, 0]


def test_logprobs_are_those_of_a_plain_forward_pass_whoever_else_is_decoded(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset({5}), max_rows=6)  # more callers than rows: they join and leave
    asked = requests(40, tiny_model.config.vocab_size)
    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(lambda request: ask(decoder, request), asked))
    for request, sampled in zip(asked, got, strict=True):
        assert 1 <= len(sampled.ids) <= request["max_new_tokens"]
        difference = plain_logprobs(tiny_model, request, sampled.ids) - torch.tensor(sampled.logprobs)
        assert difference.abs().max() < 1e-4
    alone = [ask(decoder, request) for request in asked[:10]]
    assert [sampled.ids for sampled in alone] == [sampled.ids for sampled in got[:10]]
    decoder.close()


def test_temperature_0_takes_the_likeliest_token(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset())
    request = {"prompt": [7, 8, 9], "max_new_tokens": 4, "temperature": 0.0, "seed": 0}
    sampled = ask(decoder, request)
    expected = [7, 8, 9]
    for _ in range(4):
        with torch.no_grad():
            expected.append(int(tiny_model(torch.tensor([expected])).logits[0, -1].argmax()))
    assert [7, 8, 9, *sampled.ids] == expected
    decoder.close()


def test_draws_follow_the_distribution(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset())
    with torch.no_grad():
        wanted = torch.softmax(tiny_model(torch.tensor([[7, 8, 9]])).logits[0, -1], -1)
    futures = [decoder.submit([7, 8, 9], max_new_tokens=1, temperature=1.0, seed=seed) for seed in range(2000)]
    drawn = torch.bincount(torch.tensor([future.result().ids[0] for future in futures]), minlength=len(wanted))
    half = wanted.argsort(descending=True)[: len(wanted) // 2]
    # 2,000 draws: the standard error of a share is about 0.011
    assert abs(float(drawn[half].sum() / 2000 - wanted[half].sum())) < 0.05
    decoder.close()


def test_the_end_of_turn_stops_and_is_kept(tiny_model: Any) -> None:
    free = Decoder(tiny_model, frozenset())
    request = {"prompt": [7, 8, 9], "max_new_tokens": 6, "temperature": 1.0, "seed": 3}
    whole = ask(free, request)
    assert whole.finish == "length"
    free.close()
    stopping = Decoder(tiny_model, frozenset({whole.ids[3]}))
    assert ask(stopping, request) == Sampled(whole.ids[:4], whole.logprobs[:4], "stop")
    stopping.close()


def test_an_error_in_the_model_reaches_every_caller_and_the_next_call_works(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset())
    good = {"prompt": [7, 8, 9], "max_new_tokens": 3, "temperature": 1.0, "seed": 3}
    scale = tiny_model.model.norm.weight
    tiny_model.model.norm.weight = torch.nn.Parameter(torch.ones(7), requires_grad=False)  # does not fit
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(ask, decoder, good) for _ in range(3)]:
            with pytest.raises(RuntimeError, match="size of tensor"):
                future.result()
    tiny_model.model.norm.weight = scale
    assert len(ask(decoder, good).ids) == 3
    decoder.close()


def test_a_closed_model_says_so(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset())
    future = decoder.submit([7, 8, 9], max_new_tokens=10_000, temperature=1.0, seed=0)
    decoder.close()
    with pytest.raises(RuntimeError, match="closed while it was decoding"):
        future.result(timeout=10)
    with pytest.raises(RuntimeError, match="this model is closed"):
        decoder.submit([7], max_new_tokens=1, temperature=1.0, seed=0)


def test_closing_also_fails_those_that_wait_for_a_row(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset(), max_rows=1)
    futures = [decoder.submit([7, 8, 9], max_new_tokens=10_000, temperature=1.0, seed=seed) for seed in range(3)]
    decoder.close()
    for future in futures:
        with pytest.raises(RuntimeError, match="closed while it was decoding"):
            future.result(timeout=10)


def test_logprobs_are_exact_with_eager_attention_too(tiny_model: Any) -> None:
    tiny_model.set_attn_implementation("eager")  # it adds the mask to the scores, where others select by it
    decoder = Decoder(tiny_model, frozenset())
    asked = requests(6, tiny_model.config.vocab_size)
    futures = [decoder.submit(**request) for request in asked]
    for request, future in zip(asked, futures, strict=True):
        sampled = future.result(timeout=60)
        difference = plain_logprobs(tiny_model, request, sampled.ids) - torch.tensor(sampled.logprobs)
        assert difference.abs().max() < 1e-4
    decoder.close()


def test_a_caller_that_gives_up_frees_its_row(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset(), max_rows=1)
    endless = decoder.submit([7, 8, 9], max_new_tokens=10**9, temperature=1.0, seed=0)
    time.sleep(0.2)  # it is being decoded by now
    assert endless.cancel()
    assert len(ask(decoder, {"prompt": [7], "max_new_tokens": 3, "temperature": 1.0, "seed": 0}).ids) == 3
    decoder.close()


def test_one_caller_takes_the_memory_of_one_row(tiny_model: Any) -> None:
    batch = Batch(tiny_model, 64, kept_bytes=0)
    with torch.inference_mode():
        for count, rows in ((1, 1), (1, 2), (1, 4), (60, 64)):
            batch.join(
                [Row(np.array([7, 8, 9]), 9, Sampling(), np.random.default_rng(0), frozenset()) for _ in range(count)]
            )
            assert [keys.shape[0] for keys, _ in batch.columns.buffers] == [rows, rows]


def test_callers_take_turns_so_that_a_flood_does_not_drown_one(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset(), max_rows=2)
    order: list[str] = []
    flood = [decoder.submit([7, i], max_new_tokens=30, temperature=1.0, seed=i, lane="flood") for i in range(40)]
    single = decoder.submit([9], max_new_tokens=30, temperature=1.0, seed=0, lane="single")
    for i, future in enumerate(flood):
        future.add_done_callback(lambda _, i=i: order.append(f"flood {i}"))
    single.add_done_callback(lambda _: order.append("single"))
    for future in [*flood, single]:
        future.result(timeout=60)
    assert order.index("single") <= 8
    assert [name for name in order if name != "single"][-1] == "flood 39"  # within a lane, first come, first served
    decoder.close()


def test_a_full_queue_says_so_and_takes_requests_again_later(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset(), max_rows=1, max_waiting=3)
    endless = decoder.submit([7], max_new_tokens=10**9, temperature=1.0, seed=0)
    time.sleep(0.2)  # it is being decoded by now
    waiting = [decoder.submit([7], max_new_tokens=2, temperature=1.0, seed=0) for _ in range(3)]
    with pytest.raises(QueueFull, match="3 requests wait already for this model, which answers 1 at a time"):
        decoder.submit([7], max_new_tokens=2, temperature=1.0, seed=0)
    waiting.pop().cancel()
    endless.cancel()
    assert [len(future.result(timeout=60).ids) for future in waiting] == [2, 2]
    assert len(ask(decoder, {"prompt": [7], "max_new_tokens": 3, "temperature": 1.0, "seed": 0}).ids) == 3
    decoder.close()


def test_two_sets_of_weights_share_one_thread(tiny_model: Any) -> None:
    other = deepcopy(tiny_model)
    with torch.no_grad():
        other.lm_head.weight.mul_(3)
    before = [t.name for t in threading.enumerate()].count("decode")
    thread = DecodeThread()
    decoders = [Decoder(model, frozenset({5}), thread=thread) for model in (tiny_model, other)]
    asked = requests(20, tiny_model.config.vocab_size)
    futures = [[decoder.submit(**request) for decoder in decoders] for request in asked]
    for request, pair in zip(asked, futures, strict=True):
        for model, future in zip((tiny_model, other), pair, strict=True):
            sampled = future.result(timeout=60)
            difference = plain_logprobs(model, request, sampled.ids) - torch.tensor(sampled.logprobs)
            assert difference.abs().max() < 1e-4
    assert [t.name for t in threading.enumerate()].count("decode") == before + 1
    thread.close()


def test_a_listener_hears_every_token_as_it_is_sampled(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset())
    heard: list[int] = []
    future = decoder.submit([7, 8], max_new_tokens=5, temperature=1.0, seed=0, on_token=heard.append)
    sampled = future.result(timeout=60)
    assert tuple(heard) == sampled.ids
    decoder.close()


def test_the_callers_stop_ends_the_answer(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset())
    request = {"prompt": [7, 8, 9], "max_new_tokens": 6, "temperature": 1.0, "seed": 3}
    whole = ask(decoder, request)
    stopped = ask(decoder, {**request, "stops": lambda ids: ids[-1] == whole.ids[2]})
    assert stopped == Sampled(whole.ids[:3], whole.logprobs[:3], "stop_text")
    decoder.close()
