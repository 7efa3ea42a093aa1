"""Right demonstrations of helpdesk tasks as a data set of masked rows: the scripted expert solves training tasks."""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from threadmill.nodes.models.folder import load_model
from threadmill.training.dataset import write_dataset
from threadmill.training.rows import IGNORED
from threadmill.training.seed_policy.demonstrations import encode
from threadmill.training.slots import SEED_POLICY
from threadmill.training.worlds.helpdesk.database import make_world, write_world
from threadmill.training.worlds.helpdesk.expert import demonstrate
from threadmill.training.worlds.helpdesk.tasks import KINDS, Task, make_task

WEIGHTS = {
    "policy": 2.0,
    "status_by_email": 2.0,
    "cancel_by_email": 4.0,
    "cancel_wrong_number": 4.0,
    "cancel_dearer": 2.0,
}
"""How often a kind is shown, beside 1 for the other kinds of its tier: what the seed policy cannot do yet."""


def write_demonstrations(out: Path, *, count: int, seed: int) -> None:
    """``count`` rows of training tasks of ``seed``; tiers equally often, before the weights."""
    tokenizer = load_model(str(SEED_POLICY))[1]
    write_dataset(out, (_row(tokenizer, task) for task in _tasks(count, seed)), {"kind": "sft"})


def _tasks(count: int, seed: int) -> Iterator[Task]:
    cells = [(tier, place, kind.__name__) for tier, kinds in KINDS.items() for place, kind in enumerate(kinds)]
    weights = [WEIGHTS.get(kind, 1.0) / len(KINDS[tier]) for tier, _, kind in cells]
    shown: Counter[str] = Counter()
    for tier, place, kind in random.Random(f"demonstrations/{seed}").choices(cells, weights, k=count):
        yield make_task("train", tier, place + len(KINDS[tier]) * shown[kind], seed)
        shown[kind] += 1


def _row(tokenizer: Any, task: Task) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world.db"
        write_world(make_world(task.split, task.seed), world)
        shown = encode(tokenizer, demonstrate(task, world))
    labels = [token if mask else IGNORED for token, mask in zip(shown.ids, shown.mask, strict=True)]
    return {"input_ids": shown.ids, "labels": labels, "logprobs": [None] * len(labels)}
