"""KTO: at first every row loses half its weight, the KL completions take their masks along, weights balance."""

from pathlib import Path
from typing import Any

import pytest
import torch
from threadmill.errors import BadConfig, BadDataset
from threadmill.training.recipes.kto import KtoConfig, balance, make_trainer, train_kto
from threadmill.training.recipes.masked_kto import MaskedUnpairedCollator
from threadmill.training.recipes.settings import Lora, Run

GOOD = {
    "prompt_ids": [300, 301, 302],
    #                  sampled     | tool    | sampled
    "completion_ids": [310, 311, 312, 320, 321, 330],
    "completion_mask": [1, 1, 1, 0, 0, 1],
    "label": True,
}
BAD = {
    "prompt_ids": [300],
    #                  sampled | human's | sampled, judged elsewhere
    "completion_ids": [340, 341, 350, 351],
    "completion_mask": [1, 1, 1, 0],
    "label": False,
}


def test_at_first_every_row_loses_half_its_weight(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    data = write_folder("kto", [GOOD, BAD, BAD, BAD])
    report = train_kto(KtoConfig(data, str(tiny_folder), tmp_path / "out", max_steps=1, batch_size=4))
    told = report.config["data"]
    assert (told["desirable"], told["undesirable"]) == (1, 3)
    assert (told["desirable_weight"], told["undesirable_weight"]) == (3.0, 1.0)
    assert report.loss_first == pytest.approx((3 * 0.5 + 0.5 + 0.5 + 0.5) / 4, abs=1e-6)
    assert report.tokens == 9 + 5 + 5 + 5
    assert (report.out / "model.safetensors").exists()


@pytest.mark.parametrize("lora", [Lora(), Lora(rank=4)], ids=["full", "LoRA"])
@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_at_first_the_loss_is_half_of_the_weight_whatever_is_trained(
    tmp_path: Path, tiny_folder: Path, write_folder: Any, loss_type: Any, lora: Lora
) -> None:
    data = write_folder("kto", [GOOD, BAD])
    config = KtoConfig(data, str(tiny_folder), tmp_path / "out", loss_type=loss_type, desirable_weight=1.5, lora=lora)
    trainer, _, _ = make_trainer(config)
    loss = trainer.compute_loss(trainer.model, trainer.data_collator([GOOD, BAD])).detach()
    # 1.5 × 1 row : weight × 1 row lies between 1 : 1 and 4 : 3
    assert float(loss) == pytest.approx((1.5 * 0.5 + 1.125 * 0.5) / 2, abs=1e-6)


def test_good_completions_become_likelier_and_bad_ones_less_likely(
    tmp_path: Path, tiny_folder: Path, write_folder: Any
) -> None:
    trainer, _, _ = make_trainer(
        KtoConfig(
            write_folder("kto", [GOOD, BAD] * 2),
            str(tiny_folder),
            tmp_path / "out",
            learning_rate=5e-2,
            max_steps=4,
            batch_size=4,
            run=Run(save_every=0),
        )
    )
    trainer.train()
    last = [line for line in trainer.state.log_history if "rewards/chosen" in line][-1]
    assert last["rewards/chosen"] > 0.05
    assert last["rewards/rejected"] < -0.05
    assert all(line["kl"] >= 0 for line in trainer.state.log_history if "kl" in line)


def test_the_completions_of_the_kl_term_bring_their_masks_along() -> None:
    batch = MaskedUnpairedCollator(pad_token_id=0)([GOOD, BAD])
    assert batch["input_ids"].tolist() == [
        [300, 301, 302, 310, 311, 312, 320, 321, 330],
        [300, 340, 341, 350, 351, 0, 0, 0, 0],
    ]
    assert batch["completion_mask"].tolist() == [
        [0, 0, 0, 1, 1, 1, 0, 0, 1],
        [0, 1, 1, 1, 0, 0, 0, 0, 0],
    ]
    assert batch["KL_input_ids"].tolist() == [
        [300, 301, 302, 340, 341, 350, 351],
        [300, 310, 311, 312, 320, 321, 330],
    ]
    assert batch["KL_completion_mask"].tolist() == [
        [0, 0, 0, 1, 1, 1, 0],
        [0, 1, 1, 1, 0, 0, 1],
    ]
    assert batch["label"].tolist() == [True, False]


def test_a_completion_after_a_long_prompt_is_cut_with_its_mask() -> None:
    long = {**BAD, "prompt_ids": [300] * 6}
    batch = MaskedUnpairedCollator(pad_token_id=0, max_length=10)([GOOD, long])
    assert batch["KL_input_ids"][1].tolist() == [*[300] * 6, 310, 311, 312, 320]
    assert batch["KL_completion_mask"][1].tolist() == [*[0] * 6, 1, 1, 1, 0]
    assert batch["input_ids"].shape == (2, 10)


def test_a_row_that_is_alone_in_its_batch_has_no_kl_term(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    batch = MaskedUnpairedCollator(pad_token_id=0)([GOOD])
    assert batch["KL_input_ids"].tolist() == [[300, 301, 302]]
    assert batch["KL_completion_mask"].tolist() == [[0, 0, 0]]

    config = KtoConfig(write_folder("kto", [GOOD] * 3), str(tiny_folder), tmp_path / "out", batch_size=2)
    trainer, _, _ = make_trainer(config)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight *= 1.1  # as if it had been trained
    trainer.compute_loss(trainer.model, batch)
    assert trainer._metrics["eval"]["kl"] == [0.0]


def test_the_kl_term_is_the_mean_gain_of_other_rows_completions(
    tmp_path: Path, tiny_folder: Path, write_folder: Any
) -> None:
    config = KtoConfig(write_folder("kto", [GOOD, BAD]), str(tiny_folder), tmp_path / "out", batch_size=2)
    trainer, _, _ = make_trainer(config)
    with torch.no_grad():
        trainer.model.model.norm.weight *= 0.9  # as if it had been trained
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, batch).detach()

    @torch.no_grad()
    def gains(prefix: str) -> torch.Tensor:
        ids, mask = batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"][:, 1:]
        said = []
        for model in (trainer.model, trainer.ref_model):
            logits = model(input_ids=ids, attention_mask=batch[f"{prefix}attention_mask"]).logits[:, :-1]
            logprobs = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
            said.append((logprobs * mask).sum(1))
        return said[0] - said[1]

    kl = gains("KL_").mean().clamp(min=0)
    sign = batch["label"] * 2 - 1
    expected = (1 - torch.sigmoid(0.1 * sign * (gains("") - kl))).mean()
    assert float(kl) > 0.001
    assert trainer._metrics["eval"]["kl"] == [pytest.approx(float(kl), abs=1e-5)]
    assert float(loss) == pytest.approx(float(expected), abs=1e-6)


def test_rows_are_shuffled_anew_in_each_epoch(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    rows = [{**GOOD, "prompt_ids": [300 + i]} for i in range(8)]
    config = KtoConfig(write_folder("kto", rows), str(tiny_folder), tmp_path / "out", batch_size=2)
    loader = make_trainer(config)[0].get_train_dataloader()
    orders = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        orders.append([prompt for batch in loader for prompt in batch["input_ids"][:, 0].tolist()])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(300, 308))
    assert orders[0] != orders[1]


@pytest.mark.parametrize(
    ("good", "bad", "given", "weights"),
    [
        (8, 8, (None, None), (1.0, 1.0)),
        (4, 3, (None, None), (1.0, 1.0)),  # 4 : 3 is the largest that the paper allows
        (1, 10, (None, None), (10.0, 1.0)),  # 10 × 1 : 1 × 10
        (20, 5, (None, None), (1.0, 3.0)),  # 1 × 20 : 3 × 5
        (20, 5, (0.5, None), (0.5, 1.5)),  # 0.5 × 20 : 1.5 × 5
        (20, 5, (None, 2.0), (pytest.approx(2 / 3), 2.0)),  # 2/3 × 20 : 2 × 5
        (20, 5, (1.0, 1.0), (1.0, 1.0)),
        (7, 0, (None, None), (1.0, 1.0)),
    ],
)
def test_good_and_bad_losses_count_between_1_to_1_and_4_to_3(
    good: int, bad: int, given: tuple[Any, Any], weights: tuple[Any, Any]
) -> None:
    assert balance(good, bad, *given) == weights


def test_one_row_at_a_time_is_refused_where_the_kl_term_needs_several(
    tmp_path: Path, tiny_folder: Path, write_folder: Any
) -> None:
    data = write_folder("kto", [GOOD, BAD])
    config = KtoConfig(data, str(tiny_folder), tmp_path / "out", batch_size=2, run=Run(tokens_at_once=9))
    with pytest.raises(BadConfig, match=r"tokens_at_once = 9 reads one row at a time, but the KL term of kto needs"):
        train_kto(config)
    assert not (tmp_path / "out").exists()


def test_rows_that_train_nothing_are_left_out_and_said(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    nothing = {**GOOD, "completion_mask": [0] * 6}
    first = {"prompt_ids": [], "completion_ids": [310, 311], "completion_mask": [1, 0], "label": True}
    rows = [GOOD, nothing, first, {**BAD, "prompt_ids": [300] * 300}]
    config = KtoConfig(write_folder("kto", rows), str(tiny_folder), tmp_path / "out", batch_size=2)
    data = make_trainer(config)[2]
    assert (data["rows"], data["nothing_trained"], data["too_long"]) == (1, 2, 1)
    with pytest.raises(BadDataset, match=r"no row can be trained on: of 1, 0 are longer .* and 1 train nothing"):
        make_trainer(KtoConfig(write_folder("kto", [nothing]), str(tiny_folder), tmp_path / "out"))
