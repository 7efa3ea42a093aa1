"""How long callers wait while a new version takes over, with 32 of them being answered.

Adapters of the seed policy are taken one after the other. For each one: the longest that any caller waited for its
next token while it was loaded and switched to, less what callers wait at most in a like time without a swap. Beside
it, the way that stops the world: wait until all answers are done, load the adapter, go on.
"""

import argparse
import json
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from threadmill.nodes.models.loaded import open_version, warm_up
from threadmill.nodes.models.local import LocalChatModel
from threadmill.training import seed_policy

POLICY = Path(seed_policy.__file__).parent
GOAL_MS = 50.0
TOKENS = 24


class Callers:
    """So many threads, each asking again as soon as it is answered, and when each token came."""

    def __init__(self, model: LocalChatModel, count: int) -> None:
        self.model = model
        self.gaps: list[tuple[float, float]] = []
        """(when, how long a caller waited for a token), in seconds."""
        self.answers = 0
        self._stop = threading.Event()
        self.gate = threading.Lock()
        """Held by who wants the world to stop."""
        self._pool = ThreadPoolExecutor(count)
        self._done = [self._pool.submit(self._ask, i) for i in range(count)]

    def _ask(self, number: int) -> None:
        rng = random.Random(number)
        while not self._stop.is_set():
            prompt = [rng.randrange(1000) for _ in range(rng.randrange(20, 120))]
            last = perf_counter()

            def heard(_: int) -> None:
                nonlocal last
                now = perf_counter()
                self.gaps.append((now, now - last))
                last = now

            with self.gate:
                future = self.model.voice.decoder.submit(
                    prompt, max_new_tokens=TOKENS, temperature=1.0, seed=number, on_token=heard
                )
            future.result()
            self.answers += 1

    def longest(self, begin: float, end: float) -> float:
        """Seconds that any caller waited for a token which came between ``begin`` and shortly after ``end``."""
        return max((gap for when, gap in list(self.gaps) if begin <= when <= end + 0.1), default=0.0)

    def close(self) -> None:
        """Let everybody finish; an error in a caller is raised."""
        self._stop.set()
        for future in self._done:
            future.result()
        self._pool.shutdown()


def write_adapters(folder: Path, count: int) -> list[str]:
    """LoRA adapters of the seed policy, rank 8 on the attention and the feed-forward layers."""
    written = []
    for number in range(count):
        torch.manual_seed(number)
        base = open_version("base", str(POLICY), device="cpu").model
        config = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False)
        adapted = get_peft_model(base, config)
        adapted.peft_config["default"].base_model_name_or_path = str(POLICY)
        adapted.save_pretrained(str(folder / f"adapter{number:02d}"))
        written.append(str(folder / f"adapter{number:02d}"))
    return written


def measure(callers: Callers, sources: Sequence[str], swap: Callable[[str, str], None]) -> list[dict[str, float]]:
    """For each of ``sources``, milliseconds: the longest wait without a swap, and with it, and what it took."""
    records = []
    for number, source in enumerate(sources, 1):
        began = perf_counter()
        swap(f"{swap.__name__}@{number:04d}", source)
        ended = perf_counter()
        sleep(0.3)  # tokens that waited for the swap have come
        waited = callers.longest(began, ended)
        quiet_from = perf_counter()
        sleep(max(ended - began, 0.1))
        usual = callers.longest(quiet_from, perf_counter())
        records.append({"usual_ms": 1e3 * usual, "waited_ms": 1e3 * waited, "took_ms": 1e3 * (ended - began)})
    return records


def bench(callers_count: int, swaps: int) -> dict[str, Any]:
    """The document."""
    with TemporaryDirectory() as folder:
        sources = write_adapters(Path(folder), swaps)
        warm_up()
        model = LocalChatModel.from_folder(str(POLICY), version="seed", device="cpu")
        callers = Callers(model, callers_count)
        sleep(1)

        def stop_the_world(version: str, source: str) -> None:
            with callers.gate:
                while model.voice.decoder.busy:
                    sleep(0.001)
                model.take(version, source)

        beside = measure(callers, sources, model.take)
        stopped = measure(callers, sources, stop_the_world)
        callers.close()
        model.close()
    pauses = [max(r["waited_ms"] - r["usual_ms"], 0.0) for r in beside]
    worlds = [max(r["waited_ms"] - r["usual_ms"], 0.0) for r in stopped]
    pause = round(median(pauses), 1)
    return {
        "name": "swap",
        "ratio": pause,
        "ratio_of": "median pause of callers in ms while an adapter takes over",
        "goal": GOAL_MS,
        "met": pause <= GOAL_MS,
        "detail": {
            "swaps": [
                {"how": how, **{key: round(median(r[key] for r in records), 1) for key in records[0]}}
                for how, records in (("beside", beside), ("stop the world", stopped))
            ],
            "pauses": {
                "callers": callers_count,
                "answers": callers.answers,
                "median_ms": pause,
                "worst_ms": round(max(pauses), 1),
                "stop_the_world_median_ms": round(median(worlds), 1),
                "ours_over_stop_the_world": round(pause / max(median(worlds), 1e-9), 3),
            },
        },
    }


def main() -> None:
    """Measure, and print for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--swaps", type=int, default=20)
    arguments = parser.parse_args()
    document = bench(arguments.callers, arguments.swaps)
    print(json.dumps(document if arguments.json else document["detail"], indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
