"""Masks hold in every trainer: exactly no gradient at the logits that predict what is not trained.

Position t predicts token t + 1. The rows have tool output, a human's edit and several turns.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_world import MASK, OTHER, OTHER_MASK, PROMPT, TOLD, gradient_of, predicted_by, write_model
from threadmill.training.recipes import dpo, kto, sft
from threadmill.training.recipes.masked_dpo import MaskedPreferenceCollator
from threadmill.training.recipes.masked_kto import MaskedUnpairedCollator
from threadmill.training.recipes.settings import Lora, Run
from threadmill.training.rows import IGNORED

LORA = Lora(rank=2)
Make = Callable[..., Any]
"""Makes a trainer of a method on the episode."""


def sft_row(ids: list[int], mask: list[int]) -> dict[str, Any]:
    labels = [token if bit else IGNORED for token, bit in zip(ids, mask, strict=True)]
    return {"input_ids": PROMPT + ids, "labels": [IGNORED] * len(PROMPT) + labels}


def pair(mask: list[int], other: list[int]) -> dict[str, Any]:
    sides = {"chosen_ids": TOLD, "chosen_mask": mask, "rejected_ids": OTHER, "rejected_mask": other}
    return {"prompt_ids": PROMPT, **sides}


def judged(mask: list[int], other: list[int]) -> list[dict[str, Any]]:
    return [
        {"prompt_ids": PROMPT, "completion_ids": TOLD, "completion_mask": mask, "label": True},
        {"prompt_ids": PROMPT, "completion_ids": OTHER, "completion_mask": other, "label": False},
    ]


@pytest.fixture
def make(tmp_path: Path, tiny_tokenizer: Any, write_folder: Any) -> Make:
    """A function that makes the trainer of a recipe, as the recipe does."""

    def make(method: str, **changes: Any) -> Any:
        recipe, config, kind, rows = {
            "sft": (sft, sft.SftConfig, "sft", [sft_row(TOLD, MASK), sft_row(OTHER, OTHER_MASK)]),
            "dpo": (dpo, dpo.DpoConfig, "pairs", [pair(MASK, OTHER_MASK)]),
            "kto": (kto, kto.KtoConfig, "kto", judged(MASK, OTHER_MASK)),
        }[method]
        base = tmp_path / "base"
        if not base.exists():
            write_model(base, tiny_tokenizer)
        noted = [{**row, "logprobs": [None] * len(row["input_ids"])} if method == "sft" else row for row in rows]
        settings = {"batch_size": 2, "run": Run(save_every=0), **changes}
        return recipe.make_trainer(config(write_folder(kind, noted), str(base), tmp_path / "out", **settings))[0]

    return make


BOTH = [predicted_by(MASK), predicted_by(OTHER_MASK, width=14)]


def test_what_the_episode_trains_is_predicted_one_position_earlier() -> None:
    # fmt: off
    #         prompt     sampled     tool  human   tool  sampled
    ids   = [ 2,  3,  4, 10, 11, 12, 5, 6, 13, 14, 7, 8, 15, 16]
    where = [ 0,  0,  1,  1,  1,  0, 0, 1,  1,  0, 0, 1,  1,  0]
    # fmt: on
    assert (PROMPT + TOLD, predicted_by(MASK)) == (ids, where)


@pytest.mark.parametrize("lora", [Lora(), LORA], ids=["full", "LoRA"])
def test_sft(make: Make, lora: Lora) -> None:
    trainer = make("sft", lora=lora)
    batch = trainer.data_collator([sft_row(TOLD, MASK), sft_row(OTHER, OTHER_MASK)])
    found = gradient_of(trainer, batch)
    assert found.positions == BOTH
    # at a trained position it is (what is likely - what was said) / how many are trained
    with torch.no_grad():
        likely = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.softmax(-1)
    said = torch.nn.functional.one_hot(batch["input_ids"].roll(-1, 1), likely.shape[-1])
    expected = (likely - said) / 12 * torch.tensor(BOTH)[..., None]
    torch.testing.assert_close(found.logits, expected, atol=1e-6, rtol=0)


def test_sft_of_packed_rows(make: Make) -> None:
    rows = [sft_row(TOLD, MASK), sft_row(OTHER, OTHER_MASK)]
    rows[1]["labels"][0] = rows[1]["input_ids"][0]  # the first token of a row: the row before it must not predict it
    packed = make("sft", packing=40)
    (sequence,) = packed.train_dataset
    assert sequence["seq_lengths"] == [14, 9]
    joined = {"input_ids": rows[0]["input_ids"] + rows[1]["input_ids"], "seq_lengths": [14, 9]}
    labels = rows[0]["labels"] + rows[1]["labels"]
    found = gradient_of(packed, packed.data_collator([{**joined, "labels": labels}]))
    assert found.positions == [predicted_by(MASK) + predicted_by(OTHER_MASK)]
    padded = make("sft")
    alone = gradient_of(padded, padded.data_collator(rows)).logits
    torch.testing.assert_close(found.logits[0], torch.cat([alone[0], alone[1, :9]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("lora", [Lora(), LORA], ids=["full", "LoRA"])
def test_dpo(make: Make, lora: Lora) -> None:
    trainer = make("dpo", lora=lora)
    assert gradient_of(trainer, trainer.data_collator([pair(MASK, OTHER_MASK)])).positions == BOTH


@pytest.mark.parametrize("lora", [Lora(), LORA], ids=["full", "LoRA"])
@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_kto(make: Make, loss_type: str, lora: Lora) -> None:
    trainer = make("kto", loss_type=loss_type, lora=lora)
    assert gradient_of(trainer, trainer.data_collator(judged(MASK, OTHER_MASK))).positions == BOTH


AT_FIRST = {
    "sigmoid": 0.6931472,  # ln 2
    "robust": 0.6931472,
    "sigmoid_norm": 0.6931472,
    "discopop": (0.6931472 + 1) / 2,  # half of ln 2, half of exp 0
    "hinge": 1.0,
    "ipo": 25.0,  # (1 / 2β)², β = 0.1
    "sppo_hard": 50.0,  # 2 · (1 / 2β)²
    "apo_zero": 1.0,  # 1 - σ(0) + σ(0)
    "apo_down": 1.0,
    "bco_pair": 2 * 0.6931472,
    "nca_pair": 2 * 0.6931472,
    "exo_pair": 0.5 * 0.6931472 * -2 - 0.5 * (-0.1053605 - 2.3025851),  # KL of (½, ½) from (0.9, 0.1)
}


def test_each_loss_of_pairs_begins_where_theory_says_and_keeps_the_mask(make: Make) -> None:
    trainer = make("dpo")
    batch = trainer.data_collator([pair(MASK, OTHER_MASK)])
    for loss_type, expected in AT_FIRST.items():
        trainer.loss_types = [loss_type]
        trainer.label_smoothing = 0.1 if loss_type == "exo_pair" else 0.0
        assert (loss_type, gradient_of(trainer, batch).loss) == (loss_type, pytest.approx(expected, abs=1e-5))
    with torch.no_grad():
        trainer.model.model.norm.weight *= 0.9  # as if it had been trained: at first apo_down leaves chosen sides alone
    for loss_type in AT_FIRST:
        trainer.loss_types = [loss_type]
        trainer.label_smoothing = 0.1 if loss_type == "exo_pair" else 0.0
        assert (loss_type, gradient_of(trainer, batch).positions) == (loss_type, BOTH)
    assert set(AT_FIRST) == set(get_args(dpo.LossType))


def test_rpo_imitates_the_trained_tokens_of_the_chosen_side(make: Make) -> None:
    trainer = make("dpo", sft_weight=0.5)
    batch = trainer.data_collator([pair(MASK, OTHER_MASK)])
    found = gradient_of(trainer, batch)
    assert found.positions == BOTH
    with torch.no_grad():
        logits = trainer.model(input_ids=batch["input_ids"][:1]).logits[:, :-1]
    logprobs = logits.log_softmax(-1).gather(2, batch["input_ids"][:1, 1:, None])[0, :, 0]
    spoken = torch.tensor(predicted_by(MASK)[:-1]).bool()
    assert found.loss == pytest.approx(0.6931472 - 0.5 * float(logprobs[spoken].mean()), abs=1e-5)


@pytest.mark.parametrize("loss_type", ["ipo", "sigmoid_norm"])
def test_losses_that_average_over_tokens_count_the_trained_ones_only(make: Make, loss_type: str) -> None:
    trainer = make("dpo", loss_type=loss_type)
    with torch.no_grad():
        trainer.model.model.norm.weight *= 0.9  # as if it had been trained
    batch = trainer.data_collator([pair(MASK, OTHER_MASK)])
    gains = []
    with torch.no_grad():
        for model in (trainer.model, trainer.ref_model):
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
            logprobs = logits.log_softmax(-1).gather(2, batch["input_ids"][:, 1:, None])[..., 0]
            gains.append((logprobs * torch.tensor(BOTH)[:, :-1]).sum(1))
    # 7 tokens of the chosen side are trained, 5 of the rejected one
    margin = (gains[0] - gains[1])[0] / 7 - (gains[0] - gains[1])[1] / 5
    expected = (margin - 1 / 0.2) ** 2 if loss_type == "ipo" else -torch.nn.functional.logsigmoid(0.1 * margin)
    assert abs(float(margin)) > 0.01
    assert gradient_of(trainer, batch).loss == pytest.approx(float(expected), abs=1e-5)


def some_mask(length: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 1), min_size=length, max_size=length)


@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
def test_every_bit_of_a_mask_decides_about_its_own_position(make: Make, method: str) -> None:
    trainer = make(method)

    @settings(max_examples=10, deadline=None)
    @given(some_mask(11), some_mask(6))
    def check(mask: list[int], other: list[int]) -> None:
        rows = {
            "sft": [sft_row(TOLD, mask), sft_row(OTHER, other)],
            "dpo": [pair(mask, other)],
            "kto": judged(mask, other),
        }[method]
        found = gradient_of(trainer, trainer.data_collator(rows))
        assert found.positions == [predicted_by(mask), predicted_by(other, width=14)]

    check()


lengths = st.integers(0, 6)
tokens = st.lists(st.tuples(st.integers(2, 23), st.integers(0, 1)), min_size=1, max_size=9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(lengths, tokens, tokens), min_size=1, max_size=4))
def test_the_collator_of_pairs_puts_each_mask_where_its_tokens_are(rows: list[Any]) -> None:
    pairs = [
        {
            "prompt_ids": [1] * prompt,
            "chosen_ids": [token for token, _ in chosen],
            "chosen_mask": [bit for _, bit in chosen],
            "rejected_ids": [token for token, _ in rejected],
            "rejected_mask": [bit for _, bit in rejected],
        }
        for prompt, chosen, rejected in rows
    ]
    batch = MaskedPreferenceCollator(pad_token_id=0)(pairs)
    sides = [(prompt, chosen) for prompt, chosen, _ in rows] + [(prompt, rejected) for prompt, _, rejected in rows]
    for row, (prompt, side) in enumerate(sides):
        marked = [
            (at, int(batch["input_ids"][row, at])) for at in batch["completion_mask"][row].nonzero()[:, 0].tolist()
        ]
        # never the first token of a row: nothing predicts it
        assert marked == [(prompt + i, token) for i, (token, bit) in enumerate(side) if bit and prompt + i]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(lengths, tokens), min_size=1, max_size=4), st.integers(4, 16))
def test_the_collator_of_kto_rotates_masks_with_completions_and_cuts_both(rows: list[Any], longest: int) -> None:
    batch = MaskedUnpairedCollator(pad_token_id=0, max_length=longest)(
        [
            {
                "prompt_ids": [1] * prompt,
                "completion_ids": [token for token, _ in said],
                "completion_mask": [bit for _, bit in said],
                "label": True,
            }
            for prompt, said in rows
        ]
    )
    for row, (prompt, said) in enumerate(rows):
        other = rows[row - 1][1] if len(rows) > 1 else []
        for prefix, completion in (("", said), ("KL_", other)):
            ids, mask = batch[f"{prefix}input_ids"][row], batch[f"{prefix}completion_mask"][row]
            marked = [(at, int(ids[at])) for at in mask.nonzero()[:, 0].tolist()]
            expected = [(prompt + i, token) for i, (token, bit) in enumerate(completion) if bit and prompt + i]
            assert marked == [(at, token) for at, token in expected if at < longest]
