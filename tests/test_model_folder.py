"""Model folders that lack something or are damaged, and names that lead nowhere: what the error says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from threadmill.errors import BadModelFolder
from threadmill.nodes.models.folder import load_model
from threadmill.nodes.models.loaded import open_version

Spoil = Callable[[Path], object]


@pytest.fixture
def refused(tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any) -> Callable[[Spoil], str]:
    """A function that spoils a good model folder and gives what is said about it."""

    def refuse(spoil: Spoil) -> str:
        folder = tmp_path / "model"
        tiny_model.save_pretrained(folder)
        tiny_tokenizer.save_pretrained(str(folder))
        spoil(folder)
        with pytest.raises(BadModelFolder) as caught:
            open_version("t@0001", str(folder))
        return str(caught.value)

    return refuse


def test_what_a_folder_lacks_is_named(refused: Callable[[Spoil], str]) -> None:
    assert "lacks weights (*.safetensors); save model and tokenizer" in refused(
        lambda folder: (folder / "model.safetensors").unlink()
    )
    assert "lacks a config (config.json or" in refused(lambda folder: (folder / "config.json").unlink())

    def without_tokenizer(folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()

    assert "lacks a tokenizer (tokenizer.json or tokenizer_config.json)" in refused(without_tokenizer)


def test_pickled_weights_are_refused(refused: Callable[[Spoil], str]) -> None:
    said = refused(lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"))
    assert "lacks weights (*.safetensors); pytorch_model.bin is a pickle, which can run code when it is opened" in said


def test_damaged_files_are_named(refused: Callable[[Spoil], str]) -> None:
    assert "cannot open the model" in refused(lambda folder: (folder / "model.safetensors").write_bytes(b"x"))
    assert "config.json' is not a valid JSON file" in refused(lambda folder: (folder / "config.json").write_text("{"))
    assert "the tokenizer in" in refused(lambda folder: (folder / "tokenizer.json").write_text("{"))


def test_weights_that_do_not_fit_their_config_are_refused(refused: Callable[[Spoil], str]) -> None:
    def change(**settings: Any) -> Spoil:
        def spoil(folder: Path) -> None:
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**config, **settings}))

        return spoil

    assert "lack 9 tensors that its config.json promises, such as 'model.layers.2." in refused(
        change(num_hidden_layers=3, layer_types=None)
    )
    assert "cannot open the model" in refused(change(intermediate_size=65))


def test_numbers_that_are_not_finite_are_refused(refused: Callable[[Spoil], str]) -> None:
    def break_one(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["model.norm.weight"][3] = torch.nan
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    assert "'model.norm.weight' holds numbers that are not finite (NaN or inf); train" in refused(break_one)


def test_other_kinds_of_models_are_refused(tmp_path: Path, tiny_tokenizer: Any) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification, T5Config, T5ForConditionalGeneration

    small: dict[str, Any] = {"vocab_size": len(tiny_tokenizer), "hidden_size": 16, "num_hidden_layers": 1}
    judge = LlamaForSequenceClassification(LlamaConfig(**small, intermediate_size=16, num_attention_heads=2))
    pair = T5ForConditionalGeneration(T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=500))
    for model, name in ((judge, "LlamaForSequenceClassification"), (pair, "T5ForConditionalGeneration")):
        model.save_pretrained(tmp_path / name)
        tiny_tokenizer.save_pretrained(str(tmp_path / name))
        with pytest.raises(BadModelFolder, match=f"is no causal language model: its config.json names {name}"):
            open_version("t@0001", str(tmp_path / name))


@pytest.mark.parametrize("name", ["nobody/nothing", "no/such/folder", "not a name"])
def test_a_name_that_leads_nowhere_is_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadModelFolder, match=rf"cannot open the model '{name}': no folder here .* check the name"):
        open_version("t@0001", name)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_a_model_to_train_has_gradients_and_names_what_it_was_opened_from(
    tmp_path: Path, tiny_folder: Path, tiny_tokenizer: Any
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    plain: Any = AutoModelForCausalLM.from_pretrained(tiny_folder)
    get_peft_model(plain, LoraConfig(target_modules=["q_proj"])).save_pretrained(str(tmp_path))
    for folder in (tiny_folder, tmp_path):
        model, tokenizer = load_model(str(folder))
        assert all(tensor.requires_grad for tensor in model.parameters())
        assert (model.name_or_path, model.training) == (str(folder), False)
        assert tokenizer.get_vocab() == tiny_tokenizer.get_vocab()
