"""Which kinds of adapters are merged, each to what PEFT computes unmerged, and which are refused and why."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from threadmill.errors import BadAdapter, BadModelFolder
from threadmill.nodes.models.adapters import base_name
from threadmill.nodes.models.loaded import open_version

IDS = torch.tensor([[5, 6, 7, 8, 9]])
WEIGHTS = "adapter_model.safetensors"

WriteAdapter = Callable[..., Path]


@pytest.fixture
def write_adapter(tmp_path: Path) -> WriteAdapter:
    """A function that writes an adapter of the model in ``base`` as if it had been trained a little."""

    def write(base: Path, config: Any, tokens: int | None = None) -> Path:
        from peft import get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(1)
        model: Any = AutoModelForCausalLM.from_pretrained(base)
        if tokens is not None:
            model.resize_token_embeddings(tokens, mean_resizing=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's, about tied and resized embeddings
            adapted = get_peft_model(model, config)
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter.data += 0.1 * torch.randn_like(parameter)
            adapted.save_pretrained(str(tmp_path / "adapter"))
        return tmp_path / "adapter"

    return write


def lora(**settings: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(**{"r": 2, "target_modules": ["q_proj", "down_proj"], **settings})


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=IDS).logits


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled by the root of the rank": {"use_rslora": True},
    "ranks and scales by layer": {"rank_pattern": {"q_proj": 5}, "alpha_pattern": {"layers.1.mlp.down_proj": 9}},
    "DoRA": {"use_dora": True},
    "PiSSA, which takes from the base first": {"init_lora_weights": "pissa"},
    "OLoRA, which takes from the base in place": {"init_lora_weights": "olora"},
    "whole modules": {"modules_to_save": ["lm_head", "layers.0.mlp"], "target_modules": ["q_proj"]},
    "the output of tied embeddings": {"target_modules": ["q_proj", "lm_head"]},
    "the input of tied embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "both, tied": {"target_modules": ["lm_head", "embed_tokens"], "ensure_weight_tying": True},
    "single tokens": {"trainable_token_indices": [5, 7]},
    "one parameter": {"target_modules": [], "target_parameters": ["q_proj.weight"]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_adapter_says_what_an_unmerged_one_says_and_the_base_is_untouched(
    kind: str, tiny_folder: Path, write_adapter: WriteAdapter
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = write_adapter(tiny_folder, lora(**KINDS[kind]))
    base = open_version("t@0001", str(tiny_folder))
    before = {name: tensor.clone() for name, tensor in base.model.named_parameters()}
    version = open_version("t@0002", str(adapter), beside=base)
    plain: Any = AutoModelForCausalLM.from_pretrained(tiny_folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unmerged = logits(PeftModel.from_pretrained(plain, str(adapter)).eval())
    torch.testing.assert_close(logits(version.model), unmerged, atol=1e-5, rtol=0)
    assert (unmerged - logits(base.model)).abs().max() > 0.001
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.model.named_parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_plain_adapter_is_added_up_without_peft_to_the_very_numbers_of_peft(
    dtype: str, tiny_folder: Path, write_adapter: WriteAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = write_adapter(tiny_folder, lora(use_rslora=True, lora_alpha=3))
    plain: Any = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=getattr(torch, dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted: Any = PeftModel.from_pretrained(plain, str(adapter))
    expected = adapted.merge_and_unload(safe_merge=True).state_dict()
    monkeypatch.setitem(sys.modules, "peft", None)  # to import it is now an error
    version = open_version("t@0001", str(adapter), dtype=dtype)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in version.model.state_dict().items())


def test_biases_that_an_adapter_brings_whole_do_not_reach_the_base(
    tmp_path: Path, tiny_tokenizer: Any, write_adapter: WriteAdapter
) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "base")
    tiny_tokenizer.save_pretrained(str(tmp_path / "base"))
    adapter = write_adapter(tmp_path / "base", lora(bias="all"))
    base = open_version("t@0001", str(tmp_path / "base"))
    version = open_version("t@0002", str(adapter), beside=base)
    brought = load_file(adapter / WEIGHTS)["base_model.model.model.layers.0.self_attn.k_proj.bias"]
    assert torch.equal(version.model.model.layers[0].self_attn.k_proj.bias, brought)
    assert base.model.model.layers[0].self_attn.k_proj.bias.abs().max() == 0


def test_an_adapter_with_new_tokens_makes_the_embeddings_grow(
    tiny_folder: Path, tiny_tokenizer: Any, write_adapter: WriteAdapter
) -> None:
    adapter = write_adapter(tiny_folder, lora(), tokens=len(tiny_tokenizer) + 3)
    base = open_version("t@0001", str(tiny_folder))
    version = open_version("t@0002", str(adapter), beside=base)
    assert version.model.get_input_embeddings().num_embeddings == len(tiny_tokenizer) + 3
    assert base.model.get_input_embeddings().num_embeddings == len(tiny_tokenizer)


def test_an_adapter_finds_a_base_that_is_named_from_its_own_folder(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "runs" / "base").mkdir(parents=True)
    (tmp_path / "runs" / "adapter").mkdir()
    config = tmp_path / "runs" / "adapter" / "adapter_config.json"
    config.write_text('{"base_model_name_or_path": "../base"}')
    assert Path(base_name(config.parent)).resolve() == tmp_path / "runs" / "base"
    config.write_text('{"base_model_name_or_path": "Qwen/Qwen3-0.6B"}')
    assert base_name(config.parent) == "Qwen/Qwen3-0.6B"


def test_an_unknown_base_is_named_with_what_to_change(
    tiny_folder: Path, write_adapter: WriteAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    adapter = write_adapter(tiny_folder, lora())
    config = adapter / "adapter_config.json"
    config.write_text(config.read_text().replace(str(tiny_folder), "nobody/nothing"))
    with pytest.raises(BadAdapter) as caught:
        open_version("t@0001", str(adapter))
    assert f"the adapter '{adapter}' is made for the base 'nobody/nothing', which cannot be opened" in str(caught.value)
    assert f"correct base_model_name_or_path in '{config}'" in str(caught.value)
    assert open_version("t@0001", str(adapter), base=str(tiny_folder)).adapter

    config.write_text(config.read_text().replace('"nobody/nothing"', "null"))
    with pytest.raises(BadAdapter, match="does not say what its base is; write"):
        open_version("t@0001", str(adapter))
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": str(adapter)}))
    with pytest.raises(BadAdapter, match="is its own base; correct base_model_name_or_path"):
        open_version("t@0001", str(adapter))
    config.write_text("{")
    with pytest.raises(BadAdapter, match=r"adapter_config.json' cannot be read"):
        open_version("t@0001", str(adapter))


def test_an_adapter_of_another_base_is_refused_with_what_does_not_fit(
    tmp_path: Path, tiny_folder: Path, tiny_tokenizer: Any, write_adapter: WriteAdapter
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(tiny_folder)
    for name, change in {"wide": {"hidden_size": 64}, "deep": {"num_hidden_layers": 3}}.items():
        config.update({**config.to_dict(), **change})
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / name)
        config = AutoConfig.from_pretrained(tiny_folder)

    def open_with(base: Path) -> None:
        adapter = write_adapter(base, lora())
        open_version("t@0001", str(adapter), base=str(tiny_folder))

    with pytest.raises(BadAdapter, match=r"does not fit its base: size mismatch for .*\[2, 64\].*\[2, 32\]"):
        open_with(tmp_path / "wide")
    with pytest.raises(BadAdapter, match=r"has no place for 4 of its tensors, such as .*layers\.2\..*another base"):
        open_with(tmp_path / "deep")


def test_an_adapter_that_lacks_tensors_or_holds_broken_ones_is_refused(
    tiny_folder: Path, write_adapter: WriteAdapter
) -> None:
    adapter = write_adapter(tiny_folder, lora(modules_to_save=["lm_head"]))
    tensors = load_file(adapter / WEIGHTS)

    def refused(changed: dict[str, torch.Tensor]) -> str:
        save_file({**tensors, **changed}, adapter / WEIGHTS)
        with pytest.raises((BadAdapter, BadModelFolder)) as caught:
            open_version("t@0001", str(adapter))
        return str(caught.value)

    half = next(name for name in tensors if name.endswith("lora_B.weight"))
    whole = next(name for name in tensors if "lm_head" in name)
    endless = tensors[half].clone()
    endless[0, 0] = float("inf")
    assert "gives weights that are not finite (NaN or inf); train it again" in refused({half: endless})
    assert "'lm_head.weight' holds numbers that are not finite" in refused({whole: tensors[whole] * float("nan")})

    save_file({name: tensor for name, tensor in tensors.items() if name != half}, adapter / WEIGHTS)
    with pytest.raises(BadAdapter, match=r"lacks 1 tensors that its adapter_config.json promises, such as"):
        open_version("t@0001", str(adapter))
    (adapter / WEIGHTS).write_bytes(b"cut off")
    with pytest.raises(BadAdapter, match=rf"{WEIGHTS}' cannot be read: .*; save the adapter again"):
        open_version("t@0001", str(adapter))


def test_a_pickled_adapter_is_refused(tiny_folder: Path, write_adapter: WriteAdapter) -> None:
    adapter = write_adapter(tiny_folder, lora())
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    with pytest.raises(BadAdapter, match=r"adapter_model.bin is a pickle, which can run code .* save it with safete"):
        open_version("t@0001", str(adapter))
    (adapter / "adapter_model.bin").unlink()
    with pytest.raises(BadAdapter, match=r"lacks adapter_model.safetensors; save it with save_pretrained"):
        open_version("t@0001", str(adapter))


def test_what_cannot_be_merged_is_refused_with_its_kind(tiny_folder: Path, write_adapter: WriteAdapter) -> None:
    from peft import PromptTuningConfig

    adapter = write_adapter(tiny_folder, PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"))
    with pytest.raises(BadAdapter, match="is of the kind PROMPT_TUNING, which adds no weights"):
        open_version("t@0001", str(adapter))
    adapter = write_adapter(tiny_folder, lora(layer_replication=[(0, 2), (1, 2)]))
    with pytest.raises(BadAdapter, match=r"repeats layers of its base \(layer_replication\)"):
        open_version("t@0001", str(adapter))
    adapter = write_adapter(tiny_folder, lora(lora_bias=True))
    with pytest.raises(BadAdapter, match=r"cannot be merged into its base: .*no bias"):
        open_version("t@0001", str(adapter))


def test_an_adapter_of_a_quantised_base_is_refused(
    tmp_path: Path, tiny_model: Any, tiny_folder: Path, write_adapter: WriteAdapter
) -> None:
    from threadmill.nodes.models.adapters import merge_adapter

    tiny_model.config.quantization_config = {"quant_method": "fp8"}
    with pytest.raises(BadAdapter, match="is quantised, and merging would round its weights anew; name the unquant"):
        merge_adapter(tiny_model, write_adapter(tiny_folder, lora()))
