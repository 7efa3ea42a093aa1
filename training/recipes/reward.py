"""A reward model from preference pairs (Ouyang et al. 2022), with heads for what made one side better.

TRL's RewardTrainer does the work: a causal language model with a score in place of its output layer learns
-ln sigmoid(score of chosen - score of rejected). Here it has up to four scores, all read at the last token: ``overall``
learns the preference itself; ``completion``, ``tool_use`` and ``efficiency`` learn, by the same loss, from the
comparisons in which that component differs. Each so ranks episodes by its own matter, and none is told an absolute
number, which worlds measure differently. A head that has nothing to learn from is left out. Left out here as well:
margins by how much better a side is, and all K(K-1)/2 comparisons of a ranked list. When training is over, the saved
model scores pairs of tasks that it was not trained on, and ``training.json`` tells how that went.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Gt, Le

from .harness import arguments_of, run_trainer, uses_bfloat16
from .processes import is_main_process, local_rank, process_count
from .report import REPORT, Progress, TrainingReport, refuse_overwriting
from .settings import Lora, Run
from .usable import rows_at_once, split_usable


@dataclass(frozen=True)
class RewardConfig:
    """Settings of one run; the defaults suit the seed policy."""

    data: Annotated[Path, "A folder that `threadmill export pairs` wrote; its test split is scored, not trained."]
    base: Annotated[str, "The causal language model to begin with: a folder, an adapter's folder, or a hub name."]
    out: Annotated[Path, "The new model folder; it must not exist."]
    learning_rate: Annotated[float, "Peak learning rate; it falls along a cosine.", Gt(0)] = 5e-4
    epochs: Annotated[float, "Passes over the data.", Ge(0)] = 1.0
    max_steps: Annotated[int, "Steps, in place of epochs; -1 leaves it to epochs.", Ge(-1)] = -1
    batch_size: Annotated[int, "Comparisons a step, over all processes and passes.", Ge(1)] = 16
    component_weight: Annotated[
        float, "What a component's comparison counts against an overall one; 0 trains the overall score alone.", Ge(0)
    ] = 0.5
    center: Annotated[float, "How strongly scores are held around 0 (Eisenstein et al. 2023).", Ge(0)] = 0.01
    held_out: Annotated[
        float, "Part of the tasks that is scored and not trained, if the data have no test split.", Ge(0), Le(0.9)
    ] = 0.1
    seed: Annotated[int, "Of shuffling, of adapters' first weights, and of what is held out."] = 0
    lora: Lora = Lora()
    run: Run = Run()


class Pairs(NamedTuple):
    """The pairs of a data set."""

    train: Sequence[Mapping[str, Any]]
    test: Sequence[Mapping[str, Any]]
    digest: str
    split: str
    """How they were parted."""


def train_reward(config: RewardConfig, *, progress: Progress | None = None) -> TrainingReport:
    """Train and write a folder of complete weights; ``config["data"]["held_out"]`` of the report has the figures.

    An adapter is always merged: that of a sequence classifier cannot be opened on a causal language model.

    Raises:
        BadDataset: no usable pair.
        BadModelFolder: the base cannot be opened, or no reward model can be made of it.
        TrainingFailed: as ``train_sft``.
    """
    refuse_overwriting(config.out)
    config = replace(config, lora=replace(config.lora, merge=True))
    pairs = read_pairs(config)
    trainer, tokenizer, data = make_trainer(config, pairs)
    report = run_trainer(trainer, config, method="reward", tokenizer=tokenizer, data=data, progress=progress)
    del trainer  # its memory is needed once more
    if is_main_process():
        report.config["data"]["held_out"] = {"split": pairs.split, **judge(config, pairs.test)}
        write_report(report)
    return report


def read_pairs(config: RewardConfig) -> Pairs:
    """The test split of the data, or else tasks that are held out here.

    Raises:
        BadDataset: no pairs.
    """
    from ..dataset import read_rows
    from ..rewards.compared import hold_out

    rows, manifest = read_rows(config.data, "pairs")
    if manifest["splits"].get("test"):
        test, _ = read_rows(config.data, "pairs", split="test")
        return Pairs(rows, test, manifest["digest"], "the data's test split")
    train, test = hold_out(rows, config.held_out, config.seed)
    return Pairs(train, test, manifest["digest"], f"no test split: {config.held_out:g} of the tasks were held out")


def make_trainer(config: RewardConfig, pairs: Pairs) -> tuple[Any, Any, dict[str, Any]]:
    """TRL's trainer, the tokenizer, and what the data are: digest, rows, comparisons by head, rows left out."""
    import torch
    from datasets import Dataset
    from trl.trainer.reward_config import RewardConfig as Arguments

    from ...nodes.models.folder import end_token_ids, load_model
    from ..rewards.compared import compare, heads_of, sides_of
    from ..rewards.scoring_model import make_scoring_model, padding_of
    from .reward_heads import ComparisonCollator, HeadsRewardTrainer, columns_of

    bfloat16 = bool(config.lora.rank) and uses_bfloat16(config)
    own = f"cuda:{local_rank()}" if torch.cuda.is_available() and process_count() > 1 else None
    policy, tokenizer = load_model(config.base, device=own, dtype="bfloat16" if bfloat16 else "float32")
    kept, left_out = split_usable(
        [dict(row) for row in pairs.train],
        sequences=sides_of,
        trains=lambda row: row["chosen_ids"] != row["rejected_ids"],
        context=policy.config.max_position_embeddings,
        vocabulary=policy.get_input_embeddings().num_embeddings,
        base=config.base,
    )
    compared = compare(kept, components=config.component_weight > 0)
    heads = heads_of(compared)
    longest = max(len(ids) for one in compared for ids in (one.chosen, one.rejected))
    at_once = rows_at_once(config.batch_size, 2 * longest, tokens_at_once=config.run.tokens_at_once)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding_of(tokenizer, end_token_ids(policy, tokenizer)))
    trainer = HeadsRewardTrainer(
        model=make_scoring_model(policy, list(heads), config.base),
        component_weight=config.component_weight,
        center=config.center,
        args=Arguments(
            **arguments_of(config, at_once=at_once),
            lr_scheduler_type="cosine",
            warmup_steps=5,
            max_length=None,
        ),
        data_collator=ComparisonCollator(pad_token_id=tokenizer.pad_token_id),
        train_dataset=Dataset.from_list(columns_of(compared, list(heads))),
        processing_class=tokenizer,
        peft_config=adapter_of(config.lora),
    )
    data = {
        "digest": pairs.digest,
        "rows": len(kept),
        "comparisons": len(compared),
        "heads": heads,
        "without_components": sum(not row.get("components") for row in kept),
        "tokens": sum(len(one.chosen) + len(one.rejected) for one in compared),
        **left_out,
    }
    return trainer, tokenizer, data


def adapter_of(lora: Lora) -> Any:
    """PEFT's settings for a new adapter beside a score layer that is trained whole; None for rank 0."""
    from .adapters import lora_config

    adapter = lora_config(lora)
    if adapter is not None:
        adapter.task_type, adapter.modules_to_save = "SEQ_CLS", ["score"]
    return adapter


def judge(config: RewardConfig, test: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What held-out pairs say of the model as it was saved."""
    from ..rewards.compared import sides_of
    from ..rewards.held_out import judge_pairs
    from ..rewards.learned import open_reward_model

    model = open_reward_model(config.out)
    fitting = [row for row in test if max(map(len, sides_of(row))) <= model.context]
    counts = {"pairs": len(fitting), "too_long": len(test) - len(fitting)}
    return {**counts, **judge_pairs(model, fitting)} if fitting else counts


def write_report(report: TrainingReport) -> None:
    """Write ``training.json`` anew, with what is known now."""
    record = {**asdict(report), "out": report.out.name}
    fresh = report.out / f"{REPORT}.new"
    fresh.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    fresh.replace(report.out / REPORT)
