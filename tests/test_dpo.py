"""DPO: the first loss is ln 2, only marked tokens get a gradient, with all weights and with LoRA."""

import math
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from threadmill.training.recipes.dpo import DpoConfig, make_trainer, train_dpo
from threadmill.training.recipes.settings import Lora, Run

PAIR = {
    "prompt_ids": [300, 301, 302],
    #              sampled     | tool    | sampled
    "chosen_ids": [310, 311, 312, 320, 321, 330],
    "chosen_mask": [1, 1, 1, 0, 0, 1],
    "rejected_ids": [340, 341, 350, 351],
    "rejected_mask": [1, 1, 0, 0],
}


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_the_first_loss_is_ln_2(tmp_path: Path, tiny_folder: Path, write_folder: Any, lora_rank: int) -> None:
    config = DpoConfig(
        write_folder("pairs", [PAIR] * 4),
        str(tiny_folder),
        tmp_path / "out",
        max_steps=12,
        batch_size=2,
        learning_rate=1e-2,
        lora=Lora(rank=lora_rank, merge=True),
    )
    report = train_dpo(config)
    assert report.loss_first == pytest.approx(math.log(2), abs=1e-6)
    assert report.loss_last < 0.69
    assert (report.out / "model.safetensors").exists()


def test_the_first_loss_is_ln_2_in_several_passes(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    config = DpoConfig(
        *(write_folder("pairs", [PAIR] * 4), str(tiny_folder), tmp_path / "out"),
        max_steps=1,
        batch_size=4,
        run=Run(tokens_at_once=20),
    )
    report = train_dpo(config)
    assert report.loss_first == pytest.approx(math.log(2), abs=1e-6)
    assert report.tokens == 4 * (9 + 7)


def test_a_tokenizer_without_a_padding_token_will_do(
    tmp_path: Path, tiny_folder: Path, tiny_tokenizer: Any, write_folder: Any
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "base")
    tokenizer = deepcopy(tiny_tokenizer)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    short = {**PAIR, "prompt_ids": [300]}
    config = DpoConfig(write_folder("pairs", [PAIR, short]), str(folder), tmp_path / "out", max_steps=1, batch_size=2)
    assert train_dpo(config).loss_first == pytest.approx(math.log(2), abs=1e-6)


def test_the_collator_marks_our_tokens_and_no_others(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    trainer, _, _ = make_trainer(
        DpoConfig(write_folder("pairs", [PAIR]), str(tiny_folder), tmp_path / "out", batch_size=1)
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["input_ids"][0].tolist() == [300, 301, 302, 310, 311, 312, 320, 321, 330]
    assert batch["completion_mask"].tolist() == [
        [0, 0, 0, 1, 1, 1, 0, 0, 1],
        [0, 0, 0, 1, 1, 0, 0, 0, 0],
    ]


def test_masked_positions_carry_exactly_no_gradient(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    trainer, _, _ = make_trainer(
        DpoConfig(write_folder("pairs", [PAIR]), str(tiny_folder), tmp_path / "out", batch_size=1)
    )
    batch = next(iter(trainer.get_train_dataloader()))
    hidden: list[torch.Tensor] = []

    def keep(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if torch.is_tensor(output) and output.requires_grad:
            output.retain_grad()
            hidden.append(output)

    # The last hidden state feeds the logits of its own position only: no gradient there, none in the logits.
    hook = trainer.model.model.norm.register_forward_hook(keep, with_kwargs=True)
    trainer.compute_loss(trainer.model, batch).backward()
    hook.remove()
    gradient = hidden[0].grad
    assert gradient is not None
    assert (gradient.abs().sum(-1) > 0).int().tolist() == [
        [0, 0, 1, 1, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 0, 0, 0, 0],
    ]
