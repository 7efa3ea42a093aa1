"""GRPO through a rollout function: recorded logprobs are the old ones, given tokens get no gradient."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from threadmill.errors import BadDataset
from threadmill.training.recipes.grpo import GroupRow, GrpoConfig, make_trainer, train_grpo

CONFIG: dict[str, Any] = {"steps": 2, "tasks_per_step": 2, "group_size": 2, "learning_rate": 1e-3}


def play(model: Any, tasks: Sequence[str], step: int) -> list[GroupRow]:
    """Two sampled tokens, two given ones, one more sampled; the first trial of a task succeeds."""
    rows = []
    for i, _ in enumerate(tasks):
        prompt = [300, 301, 302]
        first = model.voice.decoder.submit(prompt, max_new_tokens=2, temperature=1.0, seed=i).result()
        seen = [*prompt, *first.ids, 320, 321]
        second = model.voice.decoder.submit(seen, max_new_tokens=1, temperature=1.0, seed=i + 50).result()
        rows.append(
            GroupRow(
                prompt_ids=prompt,
                completion_ids=[*first.ids, 320, 321, *second.ids],
                env_mask=[1] * len(first.ids) + [0, 0, 1],
                logprobs=[*first.logprobs, 0.0, 0.0, *second.logprobs],
                reward=float(i % 2 == 0),
            )
        )
    return rows


def test_two_steps_move_the_weights(tmp_path: Path, tiny_folder: Path) -> None:
    asked: list[tuple[int, int, int]] = []

    def rollout(model: Any, tasks: Sequence[str], step: int) -> list[GroupRow]:
        asked.append((step, len(tasks), len(set(tasks))))
        return play(model, tasks, step)

    report = train_grpo(GrpoConfig(str(tiny_folder), tmp_path / "out", **CONFIG), ["a", "b", "c"], rollout)
    assert asked == [(0, 4, 2), (1, 4, 2)]
    assert report.config["mean_rewards"] == [0.5, 0.5]
    assert report.steps == 2
    assert report.config["data"]["rows"] == 8
    assert len(report.config["data"]["digest"]) == 64
    assert (report.out / "model.safetensors").exists()


def test_old_logprobs_are_the_recorded_ones_and_the_mask_holds(tmp_path: Path, tiny_folder: Path) -> None:
    trainer, _ = make_trainer(GrpoConfig(str(tiny_folder), tmp_path / "out", **CONFIG), ["a", "b", "c"], play)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # set by train() otherwise
    inputs = next(iter(trainer.get_train_dataloader()))
    batch = trainer._generate_and_score_completions(inputs)
    assert batch["tool_mask"].tolist() == [[1, 1, 0, 0, 1]] * 4
    again = trainer._get_per_token_logps_and_entropies(
        trainer.model,
        torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
        torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
        logits_to_keep=5,
    )[0]
    sampled = batch["tool_mask"].bool()
    assert torch.equal(batch["old_per_token_logps"], batch["sampling_per_token_logps"])
    assert (again - batch["old_per_token_logps"])[sampled].abs().max() < 1e-4

    hidden: list[torch.Tensor] = []

    def keep(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if output.requires_grad:
            output.retain_grad()
            hidden.append(output)

    hook = trainer.model.model.norm.register_forward_hook(keep, with_kwargs=True)
    trainer.compute_loss(trainer.model, batch).backward()
    hook.remove()
    gradient = hidden[-1].grad
    assert gradient is not None
    #  prompt: 300 301 302 | sampled sampled given given sampled; a position predicts the next token
    assert (gradient.abs().sum(-1) > 0).int().tolist() == [[0, 0, 1, 1, 0, 0, 1, 0]] * 4


@pytest.mark.parametrize("tasks", [[], ["a", "b", "c"]])
def test_fewer_tasks_than_a_step_draws_are_refused(tmp_path: Path, tiny_folder: Path, tasks: list[str]) -> None:
    with pytest.raises(BadDataset, match=rf"draws 12 tasks for each step, but {len(tasks)} were given"):
        train_grpo(GrpoConfig(str(tiny_folder), tmp_path / "out"), tasks, play)
    assert list(tmp_path.iterdir()) == []
