"""Tokens per second and latency of many agent threads: our decode thread against what transformers offers.

Agent threads work on helpdesk tasks with the seed policy, as graph threads on a SQLite store, many at a time, and
every model call is decoded by one of: our decode thread; `generate`, one request at a time; transformers' continuous
batching. All record ids and one logprob per token. A repetition gives all of them the same tasks and seeds; each
repetition has tasks of its own, and a random order. They draw differently, so tokens per second are compared.

Beside them: the same threads answered at once from a record (`no decoder`), which is what graph, tools and SQLite
cost, and the recorded requests through each decoder without any graph.

A larger model of random weights, `--model qwen3-0.6b-shape`, has only that last form, because what it says is no
answer: the prompts recorded with the seed policy, each with a fixed number of tokens. It is what to run on a GPU:

    python benchmarks/decoding.py --model qwen3-0.6b-shape --device cuda
"""

import argparse
import copy
import json
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import torch
import transformers
from other_decoders import ContinuousBatching, OneAtATime, Recorded
from rich.console import Console
from rich.table import Table
from threadmill.checkpoints import open_store
from threadmill.nodes import Slot
from threadmill.nodes.models.decode import Decoder, Sampled
from threadmill.nodes.models.folder import load_model
from threadmill.nodes.models.local import LocalChatModel
from threadmill.training import seed_policy
from threadmill.training.rollout import run_tasks
from threadmill.training.worlds.helpdesk.tasks import make_tasks

OURS, ALONE, MANAGER, NONE = "ours", "generate", "continuous batching", "no decoder"
CPU_GOALS = {ALONE: 3.5, MANAGER: 1.2}
GPU_GOALS = {ALONE: 15.0}
AT = 32
"""Threads for which there are goals."""
TEMPERATURE = 1.0
EPISODES_PER_THREAD = 3
CPU_PAGES: dict[str, Any] = {"num_blocks": 1024, "page_size": 32, "max_batch_tokens": 512, "scheduler": "fifo"}
"""The manager's best settings on a CPU."""
GPU_PAGES: dict[str, Any] = {"num_blocks": None, "page_size": 256, "max_batch_tokens": None}
"""Its own choice on a GPU, by the free memory."""


@dataclass(frozen=True, slots=True)
class Call:
    """One answered request."""

    prompt: tuple[int, ...]
    seed: int
    sampled: Sampled
    seconds: float
    """From submit to result."""


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


class Meter:
    """A decoder that notes every call."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.calls: list[Call] = []

    def submit(self, prompt: Sequence[int], *, seed: int, **settings: Any) -> "Future[Sampled]":
        """Queue one request."""
        began = perf_counter()
        future = self.decoder.submit(prompt, seed=seed, **settings)

        def note(done: "Future[Sampled]") -> None:
            if not done.cancelled() and done.exception() is None:
                self.calls.append(Call(tuple(prompt), seed, done.result(), perf_counter() - began))

        future.add_done_callback(note)
        return future

    def measure(self, work: Callable[[], Any]) -> Run:
        """The calls and the time of ``work``."""
        self.calls = []
        began, began_cpu = perf_counter(), process_time()
        work()
        return Run(tuple(self.calls), perf_counter() - began, process_time() - began_cpu)

    def close(self) -> None:
        """Stop the decoder."""
        self.decoder.close()


def put_decoder(chat: LocalChatModel, decoder: Any) -> None:
    """Let ``decoder`` answer the calls of ``chat``."""
    chat.voice.decoder = decoder


def open_decoder(name: str, model: Any, end_ids: frozenset[int]) -> Meter:
    """The decoder called ``name``, with a copy of the model: the manager may change its attention."""
    model = copy.deepcopy(model)
    match name:
        case "ours":
            return Meter(Decoder(model, end_ids))
        case "generate":
            return Meter(OneAtATime(model, end_ids))
        case _:
            pages = CPU_PAGES if model.device.type == "cpu" else GPU_PAGES
            return Meter(ContinuousBatching(model, end_ids, temperature=TEMPERATURE, **pages))


def run_threads(meter: Meter, chat: LocalChatModel, threads: int, per_tier: int, seed: int) -> Run:
    """Agent threads in a database of their own, ``threads`` at a time; equal seeds give equal tasks."""
    put_decoder(chat, meter)
    tasks = make_tasks("heldout", per_tier, seed=seed)
    random.Random(seed).shuffle(tasks)  # or all the long ones would come last
    slot = Slot.fixed("helpdesk.think", chat, chat.version)
    with TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/runs.db") as store:
        return meter.measure(lambda: run_tasks(store, tasks, slot, trials=1, seed=seed, workers=threads))


def replay(meter: Meter, requests: Sequence[tuple[tuple[int, ...], int]], submitters: int) -> Run:
    """The (prompt, tokens) in their order, ``submitters`` at a time."""

    def one(seed: int) -> None:
        prompt, tokens = requests[seed]
        meter.submit(prompt, max_new_tokens=tokens, temperature=TEMPERATURE, seed=seed).result()

    def work() -> None:
        with ThreadPoolExecutor(submitters) as pool:
            list(pool.map(one, range(len(requests))))

    return meter.measure(work)


def measure_threads(
    model: Any, tokenizer: Any, threads: int, per_tier: int, repetitions: int
) -> tuple[dict[str, list[Run]], list[tuple[tuple[int, ...], int]]]:
    """The runs of every decoder, and the requests of the last one of ours."""
    chat = LocalChatModel.from_model(model, tokenizer, version="helpdesk.think@0001", temperature=TEMPERATURE)
    end_ids = chat.voice.decoder.end_ids
    meters = {name: open_decoder(name, model, end_ids) for name in (OURS, ALONE, MANAGER)}
    runs: dict[str, list[Run]] = {name: [] for name in (*meters, NONE)}
    for meter in meters.values():
        run_threads(meter, chat, threads, 1, seed=10_000)
    for turn in range(repetitions):
        seed = 100 * threads + turn
        for name in random.Random(seed).sample(sorted(meters), len(meters)):
            runs[name].append(run_threads(meters[name], chat, threads, per_tier, seed))
        answers = {(call.prompt, call.seed): call.sampled for call in runs[OURS][-1].calls}
        runs[NONE].append(run_threads(Meter(Recorded(answers)), chat, threads, per_tier, seed))
    for meter in meters.values():
        meter.close()
    return runs, [(call.prompt, len(call.sampled.ids)) for call in runs[OURS][-1].calls]


def measure_decoders(
    model: Any, requests: Sequence[tuple[tuple[int, ...], int]], submitters: int, repetitions: int
) -> dict[str, list[Run]]:
    """The runs of every decoder on recorded requests; nothing stops an answer before its number of tokens."""
    runs: dict[str, list[Run]] = {OURS: [], ALONE: [], MANAGER: []}
    for turn in range(repetitions):
        for name in random.Random(turn).sample(sorted(runs), len(runs)):
            meter = open_decoder(name, model, frozenset())  # a new one, which has seen none of the prompts
            replay(meter, [((1,) * len(prompt), 2) for prompt, _ in requests[:submitters]], submitters)
            runs[name].append(replay(meter, requests, submitters))
            meter.close()
    return runs


def describe(runs: Mapping[str, Sequence[Run]], threads: int) -> list[dict[str, Any]]:
    """One record for each decoder."""
    return [
        {
            "threads": threads,
            "decoder": name,
            "tokens_per_s": round(median(run.tokens / run.seconds for run in mine)),
            "tokens_per_cpu_s": round(median(run.tokens / run.cpu_seconds for run in mine)),
            **(compare(runs[OURS], mine) if name != OURS else {}),
            "p50_ms": round(1e3 * median(latencies)),
            "p95_ms": round(1e3 * quantiles(latencies, n=20)[-1]),
            "calls": round(median(len(run.calls) for run in mine)),
            "tokens": round(median(run.tokens for run in mine)),
            "seconds": round(median(run.seconds for run in mine), 2),
        }
        for name, mine in runs.items()
        for latencies in [[call.seconds for run in mine for call in run.calls]]
    ]


def compare(ours: Sequence[Run], theirs: Sequence[Run]) -> dict[str, Any]:
    """Ours over theirs, repetition by repetition."""
    pairs = list(zip(ours, theirs, strict=True))
    ratios = [(a.tokens / a.seconds) / (b.tokens / b.seconds) for a, b in pairs]
    return {
        "ours_over_it": round(median(ratios), 3),
        "from_to": [round(min(ratios), 3), round(max(ratios), 3)],
        "per_cpu_s": round(median((a.tokens / a.cpu_seconds) / (b.tokens / b.cpu_seconds) for a, b in pairs), 3),
    }


def judge(
    records: Sequence[Mapping[str, Any]], what: str, goals: Mapping[str, float], detail: Mapping[str, Any]
) -> dict[str, Any]:
    """The benchmark's document; ``records`` are those that ``goals`` speak of."""
    at = min((record["threads"] for record in records), key=lambda threads: abs(threads - AT))
    results = [
        {
            "what": f"{what} of {at}, ours over {record['decoder']}",
            "ratio": record["ours_over_it"],
            "goal": goals[record["decoder"]],
            "better": "higher",
            "met": record["ours_over_it"] >= goals[record["decoder"]],
        }
        for record in records
        if record["threads"] == at and record["decoder"] in goals
    ]
    first = results[0]
    return {
        "name": "decoding",
        "ratio": first["ratio"],
        "ratio_of": first["what"],
        "goal": first["goal"],
        "better": "higher",
        "met": all(result["met"] for result in results),
        "detail": {"results": results, **detail},
    }


def bench_seed_policy(sizes: Sequence[int], repetitions: int, quick: bool) -> dict[str, Any]:
    """Agent threads with the seed policy, then the decoders alone."""
    model, tokenizer = load_model(str(Path(seed_policy.__file__).parent), device="cpu")
    threads, alone = [], []
    for size in sizes:
        per_tier = 1 if quick else max(4, EPISODES_PER_THREAD * size // 4)
        # the goals are at AT; the others show the way there
        times = repetitions if size == AT else max(1, repetitions // 2)
        runs, requests = measure_threads(model, tokenizer, size, per_tier, times)
        threads += describe(runs, size)
        alone += describe(measure_decoders(model, requests, size, times), size)
    detail = {"agent_threads": threads, "decoders_alone": alone, "settings": about(model, CPU_PAGES)}
    return judge(threads, "tokens per second of agent threads", CPU_GOALS, detail)


def about(model: Any, pages: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, and on what."""
    return {
        "model": f"{model.config.model_type}, {model.num_parameters():,} parameters, {model.dtype}",
        "device": torch.cuda.get_device_name() if model.device.type == "cuda" else "cpu",
        "torch_threads": torch.get_num_threads(),
        "transformers": transformers.__version__,
        "temperature": TEMPERATURE,
        "continuous_batching": dict(pages),
    }


def bench_shape(
    sizes: Sequence[int], repetitions: int, device: str, layers: int | None, tokens: int, quick: bool
) -> dict[str, Any]:
    """The decoders alone, with random weights of a shape; about ``tokens`` an answer."""
    policy, tokenizer = load_model(str(Path(seed_policy.__file__).parent), device="cpu")
    chat = LocalChatModel.from_model(policy, tokenizer, version="helpdesk.think@0001", temperature=TEMPERATURE)
    meter = open_decoder(OURS, policy, chat.voice.decoder.end_ids)
    calls = run_threads(meter, chat, AT, 1 if quick else 16, seed=0).calls
    meter.close()
    lengths = random.Random(0)  # they differ, so that requests join and leave
    requests = [(call.prompt, lengths.randint(max(1, tokens // 2), 3 * tokens // 2)) for call in calls]
    model = build_shape(device, layers)
    records = []
    for size in sizes:
        some = requests[: max(4, 2 * size)]
        records += describe(measure_decoders(model, some, size, repetitions), size)
    goals = GPU_GOALS if device == "cuda" else {ALONE: 1.0}
    detail = {"decoders_alone": records, "settings": about(model, GPU_PAGES if device == "cuda" else CPU_PAGES)}
    return judge(records, "tokens per second of requests", goals, detail)


def build_shape(device: str, layers: int | None) -> Any:
    """A model of random weights in the shape of Qwen3-0.6B; ``layers`` other than its 28 make it smaller."""
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=151_936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=layers or 28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=40_960,
        tie_word_embeddings=True,
        dtype=torch.bfloat16,
    )
    with torch.device(device):
        model: Any = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return model.eval()


def show(document: Mapping[str, Any]) -> None:
    """The tables for people."""
    for form in ("agent_threads", "decoders_alone"):
        records = document["detail"].get(form, [])
        if records:
            heads = list(dict.fromkeys(head for record in records for head in record))
            table = Table(*(head.replace("_", " ") for head in heads), title=form.replace("_", " "))
            for record in records:
                table.add_row(*(str(record.get(head, "")) for head in heads))
            Console().print(table)
    for result in document["detail"]["results"]:
        met = "met" if result["met"] else "missed"
        Console().print(f"{result['what']}: {result['ratio']:.2f}, goal at least {result['goal']:g}, {met}")


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quick", action="store_true", help="a few threads and tasks, to see that it works")
    parser.add_argument("--threads", type=int, nargs="+", help="agent threads, or requests, at a time")
    parser.add_argument("--repetitions", type=int, default=4, help="of what has a goal; the others have half of it")
    parser.add_argument("--model", choices=("seed-policy", "qwen3-0.6b-shape"), default="seed-policy")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of the shape")
    parser.add_argument("--layers", type=int, help="of the shape, instead of its 28")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer of the shape, on average")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    sizes = arguments.threads or ([1, 4] if arguments.quick else [1, 8, 32, 64])
    repetitions = 1 if arguments.quick else arguments.repetitions
    if arguments.model == "seed-policy":
        document = bench_seed_policy(sizes, repetitions, arguments.quick)
    else:
        document = bench_shape(
            sizes, repetitions, arguments.device, arguments.layers, arguments.tokens, arguments.quick
        )
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


if __name__ == "__main__":
    main()
