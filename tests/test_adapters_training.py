"""Adapters in training: saved beside the name of their base, opened as versions, trained further, merged."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from threadmill.errors import BadAdapter, BadConfig
from threadmill.nodes.models.loaded import open_version
from threadmill.nodes.models.local import LocalChatModel
from threadmill.training.recipes import dpo, kto
from threadmill.training.recipes.adapters import lora_config, open_base, save_weights
from threadmill.training.recipes.settings import Lora, Run

PAIR = {
    "prompt_ids": [300, 301, 302],
    #              sampled     | tool    | sampled
    "chosen_ids": [310, 311, 312, 320, 321, 330],
    "chosen_mask": [1, 1, 1, 0, 0, 1],
    "rejected_ids": [340, 341, 350, 351],
    "rejected_mask": [1, 1, 0, 0],
}
GOOD = {"prompt_ids": [300], "completion_ids": [310, 311], "completion_mask": [1, 1], "label": True}
BAD = {"prompt_ids": [301], "completion_ids": [340, 350], "completion_mask": [1, 0], "label": False}
IDS = torch.tensor([[300, 301, 302, 310, 311, 312]])


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model.eval()(input_ids=IDS).logits


@pytest.fixture
def pairs(tiny_folder: Path, tmp_path: Path, write_folder: Any) -> dpo.DpoConfig:
    """Three steps on four pairs; the learning rate of the first is 0, because it is warmed up."""
    return dpo.DpoConfig(
        write_folder("pairs", [PAIR] * 4),
        str(tiny_folder),
        tmp_path / "out",
        learning_rate=0.05,
        max_steps=3,
        batch_size=2,
        run=Run(save_every=0),
    )


def trained(config: dpo.DpoConfig, out: Path, *, merge: bool = False) -> Any:
    """The trainer after its steps, its model saved in ``out``."""
    trainer, tokenizer, _ = dpo.make_trainer(config)
    trainer.train()
    expected = logits(trainer.model)
    save_weights(trainer.model, out, merge=merge)
    tokenizer.save_pretrained(out)
    return trainer, expected


@pytest.mark.parametrize("dora", [False, True], ids=["LoRA", "DoRA"])
def test_an_adapter_goes_round(tmp_path: Path, tiny_folder: Path, pairs: dpo.DpoConfig, dora: bool) -> None:
    # trained and saved, it opens as the model that was trained
    first = tmp_path / "first"
    trainer, expected = trained(replace(pairs, lora=Lora(rank=4, dora=dora)), first)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert sorted(path.name for path in first.glob("*adapter*")) == ["adapter_config.json", "adapter_model.safetensors"]
    assert json.loads((first / "adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny_folder)
    chat = LocalChatModel.from_folder(str(first), version="t@0001")
    torch.testing.assert_close(logits(chat.voice.loaded.model), expected, atol=1e-5, rtol=0)
    chat.close()
    base = open_version("t@0000", str(tiny_folder))
    assert (logits(base.model) - expected).abs().max() > 0.001

    # trained further, its reference is what it was at the start of this run, not the bare base
    second = tmp_path / "second"
    trainer, further = trained(replace(pairs, base=str(first)), second)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert trainer.state.log_history[2]["loss"] < 0.69
    assert not [name for name, weight in trainer.model.named_parameters() if weight.requires_grad and ".ref." in name]
    with trainer.model.disable_adapter():
        torch.testing.assert_close(logits(trainer.model), logits(base.model), atol=1e-5, rtol=0)
    assert sorted(path.name for path in second.iterdir() if path.is_dir()) == []
    assert json.loads((second / "adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny_folder)
    torch.testing.assert_close(logits(open_version("t@0002", str(second)).model), further, atol=1e-5, rtol=0)
    assert (further - expected).abs().max() > 0.001

    # merged, it says the same without its base
    save_weights(trainer.model, tmp_path / "merged", merge=True)
    trainer.processing_class.save_pretrained(tmp_path / "merged")
    merged = open_version("t@0003", str(tmp_path / "merged"))
    assert not merged.adapter
    torch.testing.assert_close(logits(merged.model), further, atol=1e-5, rtol=0)


def test_kto_goes_on_from_an_adapter_with_half_a_loss(tmp_path: Path, first_adapter: Path, write_folder: Any) -> None:
    data = write_folder("kto", [GOOD, BAD])
    config = kto.KtoConfig(data, str(first_adapter), tmp_path / "kto", batch_size=2, max_steps=1)
    trainer, _, _ = kto.make_trainer(replace(config, run=Run(save_every=0)))
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(0.5, abs=1e-6)
    assert trainer.state.log_history[0]["kl"] == 0
    with trainer.model.disable_adapter():
        base = logits(trainer.model)
    assert (logits(trainer.model) - base).abs().max() > 0.001


def test_a_frozen_copy_is_the_reference_of_full_weights(pairs: dpo.DpoConfig) -> None:
    trainer, _, _ = dpo.make_trainer(pairs)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert trainer.state.log_history[2]["loss"] < 0.69
    before = open_version("t@0000", pairs.base).model
    assert torch.equal(logits(trainer.ref_model), logits(before))
    assert (logits(trainer.model) - logits(before)).abs().max() > 0.001


def test_a_reference_that_is_computed_before_training_gives_the_same_losses(pairs: dpo.DpoConfig) -> None:
    losses = []
    for precompute in (False, True):
        trainer, _, _ = dpo.make_trainer(replace(pairs, precompute_reference=precompute))
        assert precompute is False or trainer.ref_model is None
        trainer.train()
        losses.append([line["loss"] for line in trainer.state.log_history if "loss" in line])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert losses[1][0] == pytest.approx(math.log(2), abs=1e-6)


def test_settings_reach_peft() -> None:
    assert lora_config(Lora()) is None
    default = lora_config(Lora(rank=8))
    assert (default.r, default.lora_alpha, default.target_modules, default.use_dora) == (8, 16, "all-linear", False)
    own = lora_config(Lora(rank=8, alpha=4, targets="q_proj, v_proj", dropout=0.1, dora=True))
    assert (own.lora_alpha, own.target_modules, own.lora_dropout, own.use_dora) == (4, {"q_proj", "v_proj"}, 0.1, True)


def test_an_adapter_lies_where_its_targets_are_and_finds_its_base_from_anywhere(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import get_peft_model

    monkeypatch.chdir(tiny_folder.parent)
    policy = open_base(tiny_folder.name, Lora(rank=2, targets="v_proj"))  # a relative path
    save_weights(get_peft_model(policy.model, policy.peft_config), tmp_path / "out", merge=False)
    tensors = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in tensors} == {"v_proj"}
    monkeypatch.chdir(tmp_path)
    assert open_version("t@0001", "out").adapter


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (Lora(rank=8), r"lora.rank = 8, but the base '.*first' is an adapter with rank 4, .* leave lora.rank out"),
        (Lora(alpha=3), r"lora.alpha = 3, but the base .* with alpha 8"),
        (Lora(dora=True), r"lora.dora = True, but the base .* with dora False"),
    ],
)
def test_settings_that_contradict_the_adapter_are_refused(first_adapter: Path, lora: Lora, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        open_base(str(first_adapter), lora)


@pytest.fixture
def first_adapter(tmp_path: Path, tiny_folder: Path) -> Path:
    """An adapter of rank 4 on the tiny model that changes what it says."""
    folder = write_adapter(tmp_path / "first", tiny_folder, Lora(rank=4))
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: tensor + 0.1 for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")
    return folder


def write_adapter(folder: Path, base: Path, lora: Lora) -> Path:
    from peft import get_peft_model

    policy = open_base(str(base), lora)
    save_weights(get_peft_model(policy.model, policy.peft_config), folder, merge=False)
    return folder


def test_the_same_rank_may_be_said_again(first_adapter: Path) -> None:
    policy = open_base(str(first_adapter), Lora(rank=4, dropout=0.1))
    assert policy.peft_config is None
    trained = {name for name, weight in policy.model.named_parameters() if weight.requires_grad}
    assert trained
    assert all(".lora_A.default." in name or ".lora_B.default." in name for name in trained)


def test_an_adapter_on_an_adapter_is_trained_on_both_below(tmp_path: Path, first_adapter: Path) -> None:
    tensors = load_file(first_adapter / "adapter_model.safetensors")
    on_top = tmp_path / "top"
    on_top.mkdir()
    settings = json.loads((first_adapter / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(first_adapter)
    (on_top / "adapter_config.json").write_text(json.dumps(settings))
    save_file({name: tensor - 0.05 for name, tensor in tensors.items()}, on_top / "adapter_model.safetensors")
    policy = open_base(str(on_top), Lora())
    expected = logits(open_version("t@0001", str(on_top)).model)
    torch.testing.assert_close(logits(policy.model), expected, atol=1e-5, rtol=0)
    save_weights(policy.model, tmp_path / "again", merge=False)
    settings = json.loads((tmp_path / "again" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(first_adapter)


def test_layers_that_cannot_have_an_adapter_are_refused(tiny_folder: Path) -> None:
    with pytest.raises(
        BadConfig, match=r"targets names 'query', but .* are down_proj, gate_proj, k_proj, lm_head, o_pr"
    ):
        open_base(str(tiny_folder), Lora(rank=2, targets="q_proj,query"))
    with pytest.raises(BadConfig, match=r"names 'lm_head', the model's output layer, which TRL reads past"):
        open_base(str(tiny_folder), Lora(rank=2, targets="q_proj,lm_head"))


def test_adapters_that_cannot_be_trained_further_are_refused(tmp_path: Path, tiny_folder: Path) -> None:
    plain = write_adapter(tmp_path / "plain", tiny_folder, Lora(rank=2))
    settings = json.loads((plain / "adapter_config.json").read_text())
    (plain / "adapter_config.json").write_text(json.dumps({**settings, "target_modules": ["q_proj"]}))
    with pytest.raises(BadAdapter, match=r"does not fit its base '.*': \d+ tensors have no counterpart, such as"):
        open_base(str(plain), Lora())
    (plain / "adapter_config.json").write_text(json.dumps({**settings, "r": 3}))
    with pytest.raises(BadAdapter, match=r"'.*plain' do not fit: size mismatch for .*; its config says rank 3"):
        open_base(str(plain), Lora())
    (plain / "adapter_config.json").write_text(json.dumps({**settings, "modules_to_save": ["lm_head"]}))
    with pytest.raises(BadAdapter, match=r"'.*plain' changes the model's output layer 'lm_head', which TRL reads past"):
        open_base(str(plain), Lora())
    kind = {"peft_type": "IA3", "target_modules": ["q_proj"], "base_model_name_or_path": str(tiny_folder)}
    (plain / "adapter_config.json").write_text(json.dumps(kind))
    with pytest.raises(BadAdapter, match=r"is of the kind IA3; only LoRA adapters can be trained further"):
        open_base(str(plain), Lora())
