"""The methods of ``threadmill train``: a new recipe is one entry here, and imported when it is asked for."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Method:
    """Where a recipe is, and how its command explains itself."""

    module: str
    """In this folder."""
    config: str
    """Its config class."""
    train: str
    """Its function ``(config, *, progress) -> TrainingReport``; ``(config, store, *, progress)`` if it plays."""
    help: str
    example: str
    """Options of a command that works."""
    plays: bool = False
    """Whether it plays tasks, as threads of a database."""

    def config_class(self) -> type:
        """The class of its configs."""
        return getattr(import_module(f".{self.module}", __package__), self.config)

    def train_function(self) -> Any:
        """The function that trains."""
        return getattr(import_module(f".{self.module}", __package__), self.train)


METHODS = {
    "sft": Method(
        "sft",
        "SftConfig",
        "train_sft",
        "Supervised fine-tuning on masked rows: imitate what was sampled, and what humans wrote.",
        "--data data/sft --out models/sft",
    ),
    "rft": Method(
        "rft",
        "RftConfig",
        "train_rft",
        "Rejection sampling fine-tuning: SFT on the policy's own successes, at most so many different ones a task.",
        "--data data/sft --per-task 4 --out models/rft",
    ),
    "dpo": Method(
        "dpo",
        "DpoConfig",
        "train_dpo",
        "Direct preference optimisation on masked pairs.",
        "--data data/pairs --base models/sft --out models/dpo",
    ),
    "kto": Method(
        "kto",
        "KtoConfig",
        "train_kto",
        "Kahneman-Tversky optimisation on masked completions that are good or bad by themselves.",
        "--data data/kto --base models/sft --out models/kto",
    ),
    "grpo": Method(
        "grpo",
        "GrpoConfig",
        "train_grpo",
        "Group relative policy optimisation: the policy plays tasks through the real graph.",
        "--suite helpdesk --base models/dpo --out models/grpo --steps 4",
        plays=True,
    ),
    "offline-grpo": Method(
        "offline_grpo",
        "OfflineGrpoConfig",
        "train_offline_grpo",
        "GRPO on groups of finished threads, with the logprobs that were recorded when they were played.",
        "--data data/groups --base models/dpo --out models/offline",
    ),
    "reward": Method(
        "reward",
        "RewardConfig",
        "train_reward",
        "A reward model from pairs: what is better, and by which of completion, tool use and efficiency.",
        "--data data/pairs --base models/sft --out models/reward",
    ),
}
