"""How a policy does on held-out tasks while GRPO trains it on others: what tells a learnt task from a hacked reward."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...checkpoints.store import Store
from ...nodes.models.slot import Slot
from ..rollout import play
from ..suites import Suite
from .processes import process_count, process_number

if TYPE_CHECKING:
    from .grpo import GrpoConfig


def is_due(config: "GrpoConfig", begins: int) -> bool:
    """Whether the generation that ``begins`` at this step is the first one at or after another ``evaluate_every``."""
    return bool(config.evaluate_every) and begins % config.evaluate_every < config.updates


def held_out_success(
    store: Store, suite: Suite, slots: Mapping[str, Slot], config: "GrpoConfig", *, prefix: str
) -> dict[str, float]:
    """Task to 1 for a success and 0 for anything else; of several processes each plays its share.

    Episodes are threads ``{prefix}{task}-t0``. Nothing is trained on them.
    """
    tasks = list(suite.tasks("heldout", config.evaluation_tasks, config.seed))[process_number() :: process_count()]
    trials = play(
        store,
        suite,
        tasks,
        slots,
        trials=1,
        seed=config.seed,
        workers=config.workers,
        prefix=prefix,
        keep_failures=True,
    )
    return {
        task.id: float(bool(trial.finished.conditions) and trial.finished.met == trial.finished.conditions)
        for task, trial in zip(tasks, trials, strict=True)
    }
