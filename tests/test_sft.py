"""SFT: masked positions get no gradient, weights move, the folder is complete, bad input is named."""

from pathlib import Path
from typing import Any

import pytest
import torch
from threadmill.errors import BadDataset, TrainingFailed
from threadmill.training.report import read_report
from threadmill.training.sft import SftConfig, train_sft
from transformers import AutoModelForCausalLM, AutoTokenizer

#                 user said      | sampled        | tool said | sampled
ROW = {
    "input_ids": [300, 301, 302, 310, 311, 312, 320, 321, 330, 331],
    "labels": [-100, -100, -100, 310, 311, 312, -100, -100, 330, 331],
    "logprobs": [None] * 3 + [-1.0] * 3 + [None] * 2 + [-1.0] * 2,
}


def gradient_by_position(trainer: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Sum of |d loss / d last hidden state|, (rows, positions): it feeds the logits of its own position only."""
    seen: list[torch.Tensor] = []

    def keep(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        output.retain_grad()
        seen.append(output)

    hook = trainer.model.model.norm.register_forward_hook(keep, with_kwargs=True)
    trainer.compute_loss(trainer.model, inputs).backward()
    hook.remove()
    gradient = seen[0].grad
    assert gradient is not None
    return gradient.abs().sum(-1)


def test_two_steps_move_the_weights_and_leave_a_complete_folder(
    tmp_path: Path, tiny_folder: Path, write_folder: Any
) -> None:
    config = SftConfig(
        write_folder("sft", [ROW] * 4),
        str(tiny_folder),
        tmp_path / "out",
        max_steps=8,
        batch_size=2,
        learning_rate=1e-2,
    )
    seen: list[tuple[int, int]] = []
    report = train_sft(config, progress=lambda done, total, loss: seen.append((done, total)))
    assert seen == [(step, 8) for step in range(1, 9)]
    assert report.loss_last < report.loss_first
    assert report.tokens == 8 * 2 * 10
    before = AutoModelForCausalLM.from_pretrained(tiny_folder).state_dict()
    after = AutoModelForCausalLM.from_pretrained(report.out).state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    tokenizer = AutoTokenizer.from_pretrained(report.out)
    assert "generation" in tokenizer.chat_template
    assert read_report(report.out).losses == report.losses
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "sft"]


def test_masked_positions_carry_exactly_no_gradient(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    from threadmill.training.sft import make_trainer

    trainer, _, _ = make_trainer(
        SftConfig(write_folder("sft", [ROW]), str(tiny_folder), tmp_path / "out", batch_size=1, max_steps=1)
    )
    batch = next(iter(trainer.get_train_dataloader()))
    gradient = gradient_by_position(trainer, batch)[0]
    # The logits at position i predict token i + 1, so the mask of labels shifts by one.
    #             300 301 302 310 311 312 320 321 330 331
    assert (gradient > 0).int().tolist() == [0, 0, 1, 1, 1, 0, 0, 1, 1, 0]


def test_lora_trains_too_and_is_merged(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    config = SftConfig(
        write_folder("sft", [ROW] * 2),
        str(tiny_folder),
        tmp_path / "out",
        max_steps=2,
        batch_size=2,
        lora_rank=4,
    )
    report = train_sft(config)
    assert (report.out / "model.safetensors").exists()
    assert not (report.out / "adapter_config.json").exists()


def test_nothing_is_overwritten(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(TrainingFailed, match="out exists already"):
        train_sft(SftConfig(write_folder("sft", [ROW]), str(tiny_folder), tmp_path / "out"))


def test_rows_longer_than_the_context_are_named(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    long = {"input_ids": [300] * 300, "labels": [300] * 300, "logprobs": [None] * 300}
    with pytest.raises(BadDataset, match=r"all 1 rows .* are longer than the 256 tokens"):
        train_sft(SftConfig(write_folder("sft", [long]), str(tiny_folder), tmp_path / "out"))


def test_a_missing_data_set_is_named(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(BadDataset, match="nowhere"):
        train_sft(SftConfig(tmp_path / "nowhere", str(tiny_folder), tmp_path / "out"))
