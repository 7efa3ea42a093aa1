"""Tokens per second and latency of many agent threads: our decode thread against what transformers offers.

Agent threads work on helpdesk tasks with the seed policy, as graph threads on a SQLite store, many at a time, and
every model call is decoded by one of: our decode thread; `generate`, one request at a time; transformers' continuous
batching. All three record ids and one logprob per token. In a repetition they get the same tasks and seeds, in turns
of who is first, and each repetition has tasks of its own. They draw differently, so tokens per second are compared;
a ratio is the median of those of the repetitions.

Beside them: the same threads answered at once from a record (`no decoder`), which is what graph, tools and SQLite
cost, and how much faster than the others any decoder could be; and the recorded requests through each decoder
without a graph, every answer as long as it was.

A larger model of random weights, `--model qwen3-0.6b-shape`, has only that last form, because what it says is no
answer: the prompts recorded with the seed policy, each with a fixed number of tokens. It is what to run on a GPU:

    python benchmarks/decoding.py --model qwen3-0.6b-shape --device cuda
"""

import argparse
import copy
import json
import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
import transformers
from decoding_runs import TEMPERATURE, Meter, Request, Run, replay, run_threads
from other_decoders import ContinuousBatching, OneAtATime, Recorded
from rich.console import Console
from rich.table import Table
from threadmill.nodes.models.decoding.decode import Decoder
from threadmill.nodes.models.decoding.probe import trace_columns
from threadmill.nodes.models.folder import load_model
from threadmill.nodes.models.local import LocalChatModel
from threadmill.training import seed_policy

OURS, ALONE, MANAGER, NONE = "ours", "generate", "continuous batching", "no decoder"
CPU_GOALS = {ALONE: 3.5, MANAGER: 1.2}
GPU_GOALS = {ALONE: 15.0}
AT = 32
"""Threads for which there are goals."""
EPISODES_PER_THREAD = 3
CPU_PAGES: dict[str, Any] = {"num_blocks": 1024, "page_size": 16, "max_batch_tokens": 256, "scheduler": "fifo"}
"""The manager's best settings on a CPU, of pages of 8 to 256, 128 to 1,024 tokens a batch, and both schedulers."""
GPU_PAGES: dict[str, Any] = {"num_blocks": None, "page_size": 256, "max_batch_tokens": None}
"""Its own choice on a GPU, by the free memory."""


def open_decoder(name: str, model: Any, end_ids: frozenset[int]) -> Meter:
    """The decoder called ``name``, with a copy of the model: the manager may change its attention."""
    model = copy.deepcopy(model)
    if name == OURS:
        return Meter(Decoder(model, end_ids, traced=trace_columns(model)))
    if name == ALONE:
        return Meter(OneAtATime(model, end_ids))
    pages = CPU_PAGES if model.device.type == "cpu" else GPU_PAGES
    return Meter(ContinuousBatching(model, end_ids, temperature=TEMPERATURE, **pages))


def in_turn(repetition: int) -> list[str]:
    """The decoders in the order of this repetition."""
    names = [OURS, ALONE, MANAGER]
    first = repetition % len(names)
    return names[first:] + names[:first]


def open_chat(model: Any, tokenizer: Any) -> LocalChatModel:
    """A chat model whose decoder is put in later."""
    return LocalChatModel.from_model(model, tokenizer, version="helpdesk.think@0001", temperature=TEMPERATURE)


def measure_threads(chat: LocalChatModel, threads: int, per_tier: int, repetitions: int) -> dict[str, list[Run]]:
    """The runs of every decoder under agent threads, and those without one."""
    own = chat.voice.decoder
    meters = {name: open_decoder(name, own.model, own.end_ids) for name in in_turn(0)}
    runs: dict[str, list[Run]] = {name: [] for name in (*meters, NONE)}
    for meter in meters.values():
        run_threads(meter, chat, threads, 1, seed=10_000)
    for repetition in range(repetitions):
        seed = 100 * threads + repetition
        for name in in_turn(repetition):
            runs[name].append(run_threads(meters[name], chat, threads, per_tier, seed))
        answers = {(call.prompt, call.seed): call.sampled for call in runs[OURS][-1].calls}
        runs[NONE].append(run_threads(Meter(Recorded(answers)), chat, threads, per_tier, seed))
    for meter in meters.values():
        meter.close()
    chat.voice.decoder = own
    return runs


def measure_decoders(
    model: Any, requests: Sequence[Request], submitters: int, repetitions: int
) -> dict[str, list[Run]]:
    """The runs of every decoder on recorded requests; nothing ends an answer early."""
    runs: dict[str, list[Run]] = {OURS: [], ALONE: [], MANAGER: []}
    warm_up = [Request((1,) * len(request.prompt), 2) for request in requests[:submitters]]
    for repetition in range(repetitions):
        for name in in_turn(repetition):
            meter = open_decoder(name, model, frozenset())  # a new one, which has seen none of the prompts
            replay(meter, warm_up, submitters)
            runs[name].append(replay(meter, requests, submitters))
            meter.close()
    return runs


def describe(runs: Mapping[str, Sequence[Run]], threads: int) -> list[dict[str, Any]]:
    """One record for each decoder."""
    records: list[dict[str, Any]] = []
    for name, mine in runs.items():
        latencies = [call.seconds for run in mine for call in run.calls]
        records.append(
            {
                "threads": threads,
                "decoder": name,
                "tokens_per_s": round(median(run.speed for run in mine)),
                "tokens_per_cpu_s": round(median(run.cpu_speed for run in mine)),
                "p50_ms": round(1e3 * median(latencies)),
                "p95_ms": round(1e3 * quantiles(latencies, n=20)[-1]),
                "calls": round(median(len(run.calls) for run in mine)),
                "tokens": round(median(run.tokens for run in mine)),
                "seconds": round(median(run.seconds for run in mine), 2),
                "repetitions": len(mine),
            }
        )
        if name in (ALONE, MANAGER):
            records[-1] |= compare(runs[OURS], mine)
    return records


def compare(ours: Sequence[Run], theirs: Sequence[Run]) -> dict[str, Any]:
    """Ours over theirs, repetition by repetition."""
    pairs = list(zip(ours, theirs, strict=True))
    ratios = [a.speed / b.speed for a, b in pairs]
    return {
        "ours_over_it": round(median(ratios), 3),
        "from_to": [round(min(ratios), 3), round(max(ratios), 3)],
        "per_cpu_s": round(median(a.cpu_speed / b.cpu_speed for a, b in pairs), 3),
    }


def around(runs: Mapping[str, Sequence[Run]], threads: int) -> dict[str, Any]:
    """What graph, tools and SQLite take of our time, and the ratios that a decoder which takes none would have."""
    none = list(zip(runs[OURS], runs[NONE], strict=True))
    return {
        "threads": threads,
        "share_of_seconds": round(median(b.seconds / a.seconds for a, b in none), 3),
        "share_of_cpu_seconds": round(median(b.cpu_seconds / a.cpu_seconds for a, b in none), 3),
        "cpu_ms_per_call": round(median(1e3 * b.cpu_seconds / len(b.calls) for _, b in none), 2),
        "highest_ratio": {name: compare(runs[NONE], runs[name])["ours_over_it"] for name in CPU_GOALS},
    }


def judge(
    records: Sequence[Mapping[str, Any]], what: str, goals: Mapping[str, float], detail: Mapping[str, Any]
) -> dict[str, Any]:
    """The benchmark's document; ``records`` are those that ``goals`` speak of."""
    at = min((record["threads"] for record in records), key=lambda threads: abs(threads - AT))
    results = [
        {
            "what": f"tokens per second of {at} {what}, ours over {record['decoder']}",
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
    chat = open_chat(model, tokenizer)
    threads, alone, overhead = [], [], []
    for size in sizes:
        per_tier = 1 if quick else min(32, max(4, EPISODES_PER_THREAD * size // 4))
        times = repetitions if size == AT else 1  # the others show the way there
        runs = measure_threads(chat, size, per_tier, times)
        threads += describe(runs, size)
        overhead.append(around(runs, size))
        requests = [Request(call.prompt, len(call.sampled.ids)) for call in runs[OURS][-1].calls]
        alone += describe(measure_decoders(model, requests, size, times), size)
    detail = {
        "agent_threads": threads,
        "around_the_decoder": overhead,
        "decoders_alone": alone,
        "settings": about(model, CPU_PAGES),
    }
    return judge(threads, "agent threads", CPU_GOALS, detail)


def bench_shape(
    sizes: Sequence[int], repetitions: int, device: str, shape: Mapping[str, int], tokens: int, quick: bool
) -> dict[str, Any]:
    """The decoders alone, with random weights of a shape; about ``tokens`` an answer."""
    chat = open_chat(*load_model(str(Path(seed_policy.__file__).parent), device="cpu"))
    meter = Meter(chat.voice.decoder)
    calls = run_threads(meter, chat, AT, 1 if quick else 16, seed=0).calls
    meter.close()
    lengths = random.Random(0)  # they differ, so that requests join and leave
    requests = [Request(call.prompt, lengths.randint(max(1, tokens // 2), 3 * tokens // 2)) for call in calls]
    model = build_shape(device, shape)
    records: list[dict[str, Any]] = []
    for size in sizes:
        records += describe(measure_decoders(model, requests[: max(4, 2 * size)], size, repetitions), size)
    pages = CPU_PAGES if device == "cpu" else GPU_PAGES
    return judge(records, "requests", GPU_GOALS, {"decoders_alone": records, "settings": about(model, pages)})


def build_shape(device: str, shape: Mapping[str, int]) -> Any:
    """A model of random weights in the shape of Qwen3-0.6B, apart from what ``shape`` says."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 151_936, "num_hidden_layers": 28, **shape}
    config = transformers.Qwen3Config(
        **sizes,
        hidden_size=1024,
        intermediate_size=3072,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=40_960,
        tie_word_embeddings=True,
    )
    with torch.device(device):
        model: Any = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return model.eval()


def about(model: Any, pages: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, and on what."""
    return {
        "model": f"{model.config.model_type}, {model.num_parameters():,} parameters, {model.dtype}",
        "device": torch.cuda.get_device_name() if model.device.type == "cuda" else "cpu",
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "temperature": TEMPERATURE,
        "continuous_batching": dict(pages),
    }


def show(document: Mapping[str, Any]) -> None:
    """The tables for people."""
    console = Console()
    for name, records in document["detail"].items():
        if name not in ("results", "settings"):
            heads = list(dict.fromkeys(head for record in records for head in record))
            table = Table(*(head.replace("_", " ") for head in heads), title=name.replace("_", " "))
            for record in records:
                table.add_row(*(str(record.get(head, "")) for head in heads))
            console.print(table)
    for result in document["detail"]["results"]:
        met = "met" if result["met"] else "missed"
        console.print(f"{result['what']}: {result['ratio']:.2f}, goal at least {result['goal']:g}, {met}")


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quick", action="store_true", help="a few threads and tasks, to see that it works")
    parser.add_argument("--threads", type=int, nargs="+", help="agent threads, or requests, at a time")
    parser.add_argument("--repetitions", type=int, default=3, help="at 32 agent threads, or of all requests")
    parser.add_argument("--model", choices=("seed-policy", "qwen3-0.6b-shape"), default="seed-policy")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of the shape")
    parser.add_argument("--layers", type=int, default=28, help="of the shape")
    parser.add_argument("--vocabulary", type=int, default=151_936, help="of the shape")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer of the shape, on average")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    transformers.logging.disable_progress_bar()
    sizes = arguments.threads or ([2] if arguments.quick else [1, 8, 32, 64])
    repetitions = 1 if arguments.quick else arguments.repetitions
    if arguments.model == "seed-policy":
        document = bench_seed_policy(sizes, repetitions, arguments.quick)
    else:
        shape = {"num_hidden_layers": arguments.layers, "vocab_size": arguments.vocabulary}
        document = bench_shape(sizes, repetitions, arguments.device, shape, arguments.tokens, arguments.quick)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


if __name__ == "__main__":
    main()
