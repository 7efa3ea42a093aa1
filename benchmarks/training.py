"""What SFT and DPO cost: our rows through our recipes, against plain TRL on the same conversations as one row a call.

The seed policy talks over so many turns, in trials of which one succeeds and one fails. Plain TRL gets what its
documents show: ``prompt`` and ``completion`` (``chosen``, ``rejected``) as messages, a row for each answer with
everything before it in front. Both train the same answers, once, in steps of about as many answers. Every training runs
in a process of its own.
"""

import argparse
import json
import subprocess
import sys
from itertools import dropwhile
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, convert_to_openai_messages
from langgraph.graph import START, MessagesState, StateGraph
from threadmill.checkpoints import open_store
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.nodes.models.local import LocalChatModel
from threadmill.training import seed_policy
from threadmill.training.dataset import read_rows
from threadmill.training.export import export_pairs, export_sft

POLICY = Path(seed_policy.__file__).parent
GOAL = 3.0
"""Tokens that plain TRL reads over ours, at 10 turns."""
ANSWERS_A_STEP = 40
METHODS = ("sft", "dpo")


def make_data(folder: Path, tasks: int, turns: int) -> None:
    """Two trials of each task as threads, our two data sets of them, and the same as conversations for TRL."""
    with open_store(f"sqlite:///{folder}/runs.db") as store:
        model = LocalChatModel.from_folder(str(POLICY), version="talk.think@0001", max_new_tokens=24, temperature=1.0)
        talk = StateGraph(MessagesState)
        talk.add_node("think", lambda state: {"messages": [model.invoke(state["messages"])]})
        talk.add_edge(START, "think")
        graph = talk.compile(checkpointer=store.saver)
        trials: dict[int, list[list[AnyMessage]]] = {}
        for task in range(tasks):
            for trial in (0, 1):
                thread = f"task-{task:03d}-{trial}"
                said: list[AnyMessage] = []
                for turn in range(turns):
                    asked = HumanMessage(f"What is the status of order O{100 + 7 * task + turn}?")
                    config: Any = {"configurable": {"thread_id": thread}, "metadata": {"task": f"task-{task:03d}"}}
                    said = graph.invoke({"messages": [asked]}, config)["messages"]
                trials.setdefault(task, []).append(said)
                labels = [("reward", float(not trial)), ("success", float(not trial))]
                add_labels(store, [Label(thread, None, None, kind, value, "bench") for kind, value in labels])
        model.close()
        export_sft(store, folder / "sft-ours", tokenizer=str(POLICY))
        export_pairs(store, folder / "dpo-ours", tokenizer=str(POLICY))
    calls = {"sft": [row for good, _ in trials.values() for row in sft_calls(good)]}
    calls["dpo"] = [row for good, bad in trials.values() for row in dpo_calls(good, bad)]
    for method, rows in calls.items():
        (folder / f"{method}-plain.json").write_text(json.dumps(rows))


def sft_calls(messages: list[AnyMessage]) -> list[dict[str, Any]]:
    """A row for every answer: what was before it, and the answer."""
    spoken: Any = convert_to_openai_messages(messages)
    answers = [at for at, message in enumerate(messages) if isinstance(message, AIMessage)]
    return [{"prompt": spoken[:at], "completion": [spoken[at]]} for at in answers]


def dpo_calls(good: list[AnyMessage], bad: list[AnyMessage]) -> list[dict[str, Any]]:
    """A row for every turn from the first in which the answers differ, each after the conversation that succeeded."""
    rejected = [row["completion"] for row in sft_calls(bad)]
    rows = [
        {"prompt": row["prompt"], "chosen": row["completion"], "rejected": other}
        for row, other in zip(sft_calls(good), rejected, strict=True)
    ]
    return list(dropwhile(lambda row: row["chosen"] == row["rejected"], rows))


def train(method: str, how: str, folder: Path, turns: int) -> dict[str, Any]:
    """Train one epoch and say what it cost: in this process, which should have done nothing else."""
    import resource

    began = perf_counter()
    trainer = make_ours(method, folder, turns) if how == "ours" else make_plain(method, folder)
    seen = {"tokens": 0, "padded": 0, "trained": 0}
    step = trainer.compute_loss

    def counted(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        mask = inputs["completion_mask"] if "completion_mask" in inputs else inputs["labels"] != -100
        seen["tokens"] += int(inputs["attention_mask"].sum()) if "attention_mask" in inputs else mask.numel()
        seen["padded"] += mask.numel()
        seen["trained"] += int(mask.sum())
        return step(model, inputs, *args, **kwargs)

    trainer.compute_loss = counted
    ready = perf_counter()
    resting = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trainer.train()
    seconds = perf_counter() - ready
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "method": method,
        "how": how,
        **seen,
        "seconds": round(seconds, 2),
        "seconds_before": round(ready - began, 2),
        "tokens_per_s": round(seen["tokens"] / seconds),
        "trained_tokens_per_s": round(seen["trained"] / seconds),
        "peak_mb": round(peak / 1024),
        "training_mb": round((peak - resting) / 1024),
    }


def make_ours(method: str, folder: Path, turns: int) -> Any:
    """The trainer of our recipe."""
    from threadmill.training.recipes import dpo, sft

    settings: dict[str, Any] = {"data": folder / f"{method}-ours", "base": str(POLICY), "out": folder / "model"}
    settings |= {"epochs": 1.0, "batch_size": ANSWERS_A_STEP // turns}
    if method == "sft":
        return sft.make_trainer(sft.SftConfig(**settings))[0]
    return dpo.make_trainer(dpo.DpoConfig(**settings))[0]


def make_plain(method: str, folder: Path) -> Any:
    """TRL's own, as its documents show it; full weights, the same optimiser settings."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    rows = Dataset.from_list(json.loads((folder / f"{method}-plain.json").read_text()))
    model = AutoModelForCausalLM.from_pretrained(POLICY)
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    settings: dict[str, Any] = {
        "output_dir": str(folder / "trl"),
        "num_train_epochs": 1,
        "per_device_train_batch_size": ANSWERS_A_STEP,
        "max_length": None,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
    }
    if method == "sft":
        arguments = SFTConfig(**settings, completion_only_loss=True)
        return SFTTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    reference = AutoModelForCausalLM.from_pretrained(POLICY)
    return DPOTrainer(
        model=model,
        ref_model=reference,
        args=DPOConfig(**settings),
        train_dataset=rows,
        processing_class=tokenizer,
    )


def bench(tasks: int, turns: int) -> dict[str, Any]:
    """The document."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        make_data(folder, tasks, turns)
        rows = {m: len(read_rows(folder / f"{m}-ours", "sft" if m == "sft" else "pairs")[0]) for m in METHODS}
        runs = []
        for method in METHODS:
            for how in ("ours", "plain TRL"):
                command = [sys.executable, __file__, "--train", method, how, place, "--turns", str(turns)]
                ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                runs.append(json.loads(ended.stdout.splitlines()[-1]))
    results = []
    for method in METHODS:
        ours, plain = (run for run in runs if run["method"] == method)
        for what, ratio, goal in (
            ("tokens read a trained token", cost(plain, "tokens") / cost(ours, "tokens"), GOAL),
            ("wall time a trained token", cost(plain, "seconds") / cost(ours, "seconds"), GOAL),
            ("peak memory", plain["peak_mb"] / ours["peak_mb"], 1.0),
        ):
            results.append(
                {
                    "what": f"{what}, {method}, plain TRL over ours, {turns} turns",
                    "ratio": round(ratio, 2),
                    "better": "higher",
                    "goal": goal,
                    "met": ratio >= goal,
                }
            )
    return {
        "name": "training",
        "ratio": results[0]["ratio"],
        "ratio_of": results[0]["what"],
        "better": "higher",
        "goal": GOAL,
        "met": all(result["met"] for result in results),
        "detail": {"results": results, "runs": runs, "rows_of_ours": rows},
    }


def cost(run: dict[str, Any], of: str) -> float:
    """Of one trained token: the two ways train nearly the same ones, but plain TRL tokenizes the answers again."""
    return run[of] / run["trained"]


def main() -> None:
    """Measure, and print for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--train", nargs=3, metavar=("METHOD", "HOW", "FOLDER"), help="Only this, on data made before.")
    arguments = parser.parse_args()
    if arguments.train:
        method, how, folder = arguments.train
        print(json.dumps(train(method, how, Path(folder), arguments.turns)))
        return
    document = bench(arguments.tasks, arguments.turns)
    print(json.dumps(document if arguments.json else document["detail"], indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
