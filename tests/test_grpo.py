"""GRPO's trainer: the old logprobs are the recorded ones, ratios are right, given tokens get no gradient."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from grpo_world import sample, source_of
from threadmill.nodes.models.folder import load_model
from threadmill.training.credit.advantages import Credit
from threadmill.training.recipes.credited import Member
from threadmill.training.recipes.group_rows import GroupRow
from threadmill.training.recipes.group_trainer import make_group_trainer, notes_of
from threadmill.training.recipes.grpo import GrpoConfig
from threadmill.training.recipes.harness import open_policy
from threadmill.training.recipes.settings import Lora, Run

WARM = 0.7
RAW = Credit(scale="none")


@pytest.fixture(scope="module")
def rows(tiny_folder: Path) -> list[GroupRow]:
    """Four episodes that the tiny model sampled at temperature 0.7."""
    model, tokenizer = load_model(str(tiny_folder), device="cpu")
    return [sample(model.eval(), tokenizer, WARM, seed) for seed in range(4)]


def trainer_of(tiny_folder: Path, out: Path, source: Any, steps: int = 2, **settings: Any) -> Any:
    config = GrpoConfig("chats", str(tiny_folder), out, learning_rate=1e-2, **{"run": Run(save_every=0), **settings})
    made = make_group_trainer(
        config, open_policy(config), source, notes_of(config), steps=steps, temperature=WARM, groups=1, group_size=4
    )
    made.current_gradient_accumulation_steps = 1  # set by train() otherwise
    return made


def group(rows: Sequence[GroupRow], *rewards: float) -> list[Member]:
    return [
        Member(f"t{at}", reward, [row], sampled_at=0)
        for at, (row, reward) in enumerate(zip(rows, rewards, strict=True))
    ]


def probabilities(model: Any, row: GroupRow) -> torch.Tensor:
    """Log-probabilities of the sampled tokens of ``row``, as one writes it down."""
    ids = torch.tensor([row.prompt_ids + row.completion_ids])
    with torch.no_grad():
        logs = (model(ids).logits[0].float() / WARM).log_softmax(-1)
    places = [len(row.prompt_ids) + at for at, bit in enumerate(row.env_mask) if bit]
    return torch.stack([logs[place - 1, ids[0, place]] for place in places])


def test_ratios_are_one_at_first_and_then_what_the_weights_say(
    tmp_path: Path, tiny_folder: Path, rows: list[GroupRow]
) -> None:
    source = source_of([group(rows, 1.0, 0.0, 1.0, 0.0)], RAW)
    once = trainer_of(tiny_folder, tmp_path / "once", source, steps=1)
    once.train()
    twice = trainer_of(tiny_folder, tmp_path / "twice", source, steps=2, iterations=2)
    twice.train()
    first, second = twice.notes.of("update")
    assert first["ratio"]["mean"] == pytest.approx(1.0, abs=1e-4)
    assert first["ratio"]["kl"] == pytest.approx(0.0, abs=1e-6)
    now = torch.cat([probabilities(once.model.eval(), row) for row in rows])
    then = torch.tensor([value for row in rows for value, bit in zip(row.logprobs, row.env_mask, strict=True) if bit])
    ratios = (now - then).exp()
    assert (ratios - 1).abs().max() > 0.05
    assert second["ratio"]["mean"] == pytest.approx(float(ratios.mean()), abs=1e-4)
    assert second["ratio"]["max"] == pytest.approx(float(ratios.max()), abs=1e-3)
    assert second["ratio"]["effective"] == pytest.approx(float(ratios.sum() ** 2 / 12 / (ratios**2).sum()), abs=1e-4)
    better = torch.tensor([1.0] * 3 + [-1.0] * 3 + [1.0] * 3 + [-1.0] * 3)  # the advantage's sign, token by token
    clipped = ((ratios > 1.2) & (better > 0)) | ((ratios < 0.8) & (better < 0))
    assert second["ratio"]["clipped"] == pytest.approx(float(clipped.float().mean()))
    assert [first["staleness"], second["staleness"]] == [0, 1]


def test_old_logprobs_are_the_recorded_ones_and_the_mask_holds(
    tmp_path: Path, tiny_folder: Path, rows: list[GroupRow]
) -> None:
    trainer = trainer_of(tiny_folder, tmp_path / "out", source_of([group(rows, 1.0, 0.0, 1.0, 0.0)], RAW))
    trainer.model.train()
    (((batch,),)) = trainer._generation([{"prompt": "0"}] * 4, 0)
    assert batch["tool_mask"].tolist() == [[1, 1, 0, 0, 1]] * 4
    assert batch["advantages"].abs().tolist() == [[0.5, 0.5, 0.0, 0.0, 0.5]] * 4
    hidden: list[torch.Tensor] = []

    def keep(module: Any, args: Any, output: Any) -> None:
        if output.requires_grad:
            output.retain_grad()
            hidden.append(output)

    hook = trainer.model.model.norm.register_forward_hook(keep)
    trainer.compute_loss(trainer.model, batch).backward()
    hook.remove()
    gradient = hidden[-1].grad
    assert gradient is not None
    #  prompt: 300 301 302 | sampled sampled given given sampled; a position predicts the next token
    assert (gradient.abs().sum(-1) > 0).int().tolist() == [[0, 0, 1, 1, 0, 0, 1, 0]] * 4


def gradient_of(trainer: Any) -> torch.Tensor:
    trainer.model.train()
    trainer.model.zero_grad()
    trainer.state.global_step = 0
    trainer.training_step(trainer.model, [{"prompt": "0"}] * 4)
    return torch.cat([weight.grad.flatten() for weight in trainer.model.parameters()])


@pytest.mark.parametrize("loss", ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"])
def test_neither_passes_nor_groups_without_variance_change_the_step(
    tmp_path: Path, tiny_folder: Path, rows: list[GroupRow], loss: Any
) -> None:
    groups = [group(rows, 1.0, 0.0, 0.5, 0.0), group(rows, 1.0, 1.0, 1.0, 1.0)]
    skipping = trainer_of(
        tiny_folder,
        tmp_path / "skipping",
        source_of(groups, RAW, by_sequence=loss in ("grpo", "sapo")),
        loss=loss,
        run=Run(save_every=0, tokens_at_once=16),
    )
    assert len(skipping.source(None, 0).rows) == 4
    everything = skipping.source(None, 0)
    nothing = everything.rows[0].advantages
    plain = [*everything.rows, *(type(one)(one.row, [0.0] * len(nothing), 0) for one in everything.rows)]
    whole = trainer_of(tiny_folder, tmp_path / "whole", lambda model, step: kept, loss=loss)
    kept = type(everything)(plain, everything.rewards, everything.tokens)
    with_passes, at_once = gradient_of(skipping), gradient_of(whole)
    assert len(skipping._steps[0]) == 2
    assert len(whole._steps[0]) == 1
    assert at_once.abs().max() > 1e-4
    assert torch.allclose(with_passes, at_once, atol=1e-6)


def test_a_generation_without_variance_leaves_the_weights_as_they_are(
    tmp_path: Path, tiny_folder: Path, rows: list[GroupRow]
) -> None:
    trainer = trainer_of(tiny_folder, tmp_path / "out", source_of([group(rows, 1.0, 1.0, 1.0, 1.0)], RAW))
    before = deepcopy(trainer.model.state_dict())
    trainer.train()
    assert trainer.state.global_step == 2
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    assert [note["rows"] for note in trainer.notes.of("update")] == [0, 0]


@pytest.mark.parametrize("lora", [Lora(), Lora(rank=2)])
def test_the_reference_is_the_policy_at_the_start(
    tmp_path: Path, tiny_folder: Path, rows: list[GroupRow], lora: Lora
) -> None:
    source = source_of([group(rows, 1.0, 0.0, 1.0, 0.0)], RAW)
    trainer = trainer_of(tiny_folder, tmp_path / "out", source, steps=3, beta=0.1, lora=lora)
    trainer.train()
    kl = [line["kl"] for line in trainer.state.log_history if "kl" in line]
    assert kl[0] == pytest.approx(0.0, abs=1e-6)
    assert kl[2] > 1e-6
    if not lora.rank:
        start = load_model(str(tiny_folder), device="cpu")[0].state_dict()
        assert all(torch.equal(value, start[name]) for name, value in trainer.ref_model.state_dict().items())
