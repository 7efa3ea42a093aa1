"""A base model without a chat template serves an agent, and its threads become rows."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from family_tokenizers import small_tokenizer
from langchain_core.tools import tool
from threadmill.checkpoints import open_store
from threadmill.cli.main import app
from threadmill.errors import BadModelFolder, BadModelSpec
from threadmill.graphs import build_react, run_thread
from threadmill.nodes.models.families.choose import family_named, family_of
from threadmill.training.export import export_sft
from threadmill.training.selection.settings import Selection
from threadmill.training.slots import open_slot
from typer.testing import CliRunner

EOS = "<|endoftext|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers that knows nothing, without a template."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = small_tokenizer(None, (EOS,), eos=EOS)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@tool
def opening_hours(day: str) -> str:
    """When the shop is open."""
    return "9 to 18"


def talk(store: Any, model: Path, **local: Any) -> None:
    slot = open_slot(store, "shop.think", str(model), max_new_tokens=16, **local)
    agent = build_react(slot, [opening_hours], name="shop", max_calls=1).compile(checkpointer=store.saver)
    for text in ("When are you open?", "And on Sunday?"):
        run_thread(agent, "t", text, configurable={"seed": 1})


def test_a_base_model_opens_by_its_folder_if_the_family_is_given(folder: Path, tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        talk(store, folder, family="react-text", constrained=True)
        manifest = export_sft(store, tmp_path / "sft", tokenizer=folder, family="react-text", selection=Selection())
    assert (manifest["rows"], manifest["left_out"]) == (1, {})


def test_threads_of_a_base_model_are_exported_by_the_command(folder: Path, tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/runs.db"
    with open_store(db) as store:
        talk(store, folder, family="react-text")
    command = ["export", "sft", "--all", "--db", db, "--json", "--tokenizer", str(folder), "--out", f"{tmp_path}/sft"]
    assert CliRunner().invoke(app, command).exit_code != 0
    done = CliRunner().invoke(app, [*command, "--family", "react-text"])
    assert json.loads(done.stdout)["rows"] == 1


def test_a_folder_that_holds_the_template_of_react_text_needs_no_family(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = family_named("react-text").template
    assert family_of(tokenizer).name == "react-text"
    tokenizer.save_pretrained(tmp_path / "model")
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path / "model")
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        talk(store, tmp_path / "model")
        manifest = export_sft(store, tmp_path / "sft", tokenizer=tmp_path / "model", selection=Selection())
    assert manifest["rows"] == 1


def test_without_a_template_the_error_says_both_ways_out(folder: Path, tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        with pytest.raises(BadModelFolder, match=r'family="react-text".*as chat_template\.jinja'):
            talk(store, folder)
        with pytest.raises(BadModelSpec, match="constrained can be set for a model in this process only"):
            open_slot(store, "shop.think", "http://gpu:8000/v1#m", constrained=True)
