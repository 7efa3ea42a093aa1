"""A tiny model folder, built once: the seed policy's tokenizer and template, random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """Byte-level BPE with the seed policy's chat template."""
    from threadmill.training.seed_policy.tokenizer import build_tokenizer

    return build_tokenizer(["What is the status of order O123? Order O123 is shipped."] * 20)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Path:
    """A complete model folder: two layers of width 32."""
    folder = tmp_path_factory.mktemp("tiny")
    build_tiny(tiny_tokenizer).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_model(tiny_tokenizer: Any) -> Any:
    """The same model in memory, fresh for each test."""
    return build_tiny(tiny_tokenizer)


def build_tiny(tokenizer: Any, context: int = 256) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[[str, list[dict[str, Any]]], Path]:
    """A function that writes rows of a kind as a data set folder."""

    def write(kind: str, rows: list[dict[str, Any]]) -> Path:
        from threadmill.training.dataset import write_dataset

        write_dataset(tmp_path / kind, rows, {"kind": kind, "rows": len(rows)})
        return tmp_path / kind

    return write
