"""Versions of a local model in one process: idle ones free their weights, closed ones are opened anew."""

import gc
import weakref
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from threadmill.checkpoints import open_store
from threadmill.checkpoints.registry import promote, register_version
from threadmill.nodes.models.slot import Slot
from threadmill.training.local_versions import LocalVersions
from threadmill.training.slots import open_slot


def test_a_version_that_is_let_go_frees_its_weights_and_is_opened_again(tmp_path: Path, tiny_folder: Path) -> None:
    live = ["v1"]
    folders = {name: str(copytree(tiny_folder, tmp_path / name)) for name in ("v1", "v2", "v3")}
    versions = LocalVersions(folders.__getitem__, lambda: live[0], {"max_new_tokens": 3})
    slot = Slot("chat.think", lambda: live[0], versions.load, release=versions.release)
    old: Any = slot.model(slot.version_now())
    said = old.invoke("Hello", seed=1).text
    weights = weakref.ref(old.voice.loaded.model)
    live[0] = "v2"
    slot.catch_up()
    slot.model("v3")  # a pinned thread's: it must not push out the live one
    assert (old._host.current, slot.let_go(["v3"], 0)) == ("v2", ["v1"])
    gc.collect()
    assert (weights(), slot.loaded) == (None, ("v2", "v3"))
    assert old.invoke("Hello", seed=1).text == said  # a run that began before
    live[0] = "v3"
    slot.catch_up()
    assert slot.let_go([], 0) == ["v2"]  # although it was the last that was taken
    assert "v2" not in old.versions
    slot.close()


def test_a_closed_slot_frees_everything_and_opens_its_model_anew(tmp_path: Path, tiny_folder: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        slot = open_slot(store, "chat.think", str(tiny_folder), max_new_tokens=3)
        before: Any = slot.model(slot.version_now())
        said = before.invoke("Hello", seed=1).text
        weights = weakref.ref(before.voice.loaded.model)
        slot.close()
        gc.collect()
        assert (weights(), slot.loaded) == (None, ())
        with pytest.raises(RuntimeError, match="this model is closed; open it again to use it"):
            before.invoke("Hello")
        assert slot.model(slot.version_now()).invoke("Hello", seed=1).text == said
        slot.close()


def test_a_slot_that_was_opened_before_anything_was_live_follows_the_first_promotion(
    tmp_path: Path, tiny_folder: Path
) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        slot = open_slot(store, "chat.think")
        assert slot.version_now() == "seed"
        first = register_version(store, "chat.think", tiny_folder, lineage={}).name
        promote(store, "chat.think", first, because="first")
        assert (slot.catch_up(), slot.version_now()) == (first, first)
        slot.close()
