"""What distinguishes two versions, with figures that can be checked by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from registry_world import SLOT, adapter, weights
from safetensors.torch import save_file
from threadmill.checkpoints import version_diff
from threadmill.checkpoints.clean_up import collect_garbage
from threadmill.checkpoints.evaluations import begin_evaluation, end_evaluation
from threadmill.checkpoints.registry import promote, register_version
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.verdicts import Verdict, record_verdict
from threadmill.checkpoints.version_diff import Setting, TensorChange, diff_versions
from threadmill.errors import BadModelFolder

ONE, OTHER = f"{SLOT}@0001", f"{SLOT}@0002"


@pytest.fixture
def store(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as opened:
        yield opened


def model(folder: Path, config: dict[str, Any], **tensors: list[Any]) -> Path:
    weights(folder)
    save_file({name: torch.tensor(values) for name, values in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def two(store: Store, tmp_path: Path) -> None:
    """Two versions: one tensor equal, one moved, one reshaped, one on each side alone."""
    before = model(
        tmp_path / "one",
        {"layers": 2, "rope": {"theta": 10}, "name": "x"},
        equal=[1.0, 2.0],
        moved=[1.0, 2.0, 3.0, 4.0],
        shape=[1.0],
        old=[0.0],
    )
    after = model(
        tmp_path / "two",
        {"layers": 2, "rope": {"theta": 99}},
        equal=[1.0, 2.0],
        moved=[1.0, 2.0, 6.0, 0.0],
        shape=[1.0, 2.0],
        new=[0.0],
    )
    (after / "chat_template.jinja").write_text("{{ messages }}")
    register_version(store, SLOT, before, lineage={})
    run = {"recipe": "sft", "steps": 30, "seed": 7, "data": {"digest": "d1"}}
    register_version(store, SLOT, after, lineage={"runs": [run], "libraries": {}}, base=ONE)


def test_settings_runs_and_tensors(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(version_diff, "PART", 3)  # the last part of four numbers is one
    two(store, tmp_path)
    found = diff_versions(store, ONE, OTHER)
    assert (found.before.name, found.after.name, found.unread) == (ONE, OTHER, None)
    assert found.settings == [Setting("config.json", "name", "x", None), Setting("config.json", "rope.theta", 10, 99)]
    assert found.files == ["chat_template.jinja"]
    assert {name: [(run.recipe, run.seed, run.data) for run in runs] for name, runs in found.runs.items()} == {
        ONE: [],
        OTHER: [("sft", 7, "d1")],
    }
    assert found.tensors == [TensorChange("moved", max=4.0, rms=2.5)]  # off by 0, 0, 3, -4: √(25 / 4)
    assert found.same_tensors == 1
    assert found.other_shapes == {"shape": ([1], [2])}
    assert (found.only_before, found.only_after) == (["old"], ["new"])
    assert diff_versions(store, ONE, ONE).same_tensors == 4


def test_the_newest_evaluation_of_each_suite_and_the_verdicts_between_the_two(store: Store, tmp_path: Path):
    two(store, tmp_path)
    for name, version, done in (("e1", ONE, True), ("e2", ONE, True), ("e3", OTHER, True), ("e4", OTHER, False)):
        begin_evaluation(store, name, suite="shop", versions={SLOT: version}, k=3, settings={"name": name})
        if done:
            end_evaluation(store, name, {"pass_at_1": 0.5})
    for candidate, live in ((OTHER, ONE), (OTHER, f"{SLOT}@0000")):
        record_verdict(store, Verdict("hold", ("too few tasks",), {}, 1, SLOT, candidate, live, {}))
    found = diff_versions(store, ONE, OTHER)
    assert {suite: {v: one.id for v, one in both.items()} for suite, both in found.evaluations.items()} == {
        "shop": {ONE: "e2", OTHER: "e3"}
    }
    assert [(verdict.candidate, verdict.live) for verdict in found.verdicts] == [(OTHER, ONE)]


def test_of_files_that_are_gone_the_records_are_compared(store: Store, tmp_path: Path):
    two(store, tmp_path)
    promote(store, SLOT, OTHER, because="better")
    collect_garbage(store, dry_run=False, newest=0)
    found = diff_versions(store, ONE, OTHER)
    assert str(found.unread).startswith(f"the files of {ONE} were removed at ")
    assert (found.tensors, found.settings) == ([], [])
    assert [run.recipe for run in found.runs[OTHER]] == ["sft"]


def test_adapters_are_compared_by_their_own_tensors(store: Store, tmp_path: Path):
    base = weights(tmp_path / "base")
    for name, value in (("a", 1.0), ("b", 3.0)):
        save_file({"lora_A": torch.tensor([value])}, adapter(tmp_path / name, base) / "adapter_model.safetensors")
        register_version(store, SLOT, tmp_path / name, lineage={})
    found = diff_versions(store, ONE, OTHER)
    assert found.tensors == [TensorChange("lora_A", max=2.0, rms=2.0)]


def test_weights_that_cannot_be_read_are_named(store: Store, tmp_path: Path):
    for name in ("one", "two"):
        register_version(store, SLOT, weights(tmp_path / name), lineage={})
    with pytest.raises(BadModelFolder, match=r"one/model\.safetensors' cannot be read"):
        diff_versions(store, ONE, OTHER)
