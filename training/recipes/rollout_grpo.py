"""TRL's GRPO trainer with episodes from the graph and the logprobs that were recorded; imports TRL."""

import os
import warnings
from typing import TYPE_CHECKING, Any

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from ...nodes.models.local import LocalChatModel

if TYPE_CHECKING:
    from .grpo import GrpoConfig, Rollout

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is marked experimental; we pin TRL


class RolloutGRPOTrainer(GRPOTrainer):
    """GRPO whose episodes come from ``rollout``, and whose old logprobs are the recorded ones."""

    def __init__(self, *, rollout: "Rollout", **kwargs: Any) -> None:
        self.mean_rewards: list[float] = []
        self.tokens_seen = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            super().__init__(
                reward_funcs=[episode_reward],
                rollout_func=lambda prompts, _: self._play(prompts, rollout),
                **kwargs,
            )

    def _play(self, task_ids: list[str], rollout: "Rollout") -> dict[str, Any]:
        """Run the episodes with the present weights, and give TRL their tokens."""
        policy: Any = self.accelerator.unwrap_model(self.model)
        training = policy.training
        policy.eval()
        chat = LocalChatModel.from_model(
            policy,
            self.processing_class,
            version=f"training@{self.state.global_step:04d}",
            temperature=self.temperature,
            max_new_tokens=128,
        )
        try:
            rows = rollout(chat, task_ids, self.state.global_step)
        finally:
            chat.close()
            policy.train(training)
        self.mean_rewards.append(sum(row.reward for row in rows) / len(rows))
        self.tokens_seen += sum(len(row.prompt_ids) + len(row.completion_ids) for row in rows)
        return {
            "prompt_ids": [row.prompt_ids for row in rows],
            "completion_ids": [row.completion_ids for row in rows],
            "logprobs": [row.logprobs for row in rows],
            "env_mask": [row.env_mask for row in rows],
            "episode_reward": [row.reward for row in rows],
        }

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """As TRL's, but the old logprobs are those of the sampler instead of a second forward pass."""
        output = super()._generate_and_score_completions(inputs)
        output["old_per_token_logps"] = output["sampling_per_token_logps"]
        return output


def episode_reward(*, episode_reward: list[float], **kwargs: Any) -> Any:
    """The reward that each episode earned in its world."""
    return episode_reward


def make_arguments(config: "GrpoConfig", *, gpu: bool) -> GRPOConfig:
    """TRL's arguments for our config: one optimiser step for each round of episodes."""
    return GRPOConfig(
        output_dir=str(config.out.with_name(f".{config.out.name}.trainer")),
        learning_rate=config.learning_rate,
        max_steps=config.steps,
        per_device_train_batch_size=config.tasks_per_step * config.group_size,
        num_generations=config.group_size,
        temperature=config.temperature,
        beta=0.0,
        lr_scheduler_type="constant",
        seed=config.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would log 0 in place of a loss that is not a number
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        bf16=gpu,
        activation_checkpointing=gpu,
        dataloader_pin_memory=gpu,
        use_cpu=not gpu,
    )
