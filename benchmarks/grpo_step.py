"""Where the time of a GRPO step goes: playing episodes, scoring them, updating the weights.

The policy plays tasks of a suite as threads and learns from them; the first step warms up and is not counted. Beside
the seconds stand the tokens that the update read, padding included, and what TRL's own batch would have read: every
episode, padded to the longest prompt and the longest completion, silent groups too.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.training.recipes.group_rows import episode_rows
from threadmill.training.recipes.grpo import GrpoConfig, train_grpo
from threadmill.training.recipes.settings import Lora, Run
from threadmill.training.slots import SEED_POLICY

GOAL = 1.5
"""A step over its rollout: scoring and updating take at most half as long as playing."""


def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """The document."""
    with TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/runs.db") as store:
        config = GrpoConfig(
            arguments.suite,
            arguments.base,
            Path(folder) / "out",
            steps=arguments.steps + 1,
            tasks_per_step=arguments.tasks_per_step,
            group_size=arguments.group_size,
            workers=arguments.workers,
            lora=Lora(rank=arguments.lora_rank),
            run=Run(save_every=0),
        )
        report = train_grpo(config, store)
        updates = [note for note in report.noted if note["kind"] == "update"][1:]
        generations = [note for note in report.noted if note["kind"] == "generation"][1:]
        padded = [in_one_batch(store, list(note["episodes"])) for note in generations]
    seconds = {
        part: round(fmean(note["seconds"][part] for note in updates), 3) for part in ("rollout", "scoring", "update")
    }
    step = sum(seconds.values())
    ratio = round(step / seconds["rollout"], 3)
    tokens = {
        "trained": round(fmean(note["trained_tokens"] for note in updates)),
        "read_by_the_update": round(fmean(note["padded_tokens"] for note in updates)),
        "read_in_one_padded_batch": round(fmean(padded)),
    }
    return {
        "name": "grpo_step",
        "ratio": ratio,
        "ratio_of": "seconds of a GRPO step over those of its rollout",
        "better": "lower",
        "goal": GOAL,
        "met": ratio <= GOAL,
        "detail": {
            "parts of a step": [
                {"part": part, "seconds": value, "share": round(value / step, 3)} for part, value in seconds.items()
            ],
            "tokens a step": tokens,
            "steps": [
                {
                    "episodes": len(note["episodes"]),
                    "groups": note["counts"]["groups"],
                    "without_variance": note["counts"]["groups without variance"],
                    "rows": update["rows"],
                    "rollout_s": update["seconds"]["rollout"],
                    "scoring_s": update["seconds"]["scoring"],
                    "update_s": update["seconds"]["update"],
                }
                for note, update in zip(generations, updates, strict=True)
            ],
        },
    }


def in_one_batch(store: Store, threads: Sequence[str]) -> int:
    """Tokens of all these episodes as one batch, padded to the longest prompt and the longest completion."""
    parts = [
        part for thread in threads for part in episode_rows(read_messages(store, thread), lambda version: True).parts
    ]
    front = max(len(part.prompt_ids) for part in parts)
    return len(parts) * (front + max(len(part.completion_ids) for part in parts))


def main() -> None:
    """Measure, and print for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--suite", default="helpdesk")
    parser.add_argument("--base", default=str(SEED_POLICY))
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--tasks-per-step", type=int, default=12)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--lora-rank", type=int, default=0)
    arguments = parser.parse_args()
    document = bench(arguments)
    print(json.dumps(document if arguments.json else document["detail"], indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
