"""The registry: versions are numbered and never change; live moves visibly, or not at all."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from threadmill.checkpoints.registry import (
    aliases_of,
    history,
    lineage,
    list_versions,
    promote,
    register_version,
    resolve,
    rollback,
)
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadModelFolder, UnknownSlot, UnknownVersion

SLOT = "bank.think"


def weights(folder: Path, content: bytes = b"1234") -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_text("{}")
    (folder / "notes.txt").write_text("not part of the model")
    return folder


def three_versions(store: Store, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        base = None if number == 1 else f"{SLOT}@{number - 1:04d}"
        folder = weights(tmp_path / f"m{number}", b"x" * number)
        register_version(store, SLOT, folder, lineage={"steps": number}, base=base)


def test_versions_are_numbered_and_describe_their_folder(tmp_path: Path):
    digest = hashlib.sha256(b"config.json\0{}model.safetensors\0" + b"1234").hexdigest()
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        made = register_version(store, SLOT, weights(tmp_path / "m"), lineage={"seed": 7})
        again = register_version(store, SLOT, tmp_path / "m", lineage={}, base=made.name)
        other = register_version(store, "shop.think", tmp_path / "m", lineage={})
        assert list_versions(store) == [made, again, other]
        assert list_versions(store, SLOT) == [made, again]
        assert list_versions(store, "nowhere") == []
    assert (made.name, made.slot, made.number, made.base) == ("bank.think@0001", SLOT, 1, None)
    assert (made.folder, made.digest, made.size_bytes) == (str(tmp_path / "m"), digest, 4)
    assert made.lineage == {"seed": 7}
    assert (again.name, again.base, other.name) == ("bank.think@0002", "bank.think@0001", "shop.think@0001")


def test_a_folder_without_weights_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        for folder in ("empty", "missing"):
            with pytest.raises(BadModelFolder, match=rf"{folder}' holds no \*\.safetensors"):
                register_version(store, SLOT, tmp_path / folder, lineage={})
        assert list_versions(store) == []


def test_changed_weights_are_noticed(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        register_version(store, SLOT, weights(tmp_path / "m"), lineage={})
        assert resolve(store, f"{SLOT}@0001", verify=True).number == 1
        (tmp_path / "m" / "model.safetensors").write_bytes(b"4321")
        with pytest.raises(BadModelFolder, match=r"the files of bank\.think@0001 in .* are not those"):
            resolve(store, f"{SLOT}@0001", verify=True)


def test_live_moves_forward_and_back(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        three_versions(store, tmp_path)
        promote(store, SLOT, "bank.think@0001", because="first")
        assert aliases_of(store, SLOT) == {"live": "bank.think@0001"}
        promote(store, SLOT, "0003", because="better")
        assert aliases_of(store, SLOT) == {"live": "bank.think@0003", "previous": "bank.think@0001"}
        rollback(store, SLOT, because="complaints")
        assert aliases_of(store, SLOT) == {"live": "bank.think@0001", "previous": "bank.think@0003"}
        assert resolve(store, f"{SLOT}@live").name == "bank.think@0001"
        moves = [(move.action, move.from_version, move.to_version, move.because) for move in history(store, SLOT)]
    assert moves == [
        ("promote", None, "bank.think@0001", "first"),
        ("promote", "bank.think@0001", "bank.think@0003", "better"),
        ("rollback", "bank.think@0003", "bank.think@0001", "complaints"),
    ]


def test_unknown_names_are_answered_with_those_that_exist(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        with pytest.raises(UnknownSlot, match=r"no slot 'bank\.think' is registered; there is none yet"):
            resolve(store, f"{SLOT}@live")
        three_versions(store, tmp_path)
        with pytest.raises(UnknownSlot, match=r"no slot 'bnk' is registered; there is bank\.think"):
            resolve(store, "bnk@live")
        with pytest.raises(UnknownVersion, match="no version or alias '0009'; there is 0001, 0002, 0003"):
            promote(store, SLOT, "0009", because="typo")
        with pytest.raises(UnknownVersion, match="no version or alias 'previous'"):
            rollback(store, SLOT, because="nothing was live")
        assert (aliases_of(store, SLOT), history(store, SLOT)) == ({}, [])


def test_lineage_goes_back_to_the_first_base(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        three_versions(store, tmp_path)
        line = [(version.name, version.lineage) for version in lineage(store, f"{SLOT}@0003")]
    assert line == [
        ("bank.think@0003", {"steps": 3}),
        ("bank.think@0002", {"steps": 2}),
        ("bank.think@0001", {"steps": 1}),
    ]


def test_registering_at_once_gives_every_folder_its_number(tmp_path: Path):
    folder = weights(tmp_path / "m")
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store, ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: register_version(store, SLOT, folder, lineage={}).number, range(48)))
    assert sorted(made) == list(range(1, 49))


def test_promotions_at_once_leave_an_unbroken_history(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        three_versions(store, tmp_path)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: promote(store, SLOT, f"000{n % 3 + 1}", because=str(n)), range(48)))
        moves = history(store, SLOT)
        assert len(moves) == 48
        assert moves[0].from_version is None
        assert all(later.from_version == earlier.to_version for earlier, later in pairwise(moves))
        last = [move for move in moves if move.from_version != move.to_version][-1]  # the others changed nothing
        assert aliases_of(store, SLOT) == {"live": last.to_version, "previous": last.from_version}


def test_48_threads_resolve_at_once(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        three_versions(store, tmp_path)
        promote(store, SLOT, "0002", because="first")
        with ThreadPoolExecutor(48) as pool:
            names = set(pool.map(lambda _: resolve(store, f"{SLOT}@live").name, range(480)))
    assert names == {"bank.think@0002"}


def test_promoting_what_is_live_again_keeps_the_way_back(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        three_versions(store, tmp_path)
        promote(store, SLOT, "0001", because="first")
        promote(store, SLOT, "0002", because="better")
        promote(store, SLOT, "0002", because="said twice")
        assert aliases_of(store, SLOT) == {"live": "bank.think@0002", "previous": "bank.think@0001"}
        assert rollback(store, SLOT, because="complaints").name == "bank.think@0001"


def test_a_base_named_by_its_alias_is_kept_as_the_version_it_stood_for(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        register_version(store, SLOT, weights(tmp_path / "m1"), lineage={})
        promote(store, SLOT, "0001", because="first")
        made = register_version(store, SLOT, weights(tmp_path / "m2"), lineage={}, base=f"{SLOT}@live")
        assert made.base == "bank.think@0001"
        promote(store, SLOT, made.name, because="better")
        line = [version.name for version in lineage(store, f"{SLOT}@live")]
    assert line == ["bank.think@0002", "bank.think@0001"]


def test_an_unknown_base_is_refused(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        with pytest.raises(UnknownSlot, match="no slot 'shop' is registered"):
            register_version(store, SLOT, weights(tmp_path / "m"), lineage={}, base="shop@0001")
        assert list_versions(store) == []


@pytest.mark.parametrize("name", ["merges.txt", "vocab.txt", "tokenizer.model", "chat_template.jinja"])
def test_a_changed_tokenizer_is_noticed(tmp_path: Path, name: str):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        (weights(tmp_path / "m") / name).write_text("a b")
        register_version(store, SLOT, tmp_path / "m", lineage={})
        (tmp_path / "m" / name).write_text("b a")
        with pytest.raises(BadModelFolder, match="are not those that were registered"):
            resolve(store, f"{SLOT}@0001", verify=True)
