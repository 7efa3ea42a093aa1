"""What a version's files are: digests told file by file, pickles refused, adapters with their bases."""

import json
from pathlib import Path

import pytest
from registry_world import SLOT, adapter, weights
from sqlalchemy import update
from threadmill.checkpoints import digest
from threadmill.checkpoints.registry import register_version, resolve, verified_folder
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.tables import VersionRow
from threadmill.errors import BadAdapter, BadModelFolder, BadName
from threadmill.training.slots import open_slot


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    """One registry for all tests here: each has folders of its own."""
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('registry')}/runs.db") as opened:
        yield opened


def test_a_changed_a_missing_and_an_added_file_are_named(store: Store, tmp_path: Path):
    folder = weights(tmp_path / "m")
    (folder / "merges.txt").write_text("a b")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    name = register_version(store, SLOT, folder, lineage={}).name
    assert verified_folder(store, name) == str(folder)
    (folder / "model.safetensors").write_bytes(b"4321")
    (folder / "merges.txt").unlink()
    (folder / "tokenizer.json").write_text("{}")
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ others }}")
    with pytest.raises(BadModelFolder) as refused:
        verified_folder(store, name)
    assert str(refused.value) == (
        f"the files of {name} in {folder} are not those that were registered: additional_chat_templates/tool_use.jinja "
        "was changed; model.safetensors was changed; merges.txt is missing; tokenizer.json was added; restore them, or "
        "move them to a folder of their own and register that"
    )
    for file in folder.glob("*.*"):
        file.unlink()
    with pytest.raises(BadModelFolder, match=r"config\.json is missing.*model\.safetensors is missing"):
        verified_folder(store, name)
    folder.rename(tmp_path / "away")
    with pytest.raises(BadModelFolder, match=r"not those that were registered: the folder does not exist; restore"):
        verified_folder(store, name)


def test_a_slot_does_not_open_weights_that_were_changed(store: Store, tmp_path: Path):
    name = register_version(store, SLOT, weights(tmp_path / "m"), lineage={}).name
    (tmp_path / "m" / "model.safetensors").write_bytes(b"4321")
    with pytest.raises(BadModelFolder, match=r"model\.safetensors was changed"):
        open_slot(store, SLOT, name).model(name)


def test_a_folder_that_has_not_changed_is_read_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digest, "SETTLED_NS", -1)  # as if the files were older than that
    digest._remembered.cache_clear()
    name = register_version(store, SLOT, weights(tmp_path / "m"), lineage={}).name
    read = digest._remembered.cache_info().misses
    for _ in range(3):
        verified_folder(store, name)
    assert (read, digest._remembered.cache_info().misses) == (1, 1)
    (tmp_path / "m" / "config.json").write_text("{ }")
    with pytest.raises(BadModelFolder, match=r"config\.json was changed"):
        verified_folder(store, name)


def test_a_version_of_before_there_were_digests_of_files_keeps_loading(store: Store, tmp_path: Path):
    name = register_version(store, SLOT, weights(tmp_path / "m"), lineage={}).name
    with store.engine.begin() as connection:
        connection.execute(update(VersionRow).where(VersionRow.folder == str(tmp_path / "m")).values(files=None))
    assert verified_folder(store, name) == str(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("[]")
    with pytest.raises(BadModelFolder, match="some file was changed"):
        verified_folder(store, name)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "model.pt", "w.pth", "w.ckpt", "w.pkl"])
def test_a_pickle_beside_safetensors_is_refused_and_one_that_comes_later_too(store: Store, tmp_path: Path, name: str):
    folder = weights(tmp_path / "m")
    version = register_version(store, SLOT, folder, lineage={}).name
    (folder / name).write_bytes(b"\x80\x04.")
    refused = rf"holds {name}: a pickle.*the safetensors beside it are what is loaded, so remove it"
    with pytest.raises(BadModelFolder, match=refused):
        register_version(store, SLOT, folder, lineage={})
    with pytest.raises(BadModelFolder, match=refused):
        verified_folder(store, version)


def test_pickles_alone_are_refused_with_what_to_do(store: Store, tmp_path: Path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(BadModelFolder, match="open it where you trust it and save it with save_pretrained"):
        register_version(store, SLOT, tmp_path, lineage={})


@pytest.mark.parametrize("content", [b"PK\x03\x04rest of an archive", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00."])
def test_a_pickle_that_is_called_safetensors_is_refused(store: Store, tmp_path: Path, content: bytes):
    with pytest.raises(BadModelFolder, match=r"model\.safetensors' is called safetensors but is a pickle"):
        register_version(store, SLOT, weights(tmp_path / "m", content), lineage={})


def test_what_trainers_leave_beside_the_weights_is_no_part_of_the_version(store: Store, tmp_path: Path):
    folder = weights(tmp_path / "m")
    for leftover in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (folder / leftover).write_bytes(b"\x80\x04.")
    name = register_version(store, SLOT, folder, lineage={}).name
    (folder / "training_args.bin").unlink()
    assert verified_folder(store, name) == str(folder)


def test_links_are_read_through_and_a_broken_one_is_named(store: Store, tmp_path: Path):
    blob = tmp_path / "blob"  # as the hub's cache keeps its files
    blob.write_bytes(b"1234")
    folder = weights(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(blob)
    name = register_version(store, SLOT, folder, lineage={}).name
    blob.write_bytes(b"4321")
    with pytest.raises(BadModelFolder, match=r"model\.safetensors was changed"):
        verified_folder(store, name)
    blob.unlink()
    with pytest.raises(BadModelFolder, match=r"model\.safetensors' is no file, or a link that leads nowhere"):
        verified_folder(store, name)


def test_an_adapter_is_known_with_its_base_and_a_changed_base_is_noticed(store: Store, tmp_path: Path):
    base = weights(tmp_path / "base")
    made = register_version(store, SLOT, adapter(tmp_path / "a", base), lineage={})
    deeper = register_version(store, SLOT, adapter(tmp_path / "b", tmp_path / "a"), lineage={})
    assert (made.kind, made.base_folder, made.size_bytes) == ("adapter", str(base), 2)
    assert (deeper.kind, deeper.base_folder) == ("adapter", str(tmp_path / "a"))
    assert verified_folder(store, deeper.name) == str(tmp_path / "b")
    (base / "model.safetensors").write_bytes(b"4321")
    for version in (made, deeper):
        with pytest.raises(
            BadModelFolder, match=rf"the base of {version.name} in {base} .*model\.safetensors was chang"
        ):
            resolve(store, version.name, verify=True)


def test_a_folder_that_was_written_over_is_registered_neither_again_nor_as_a_base(store: Store, tmp_path: Path):
    folder = weights(tmp_path / "m")
    name = register_version(store, SLOT, folder, lineage={}).name
    (folder / "model.safetensors").write_bytes(b"trained over")
    for place in (folder, adapter(tmp_path / "a", folder)):
        with pytest.raises(BadModelFolder, match=rf"/m' is the folder of {name}, and its files are other ones by now"):
            register_version(store, SLOT, place, lineage={})
    folder.rename(tmp_path / "own")
    assert register_version(store, SLOT, tmp_path / "own", lineage={}).number == int(name[-4:]) + 1


def test_a_base_beside_the_adapter_is_a_folder_and_one_of_the_hub_is_a_name(store: Store, tmp_path: Path):
    weights(tmp_path / "a" / "base")
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "base"}))
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"12")
    beside = register_version(store, SLOT, tmp_path / "a", lineage={})
    hub = register_version(store, SLOT, adapter(tmp_path / "h", "Qwen/Qwen3-0.6B"), lineage={})
    assert (beside.base_folder, hub.base_folder) == (str(tmp_path / "a" / "base"), "Qwen/Qwen3-0.6B")
    assert verified_folder(store, hub.name) == str(tmp_path / "h")  # of its base nothing is known but the name


def test_a_base_that_is_another_folder_from_here_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for place in ("here", "there"):
        weights(tmp_path / place / "base")
    monkeypatch.chdir(tmp_path / "here")
    name = register_version(store, SLOT, adapter(tmp_path / "a", "base"), lineage={}).name
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(BadAdapter, match=r"registered with the base '.*/here/base', which is '.*/there/base' when"):
        verified_folder(store, name)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "names no base"),
        ('{"base_model_name_or_path": "/no/such/base"}', "is '/no/such/base', which does not exist"),
        ('{"base_model_name_or_path": "."}', "is its own base"),
    ],
)
def test_an_adapter_without_a_base_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, said: str
):
    folder = adapter(tmp_path / "a", "x")
    (folder / "adapter_config.json").write_text(config)
    monkeypatch.chdir(folder)
    with pytest.raises(BadAdapter, match=said):
        register_version(store, SLOT, folder, lineage={})
    (folder / "adapter_model.safetensors").rename(folder / "model.safetensors")
    with pytest.raises(BadAdapter, match=r"has adapter_config\.json but no adapter_model\.safetensors"):
        register_version(store, SLOT, folder, lineage={})


@pytest.mark.parametrize("slot", ["", "a@b", "a/b", "a b", "-x"])
def test_a_slot_that_no_spec_could_name_is_refused(store: Store, tmp_path: Path, slot: str):
    with pytest.raises(BadName, match="no slot can be called"):
        register_version(store, slot, weights(tmp_path / "m"), lineage={})
