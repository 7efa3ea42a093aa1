"""Rejection sampling fine-tuning (RFT, Yuan et al. 2023): SFT on what the policy itself did well, chosen by task.

Run tasks several times, export, train on the successes, and repeat: with ``base`` the first policy each time this is
STaR (Zelikman et al. 2022), without its rationalisation of failures. What makes it more than SFT: only successes of the
policy's own count, equal ones once, and of a task at most ``per_task``, the shortest first. So a task that always
succeeds does not drown one that rarely does, and detours are not learnt where the straight way is known.

The rows come from a folder that ``threadmill export sft`` wrote, because the export already knows databases, conditions
and tokenizers, and what it wrote can be looked at. ``--all`` may have been said there: failures are left out here.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt

from ...errors import BadDataset
from .harness import run_trainer
from .report import Progress, TrainingReport, refuse_overwriting
from .settings import Lora, Run
from .sft import IGNORED, trainer_on
from .usable import Row


@dataclass(frozen=True)
class RftConfig:
    """Settings of one run; the defaults suit the seed policy."""

    data: Annotated[Path, "A folder that `threadmill export sft` wrote."]
    base: Annotated[str, "The model to train: a folder, an adapter's folder, or a hub name."]
    out: Annotated[Path, "The new model folder; it must not exist."]
    per_task: Annotated[int, "At most so many different successes of a task, the shortest first.", Ge(1)] = 4
    min_reward: Annotated[float, "What is a success: a reward of at least this."] = 1.0
    own: Annotated[bool, "Only rows whose trained tokens the policy sampled: nothing that a person wrote."] = True
    learning_rate: Annotated[float, "Peak learning rate; it falls along a cosine.", Gt(0)] = 3e-4
    epochs: Annotated[float, "Passes over the data.", Ge(0)] = 2.0
    max_steps: Annotated[int, "Steps, in place of epochs; -1 leaves it to epochs.", Ge(-1)] = -1
    batch_size: Annotated[int, "Rows a step, over all processes and passes.", Ge(1)] = 16
    packing: Annotated[
        int, "Fit rows into sequences of so many tokens, which the batch counts then; 0 pads.", Ge(0)
    ] = 0
    seed: Annotated[int, "Of shuffling, and of adapters' first weights."] = 0
    lora: Lora = Lora()
    run: Run = Run()


def train_rft(config: RftConfig, *, progress: Progress | None = None) -> TrainingReport:
    """Train and write a model folder, as ``train_sft``.

    Raises:
        BadDataset: no row is left.
        BadModelFolder, TrainingFailed: as ``train_sft``.
    """
    refuse_overwriting(config.out)
    trainer, tokenizer, data = make_trainer(config)
    return run_trainer(trainer, config, method="rft", tokenizer=tokenizer, data=data, progress=progress)


def make_trainer(config: RftConfig) -> tuple[Any, Any, dict[str, Any]]:
    """TRL's trainer, the tokenizer, and what the data are: digest, rows, tokens, tasks, rows left out."""
    from ..dataset import read_rows

    rows, manifest = read_rows(config.data, "sft")
    chosen, left_out = choose(rows, per_task=config.per_task, min_reward=config.min_reward, own=config.own)
    if not chosen:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in left_out.items())
        raise BadDataset(
            f"no row of {config.data} is a success of the policy's own ({reasons}); run tasks more often, lower "
            "--min-reward, take rows that people wrote with --no-own, or train sft"
        )
    trainer, tokenizer, used = trainer_on(chosen, config)
    tasks = len({_task(row) for row in chosen})
    return trainer, tokenizer, {"digest": manifest["digest"], "tasks": tasks, **used, **left_out}


def choose(
    rows: Sequence[Row], *, per_task: int, min_reward: float = 1.0, own: bool = True
) -> tuple[list[Row], Counter[str]]:
    """The rows to train on, in their order, and how many are left out by reason. Pure.

    All rows of a branch (several where its past was rewritten) are kept or left out together. Two branches are equal
    if the same tokens are trained. Rows that know no task are of the same one if they begin alike. A row without a
    reward is a success, as the export keeps no other.
    """
    branches: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        branches[row["thread"], row["checkpoint"]].append(row)
    left_out: Counter[str] = Counter()
    kept: set[tuple[str, str]] = set()
    by_task: dict[Any, set[tuple[int, ...]]] = defaultdict(set)
    for name, parts in sorted(branches.items(), key=lambda branch: (_length(branch[1]), branch[0])):
        trained = tuple(label for row in parts for label in row["labels"] if label != IGNORED)
        known = by_task[_task(parts[0])]
        if any(row["reward"] is not None and row["reward"] < min_reward for row in parts):
            reason = "not_successful"
        elif own and any(not _is_own(row) for row in parts):
            reason = "not_its_own"
        elif trained in known:
            reason = "same_as_another"
        elif len(known) >= per_task:
            reason = "beyond_per_task"
        else:
            known.add(trained)
            kept.add(name)
            continue
        left_out[reason] += len(parts)
    return [row for row in rows if (row["thread"], row["checkpoint"]) in kept], left_out


def _length(parts: Sequence[Row]) -> int:
    return sum(label != IGNORED for row in parts for label in row["labels"])


def _is_own(row: Row) -> bool:
    return all(
        logprob is not None for label, logprob in zip(row["labels"], row["logprobs"], strict=True) if label != IGNORED
    )


def _task(row: Row) -> Any:
    if row["task"] is not None:
        return row["task"]
    first = next((place for place, label in enumerate(row["labels"]) if label != IGNORED), len(row["labels"]))
    return tuple(row["input_ids"][:first])
