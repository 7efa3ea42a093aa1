"""What goes wrong with one request stays with it: nobody waits for ever, nothing is left behind."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from threadmill.errors import BadModelSpec, QueueFull
from threadmill.nodes.models.decoding.decode import Decoder


class Breaks:
    """A constraint that fails."""

    def __init__(self, when: str) -> None:
        self.when = when

    def mask_(self, scores: torch.Tensor, left: int) -> None:
        if self.when == "mask":
            raise LookupError("no such state")

    def accept(self, token: int) -> None:
        if self.when == "accept":
            raise LookupError("no such state")


def broken(ids: Sequence[int]) -> bool:
    raise LookupError("no such state")


def gives_up(token: int) -> None:
    raise SystemExit("no such state")


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


@pytest.mark.parametrize(
    "wrong",
    [
        {"constraint": Breaks("mask")},
        {"constraint": Breaks("accept")},
        {"stops": broken},
        {"on_token": gives_up},
    ],
)
@pytest.mark.parametrize("common_columns", [True, False])
def test_a_request_whose_helper_fails_fails_alone(tiny_model: Any, wrong: dict[str, Any], common_columns: bool) -> None:
    decoder = Decoder(tiny_model, frozenset(), common_columns=common_columns)
    good = {"prompt": [7, 8, 9], "max_new_tokens": 20, "temperature": 1.0, "seed": 3}
    futures = [decoder.submit(**good), decoder.submit(**good, **wrong), decoder.submit(**good)]
    with pytest.raises(BaseException, match="no such state"):
        futures[1].result(timeout=60)
    assert [len(future.result(timeout=60).ids) for future in futures[::2]] == [20, 20]
    decoder.close()


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"prompt": []}, "the prompt is empty"),
        ({"prompt": [7, 10**6]}, "tokens from 7 to 1000000, the model only 0 to"),
        ({"prompt": [-1]}, "tokens from -1 to -1"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"temperature": -0.5}, "temperature=-0.5"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"min_p": -0.1}, "min_p=-0.1"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_settings_that_mean_nothing_are_refused_before_anything_waits(
    tiny_model: Any, setting: dict[str, Any], complaint: str
) -> None:
    decoder = Decoder(tiny_model, frozenset(), max_waiting=1)
    asked = {"prompt": [7], "max_new_tokens": 2, "temperature": 1.0, "seed": 0}
    with pytest.raises(BadModelSpec, match=complaint):
        decoder.submit(**{**asked, **setting})
    assert len(decoder.submit(**asked).result(timeout=60).ids) == 2
    decoder.close()


def test_a_model_without_rows_is_refused_instead_of_waiting_for_ever(tiny_model: Any) -> None:
    with pytest.raises(BadModelSpec, match="max_rows=0"):
        Decoder(tiny_model, frozenset(), max_rows=0)


def test_a_caller_that_gives_up_while_waiting_makes_room_at_once(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset(), max_rows=1, max_waiting=1)
    asked = {"prompt": [7], "max_new_tokens": 10**9, "temperature": 1.0, "seed": 0}
    endless = decoder.submit(**asked)
    wait_for(lambda: decoder.rows)
    for _ in range(5):  # each of them waits, and gives up before it gets a row
        decoder.submit(**asked).cancel()
    waiting = decoder.submit(**asked)
    with pytest.raises(QueueFull, match="1 requests wait already"):
        decoder.submit(**asked)
    waiting.cancel()
    endless.cancel()
    assert len(decoder.submit(**{**asked, "max_new_tokens": 2}).result(timeout=60).ids) == 2
    decoder.close()


def test_a_closed_model_still_says_that_it_is_closed_when_asked_often(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset(), max_waiting=1)
    decoder.close()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="this model is closed"):
            decoder.submit([7], max_new_tokens=1, temperature=1.0, seed=0)


def test_a_listener_may_close_the_model(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset())
    future = decoder.submit([7], max_new_tokens=10**9, temperature=1.0, seed=0, on_token=lambda _: decoder.close())
    with pytest.raises(RuntimeError, match="closed while it was decoding"):
        future.result(timeout=60)


def test_scores_that_are_no_numbers_are_an_error_and_no_answer(tiny_model: Any) -> None:
    with torch.no_grad():
        tiny_model.model.norm.weight.fill_(float("nan"))
    decoder = Decoder(tiny_model, frozenset())
    with pytest.raises(FloatingPointError, match="weights are damaged"):
        decoder.submit([7, 8], max_new_tokens=2, temperature=1.0, seed=0).result(timeout=60)
    decoder.close()


def test_a_model_that_nobody_holds_goes_away_with_its_thread(tiny_model: Any) -> None:
    decoder: Any = Decoder(tiny_model, frozenset())
    future = decoder.submit([7, 8], max_new_tokens=2, temperature=1.0, seed=0)
    future.result(timeout=60)
    thread = decoder._thread._thread
    seen = weakref.ref(decoder)
    del decoder
    wait_for(lambda: (gc.collect(), seen() is None)[1])  # the future does not hold it
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_an_answer_in_flight_is_finished_though_nobody_holds_its_model(tiny_model: Any) -> None:
    decoder: Any = Decoder(tiny_model, frozenset())
    future = decoder.submit([7, 8], max_new_tokens=200, temperature=1.0, seed=0)
    del decoder
    gc.collect()
    assert len(future.result(timeout=60).ids) == 200


def test_requests_that_keep_coming_do_not_keep_the_first_from_beginning(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset())
    first = decoder.submit([7], max_new_tokens=1, temperature=1.0, seed=0)
    began = time.monotonic()
    futures = []
    while not first.done() and time.monotonic() - began < 20:
        futures.append(decoder.submit([7], max_new_tokens=1, temperature=1.0, seed=0))
        time.sleep(0.0005)
    assert time.monotonic() - began < 2
    for future in futures:
        future.result(timeout=60)
    decoder.close()


def test_a_storm_of_requests_and_cancellations_leaves_nothing_behind(tiny_model: Any) -> None:
    decoder = Decoder(tiny_model, frozenset(), max_rows=4, max_waiting=40)

    def caller(number: int) -> None:
        for i in range(20):
            try:
                future = decoder.submit(
                    [7, number, i], max_new_tokens=1 + i, temperature=1.0, seed=i, lane=str(number % 3)
                )
            except QueueFull:
                continue
            if (number + i) % 3:
                time.sleep(0.001 * (i % 4))
                future.cancel()
            else:
                future.result(timeout=60)

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(12)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    wait_for(lambda: not decoder.busy)
    assert len(decoder._waiting) == 0
    decoder.close()
