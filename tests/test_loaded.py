"""Versions that are open beside each other: what they share, what they keep apart, and what they cost."""

import copy
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from threadmill.errors import BadModelFolder, BadModelSpec
from threadmill.nodes.models.loaded import Loaded, context_of, hold, open_version

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

IDS = torch.tensor([[5, 6, 7, 8, 9]])

MakeAdapter = Callable[..., Path]


@pytest.fixture
def make_adapter(tmp_path: Path, tiny_folder: Path) -> MakeAdapter:
    """A function that writes a LoRA adapter of ``tiny_folder``, with random numbers in both halves."""

    def make(name: str = "adapter", base: Path = tiny_folder, **settings: Any) -> Path:
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        config: Any = LoraConfig(
            **{"r": 2, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False, **settings}
        )
        torch.manual_seed(int.from_bytes(name.encode(), "big") % 2**31)
        model: Any = AutoModelForCausalLM.from_pretrained(base)
        get_peft_model(model, config).save_pretrained(str(tmp_path / name))
        return tmp_path / name

    return make


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=IDS).logits


def unmerged(base: Path, adapter: Path) -> torch.Tensor:
    """The logits of PEFT's own way: adapter beside base, added up in each step."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base)
    return logits(PeftModel.from_pretrained(model, str(adapter)).eval())


def own_tensors(version: Loaded, other: Loaded) -> list[str]:
    """The names of the tensors that ``version`` does not share with ``other``."""
    shared = {tensor.data_ptr() for tensor in other.model.parameters()}
    return [name for name, tensor in version.model.named_parameters() if tensor.data_ptr() not in shared]


def test_a_folder_of_full_weights_is_ready_to_answer(tiny_folder: Path, tiny_tokenizer: Any) -> None:
    opened = open_version("t@0001", str(tiny_folder))
    assert (opened.version, opened.source, opened.adapter) == ("t@0001", str(tiny_folder), False)
    assert opened.context == 256
    assert opened.end_ids == {tiny_tokenizer.eos_token_id}
    assert opened.tokenizer.get_vocab() == tiny_tokenizer.get_vocab()
    assert opened.model.dtype == torch.float32
    assert not opened.model.training
    assert not any(tensor.requires_grad for tensor in opened.model.parameters())


def test_an_adapter_has_tensors_of_its_own_for_what_it_touches_and_shares_the_rest(
    tiny_folder: Path, make_adapter: MakeAdapter
) -> None:
    adapter = make_adapter()
    base = open_version("t@0001", str(tiny_folder))
    before = logits(base.model)
    version = open_version("t@0002", str(adapter), beside=base)
    assert version.adapter
    assert own_tensors(version, base) == [
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
    ]
    torch.testing.assert_close(logits(version.model), unmerged(tiny_folder, adapter), atol=1e-5, rtol=0)
    assert torch.equal(logits(base.model), before)
    assert (logits(version.model) - before).abs().max() > 0.01


def test_an_adapter_opens_without_its_base_being_open(tiny_folder: Path, make_adapter: MakeAdapter) -> None:
    adapter = make_adapter()
    version = open_version("t@0001", str(adapter))
    torch.testing.assert_close(logits(version.model), unmerged(tiny_folder, adapter), atol=1e-5, rtol=0)


def test_an_adapter_beside_another_starts_from_their_base(tiny_folder: Path, make_adapter: MakeAdapter) -> None:
    one, two = make_adapter("one", r=4), make_adapter("two", target_modules=["v_proj"])
    first = open_version("t@0001", str(one))
    second = open_version("t@0002", str(two), beside=first)
    assert first.base is second.base
    torch.testing.assert_close(logits(second.model), unmerged(tiny_folder, two), atol=1e-5, rtol=0)
    assert [name for name in own_tensors(second, first) if "v_proj" in name or "q_proj" in name] == [
        "model.layers.0.self_attn.q_proj.weight",  # the first has its own, the second the base's
        "model.layers.0.self_attn.v_proj.weight",
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.self_attn.v_proj.weight",
    ]


def test_an_adapter_on_an_adapter_is_added_to_both(tiny_folder: Path, make_adapter: MakeAdapter) -> None:
    first = make_adapter("first")
    whole = first.parent / "whole"
    open_version("t", str(first)).model.save_pretrained(whole)
    second = make_adapter("second", base=whole, target_modules=["q_proj"])
    config = second / "adapter_config.json"
    config.write_text(config.read_text().replace(str(whole), str(first)))
    base = open_version("t@0001", str(tiny_folder))
    version = open_version("t@0002", str(second), beside=base)
    torch.testing.assert_close(logits(version.model), unmerged(whole, second), atol=1e-5, rtol=0)
    assert "model.embed_tokens.weight" not in own_tensors(version, base)


def test_twenty_adapters_leave_the_base_as_it_was_and_are_gone_when_dropped(
    tiny_folder: Path, make_adapter: MakeAdapter
) -> None:
    adapter = make_adapter(target_modules="all-linear")
    base = open_version("t@0000", str(tiny_folder))
    before = {name: tensor.clone() for name, tensor in base.model.named_parameters()}
    said = logits(base.model)
    gone: list[weakref.ref[Any]] = []
    gc.disable()  # nothing must be left to it: a version's memory comes back at once
    try:
        current = base
        for i in range(20):
            current = open_version(f"t@{i + 1:04}", str(adapter), beside=current)
            gone += [weakref.ref(current.model), weakref.ref(current.model.model.layers[0].mlp.up_proj.weight)]
        del current
        assert [ref() for ref in gone] == [None] * 40
    finally:
        gc.enable()
    assert torch.equal(logits(base.model), said)
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.model.named_parameters())


def test_a_model_that_decodes_is_not_disturbed_by_versions_that_load(
    tiny_folder: Path, make_adapter: MakeAdapter
) -> None:
    adapter = make_adapter(target_modules="all-linear")
    base = open_version("t@0000", str(tiny_folder))
    expected, wrong, steps, done = logits(base.model), [], [0], threading.Event()

    def decode() -> None:
        while not done.is_set():
            steps[0] += 1
            if not torch.equal(logits(base.model), expected):
                wrong.append(steps[0])

    thread = threading.Thread(target=decode)
    thread.start()
    try:
        for dtype in (None, None, "bfloat16"):  # to load in bfloat16, transformers changes torch's default type
            open_version("t@0001", str(adapter), beside=base, dtype=dtype)
            open_version("t@0002", str(tiny_folder), beside=base, dtype=dtype)
    finally:
        done.set()
        thread.join()
    assert wrong == []
    assert steps[0] > 10
    assert sys.getswitchinterval() == pytest.approx(0.005)
    assert torch.get_default_dtype() == torch.float32


def test_tensors_are_not_shared_with_a_base_of_another_type_or_whose_files_changed(
    tmp_path: Path, tiny_folder: Path, make_adapter: MakeAdapter, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    base = open_version("t@0001", str(tiny_folder))
    half = open_version("t@0002", str(make_adapter()), beside=base, dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    assert "model.embed_tokens.weight" in own_tensors(half, base)
    assert open_version("t@0003", str(tiny_folder), beside=half).model.dtype == torch.bfloat16

    moved = tmp_path / "moved"
    tiny_model.save_pretrained(moved)
    tiny_tokenizer.save_pretrained(moved)
    adapter = make_adapter("late", base=moved)
    old = open_version("t@0004", str(moved))
    torch.nn.init.ones_(tiny_model.model.embed_tokens.weight)
    tiny_model.save_pretrained(moved)
    new = open_version("t@0005", str(adapter), beside=old)
    assert new.model.model.embed_tokens.weight.unique().tolist() == [1.0]


def test_tokenizer_and_template_are_the_adapters_where_it_has_them_and_else_the_bases(
    tiny_folder: Path, tiny_tokenizer: Any, make_adapter: MakeAdapter
) -> None:
    adapter = make_adapter()
    base = open_version("t@0001", str(tiny_folder))
    assert open_version("t@0002", str(adapter), beside=base).tokenizer is base.tokenizer  # nothing to read again

    (adapter / "chat_template.jinja").write_text("of the adapter")
    version = open_version("t@0003", str(adapter), beside=base)
    assert version.tokenizer.chat_template == "of the adapter"
    assert base.tokenizer.chat_template == tiny_tokenizer.chat_template

    tiny_tokenizer.save_pretrained(adapter)
    assert open_version("t@0004", str(adapter), beside=base).tokenizer is base.tokenizer  # the files are the same

    grown = copy.deepcopy(tiny_tokenizer)
    grown.add_tokens(["a token of its own"])
    grown.save_pretrained(adapter)
    (adapter / "chat_template.jinja").unlink()
    version = open_version("t@0005", str(adapter), beside=base)
    assert "a token of its own" in version.tokenizer.get_vocab()
    assert version.tokenizer.chat_template == tiny_tokenizer.chat_template


def test_the_context_is_where_a_config_keeps_it_or_else_the_tokenizer(tiny_model: Any, tiny_tokenizer: Any) -> None:
    from transformers import Gemma3Config, GPT2Config, MambaConfig

    def context(config: Any, tokenizer_says: int) -> int:
        model: Any = torch.nn.Module()
        tokenizer = type(tiny_tokenizer)(tokenizer_object=tiny_tokenizer.backend_tokenizer)
        model.config, model.name_or_path, tokenizer.model_max_length = config, "some/model", tokenizer_says
        return context_of(model, tokenizer)

    assert context(tiny_model.config, 10**30) == 256
    assert context(GPT2Config(n_positions=512), 10**30) == 512
    assert context(Gemma3Config(text_config={"max_position_embeddings": 1024}), 10**30) == 1024
    assert context(MambaConfig(), 2048) == 2048
    with pytest.raises(BadModelFolder, match=r"how many tokens the model 'some/model' can read; write max_position"):
        context(MambaConfig(), 10**30)


def test_a_model_in_memory_is_held_as_it_is(tiny_model: Any, tiny_tokenizer: Any, make_adapter: MakeAdapter) -> None:
    held = hold("t@0001", tiny_model, tiny_tokenizer)
    assert held.model is tiny_model
    assert (held.context, held.end_ids) == (256, {tiny_tokenizer.eos_token_id})
    assert all(tensor.requires_grad for tensor in tiny_model.parameters())
    beside = open_version("t@0002", str(make_adapter()), beside=held)
    assert "model.embed_tokens.weight" in own_tensors(beside, held)


def test_a_type_or_device_that_is_none_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(BadModelSpec, match=r"cannot be loaded as 'int7'; give one of float32, bfloat16, float16"):
        open_version("t@0001", str(tiny_folder), dtype="int7")
    with pytest.raises(BadModelSpec, match=r"cannot be loaded as 'torch.int64'"):
        open_version("t@0001", str(tiny_folder), dtype=torch.int64)
    with pytest.raises(BadModelSpec, match=r"'gpu' is no device; this torch sees cpu"):
        open_version("t@0001", str(tiny_folder), device="gpu")
    with pytest.raises(BadModelSpec, match=r"the device 'cuda:9' is not here; this torch sees cpu"):
        open_version("t@0001", str(tiny_folder), device="cuda:9")
    assert open_version("t@0001", str(tiny_folder), dtype=torch.float16).model.dtype == torch.float16
