"""SFT: masked positions get no gradient, weights move, the folder is complete, bad input is named."""

from pathlib import Path
from typing import Any

import pytest
import torch
from threadmill.errors import BadConfig, BadDataset, TrainingFailed
from threadmill.training.recipes.report import TrainingReport, read_report, save_folder
from threadmill.training.recipes.settings import Lora, Run
from threadmill.training.recipes.sft import SftConfig, train_sft
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
    report = train_sft(config, progress=lambda done, total, loss, **_: seen.append((done, total)))
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
    from threadmill.training.recipes.sft import make_trainer

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
        lora=Lora(rank=4, merge=True),
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
    with pytest.raises(BadDataset, match=r"of 1, 1 are longer than the 256 tokens"):
        train_sft(SftConfig(write_folder("sft", [long]), str(tiny_folder), tmp_path / "out"))


def test_a_loss_that_is_not_a_number_ends_the_run(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    config = SftConfig(
        write_folder("sft", [ROW] * 4),
        str(tiny_folder),
        tmp_path / "out",
        max_steps=8,
        batch_size=2,
        learning_rate=1e30,
    )
    with pytest.raises(
        TrainingFailed, match=r"the gradient became nan at step 3; the batch .* is in .*out\.bad-batch\.json"
    ):
        train_sft(config)
    assert not config.out.exists()


def test_weights_that_are_not_numbers_are_not_saved(tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any) -> None:
    with torch.no_grad():
        tiny_model.model.norm.weight[3] = float("nan")
    report = TrainingReport("sft", tmp_path / "out", 1, [(1, 0.5)], 1.0, 10, {})
    with pytest.raises(TrainingFailed, match=r"the weight model\.norm\.weight holds values that are not numbers"):
        save_folder(tiny_model, tiny_tokenizer, report)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_step_leaves_no_model(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    config = SftConfig(write_folder("sft", [ROW] * 4), str(tiny_folder), tmp_path / "out", epochs=0)
    with pytest.raises(TrainingFailed, match="training took no step"):
        train_sft(config)
    assert not config.out.exists()


def test_no_steps_at_all_are_refused_and_not_one_is_taken(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    config = SftConfig(write_folder("sft", [ROW] * 4), str(tiny_folder), tmp_path / "out", max_steps=0)
    with pytest.raises(BadConfig, match="max_steps = 0 leaves nothing to do; give at least 1, or -1"):
        train_sft(config)
    assert not config.out.exists()


def test_rows_that_train_nothing_are_counted(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    masked = {**ROW, "labels": [-100] * 10}
    long = {"input_ids": [300] * 300, "labels": [300] * 300, "logprobs": [None] * 300}
    data = write_folder("sft", [ROW, masked, long])
    report = train_sft(SftConfig(data, str(tiny_folder), tmp_path / "out", max_steps=1))
    counts = {key: report.config["data"][key] for key in ("rows", "tokens", "too_long", "nothing_trained")}
    assert counts == {"rows": 1, "tokens": 10, "too_long": 1, "nothing_trained": 1}


def test_tokens_of_a_short_last_batch_are_counted_once(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    config = SftConfig(write_folder("sft", [ROW] * 5), str(tiny_folder), tmp_path / "out", epochs=2, batch_size=4)
    assert train_sft(config).tokens == 2 * 5 * 10


def test_a_step_in_several_passes_is_the_same_step(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    short = {"input_ids": [300, 310, 311], "labels": [-100, 310, 311], "logprobs": [None, -1.0, -1.0]}
    data = write_folder("sft", [ROW, short, ROW, short])

    def trained(name: str, tokens_at_once: int) -> tuple[list[tuple[int, float]], dict[str, torch.Tensor]]:
        config = SftConfig(
            *(data, str(tiny_folder), tmp_path / name),
            max_steps=8,
            batch_size=4,
            learning_rate=1e-2,
            run=Run(tokens_at_once=tokens_at_once),
        )
        report = train_sft(config)
        return report.losses, AutoModelForCausalLM.from_pretrained(report.out).state_dict()

    losses, weights = trained("whole", 40)
    losses_in_parts, weights_in_parts = trained("parts", 10)
    assert [loss for _, loss in losses_in_parts] == pytest.approx([loss for _, loss in losses], rel=1e-4)
    assert all(torch.allclose(weights[name], weights_in_parts[name], atol=1e-3) for name in weights)


def test_a_missing_data_set_is_named(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(BadDataset, match="nowhere"):
        train_sft(SftConfig(tmp_path / "nowhere", str(tiny_folder), tmp_path / "out"))
