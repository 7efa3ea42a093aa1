"""TRL's GRPO trainer for a source of rows, live or recorded; what both recipes share."""

from typing import TYPE_CHECKING, Any

from ...errors import BadCredit
from .harness import arguments_of
from .losses import loss_arguments
from .processes import is_main_process, process_count
from .report import work_folder
from .step_notes import StepNotes

if TYPE_CHECKING:
    from .adapters import Policy
    from .rollout_grpo import Source


def notes_of(config: Any) -> StepNotes:
    """Where a run of ``config`` notes its steps."""
    return StepNotes(work_folder(config.out) / "steps.jsonl", writes=is_main_process())


def make_group_trainer(
    config: Any,
    policy: "Policy",
    source: "Source",
    notes: StepNotes,
    *,
    steps: int,
    temperature: float,
    groups: int,
    group_size: int,
) -> Any:
    """A trainer that takes ``steps`` steps on what ``source`` gives.

    TRL wants prompts: it is given one placeholder for each of ``groups``, ``group_size`` times.

    Raises:
        BadCredit: by step rewards, which neither suites nor data sets give.
    """
    if config.credit.assign == "steps":
        raise BadCredit(
            'credit.assign = "steps" needs a reward for each turn, which neither suites nor data sets of groups give; '
            'take "outcome", "discounted" or "forks"'
        )
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig

    from .rollout_grpo import RolloutGRPOTrainer

    adapted = policy.peft_config is not None or hasattr(policy.model, "peft_config")
    given = arguments_of(config, at_once=groups * group_size // process_count())
    return RolloutGRPOTrainer(
        model=policy.model,
        args=GRPOConfig(
            **{**given, "max_steps": steps},
            **loss_arguments(config),
            beta=config.beta if adapted else 0.0,  # else the trainer holds the reference itself
            num_generations=group_size,
            disable_dropout=True,  # the sampler has none, and ratios would differ by it
            temperature=temperature,
        ),
        beta=config.beta,
        minibatches=config.minibatches,
        iterations=config.iterations,
        tokens_at_once=config.run.tokens_at_once,
        source=source,
        notes=notes,
        train_dataset=Dataset.from_list([{"prompt": str(place)} for place in range(groups)]),
        processing_class=policy.tokenizer,
        peft_config=policy.peft_config,
    )
