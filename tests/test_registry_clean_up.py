"""A clean-up removes what nobody needs, and nothing else: not one file of what anybody does."""

import re
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from registry_world import SLOT, adapter, register, weights
from threadmill.checkpoints.clean_up import collect_garbage
from threadmill.checkpoints.evaluations import begin_evaluation
from threadmill.checkpoints.forget import delete_thread
from threadmill.checkpoints.pins import pin_thread, pins_of, unpin_thread
from threadmill.checkpoints.registry import (
    aliases_of,
    lineage,
    list_versions,
    point,
    promote,
    register_version,
    resolve,
    rollback,
    verified_folder,
)
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.tables import CanaryRow
from threadmill.errors import BadModelFolder, ThreadmillError, UnknownThread
from threadmill.graphs import answer_thread, build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.training.slots import SEED_POLICY


@pytest.fixture
def store(tmp_path: Path):
    """A registry in a file."""
    with open_store(f"sqlite:///{tmp_path}/runs.db") as opened:
        yield opened


def clean(store: Store, newest: int = 0) -> list[str]:
    """The numbers of the versions whose files a clean-up removed."""
    return [one.version[-4:] for one in collect_garbage(store, dry_run=False, newest=newest).removed]


def test_what_would_go_is_told_before_anything_does(store: Store, tmp_path: Path):
    register(store, tmp_path, 4)
    promote(store, SLOT, "0001", because="first")
    done = collect_garbage(store, dry_run=True, newest=1)
    assert [(one.version, one.folder, one.size_bytes, one.stays) for one in done.removed] == [
        ("bank.think@0002", str(tmp_path / "m2"), 2, ()),
        ("bank.think@0003", str(tmp_path / "m3"), 3, ()),
    ]
    assert done.kept == {
        "bank.think@0001": ["it is live"],
        "bank.think@0004": ["it is one of the 1 newest of its slot"],
    }
    assert all((tmp_path / f"m{n}" / "model.safetensors").exists() for n in (1, 2, 3, 4))
    assert clean(store, newest=1) == ["0002", "0003"]
    assert sorted(path.name for path in tmp_path.glob("m*")) == ["m1", "m4"]
    assert clean(store, newest=1) == []


def test_a_version_without_files_keeps_its_place_in_the_lineage_and_cannot_be_used(store: Store, tmp_path: Path):
    first = register_version(store, SLOT, weights(tmp_path / "m1"), lineage={"seed": 1})
    register_version(store, SLOT, weights(tmp_path / "m2"), lineage={}, base=first.name)
    promote(store, SLOT, "0002", because="better")
    assert clean(store) == ["0001"]
    gone = resolve(store, first.name)
    assert [version.lineage for version in lineage(store, f"{SLOT}@live")] == [{}, {"seed": 1}]
    for use in (
        lambda: promote(store, SLOT, "0001", because="x"),
        lambda: point(store, SLOT, "candidate", "0001", "x"),
        lambda: pin_thread(store, "t", first.name, because="x"),
        lambda: verified_folder(store, first.name),
    ):
        with pytest.raises(
            BadModelFolder, match=re.escape(f"of bank.think@0001 were removed by a clean-up at {gone.gone_at}")
        ):
            use()
    weights(tmp_path / "m1")  # restored from a backup
    assert register_version(store, SLOT, tmp_path / "m1", lineage={}).name == "bank.think@0003"
    promote(store, SLOT, "0003", because="back")
    assert clean(store) == []
    assert resolve(store, "bank.think@0003", verify=True).gone_at is None


def test_aliases_pins_canaries_and_evaluations_keep_what_they_name(store: Store, tmp_path: Path):
    register(store, tmp_path, 7)
    for number in ("0001", "0002"):
        promote(store, SLOT, number, because="next")
    point(store, SLOT, "best-of-may", "0003", "shown at the fair")
    pin_thread(store, "vip", f"{SLOT}@0004", because="likes it")
    row = resolve(store, f"{SLOT}@0005")
    with store.engine.begin() as connection:
        canary = {"slot": SLOT, "version_id": row.number, "mode": "canary", "share": 0.1, "bound": {}, "because": "try"}
        connection.execute(CanaryRow.__table__.insert().values(**canary, status="running", created_at="now"))
    begin_evaluation(store, "e1", suite="shop", versions={SLOT: f"{SLOT}@0006"}, k=1, settings={})
    done = collect_garbage(store, dry_run=True, newest=0)
    assert [one.version[-4:] for one in done.removed] == ["0007"]
    assert list(done.kept.values()) == [
        ["it is previous"],
        ["it is live"],
        ["it is best-of-may"],
        ["thread 'vip' is pinned to it"],
        ["a canary runs with it"],
        ["evaluation e1 of it has not finished"],
    ]
    unpin_thread(store, "vip", SLOT)
    assert clean(store) == ["0004", "0007"]


def test_the_version_that_a_paused_thread_began_with_is_kept_until_it_is_answered(store: Store, tmp_path: Path):
    register(store, tmp_path, 2)
    call = {"name": "pay", "args": {"amount": 9}, "id": "c1"}

    @tool
    def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    model = ScriptedModel([AIMessage("", tool_calls=[call]), AIMessage("Paid.")])
    slot = Slot.fixed(SLOT, model, f"{SLOT}@0001")
    graph = build_react(slot, [pay], name="bank", ask=lambda tool, args: "Really?").compile(checkpointer=store.saver)
    assert run_thread(graph, "t", "Pay 9.").status == "paused"
    done = collect_garbage(store, dry_run=False, newest=0)
    assert done.kept == {"bank.think@0001": ["thread 't' has not finished its run with it"]}
    assert [one.version for one in done.removed] == ["bank.think@0002"]
    answer_thread(graph, "t", [{"id": "c1", "type": "approve", "by": "eva"}])
    assert clean(store) == ["0001"]


def test_the_base_of_an_adapter_that_is_needed_stays_however_it_is_registered(store: Store, tmp_path: Path):
    base = weights(tmp_path / "base")
    middle = adapter(tmp_path / "middle", base)
    for folder in (base, middle, adapter(tmp_path / "top", middle), adapter(tmp_path / "other", base)):
        register_version(store, SLOT, folder, lineage={})
    promote(store, SLOT, "0003", because="live is an adapter of an adapter")
    done = collect_garbage(store, dry_run=False, newest=0)
    assert [one.version for one in done.removed] == ["bank.think@0004"]
    assert done.kept["bank.think@0001"] == [f"bank.think@0003 needs the files in {base}"]
    assert verified_folder(store, f"{SLOT}@live") == str(tmp_path / "top")
    register_version(store, SLOT, weights(tmp_path / "m"), lineage={})
    for name in ("0005", "0005"):
        point(store, SLOT, "live", name, "full weights")
    point(store, SLOT, "previous", "0005", "no way back to the adapters")
    assert clean(store) == ["0001", "0002", "0003"]


def test_a_folder_that_several_versions_share_or_that_lies_in_another_stays_with_them(store: Store, tmp_path: Path):
    outer = weights(tmp_path / "outer")
    for slot, folder in (
        ("a.think", outer),
        (SLOT, outer),
        (SLOT, weights(outer / "inner")),
        (SLOT, tmp_path / "alone"),
    ):
        register_version(store, slot, folder if folder.is_dir() else weights(folder), lineage={})
    promote(store, "a.think", "0001", because="first")
    assert clean(store) == ["0003"]
    assert (outer / "inner" / "model.safetensors").is_file()


def test_files_that_a_needed_version_links_to_stay(store: Store, tmp_path: Path):
    register(store, tmp_path, 1)
    folder = weights(tmp_path / "linked")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(tmp_path / "m1" / "config.json")
    promote(store, SLOT, register_version(store, SLOT, folder, lineage={}).name, because="first")
    assert clean(store) == []


def test_only_registered_files_go_and_what_changed_or_is_a_link_is_left_alone(store: Store, tmp_path: Path):
    register(store, tmp_path, 4)
    kept = tmp_path / "elsewhere"
    (tmp_path / "m1" / "curves.png").write_bytes(b"ours")
    (tmp_path / "m1" / "notes.md").write_text("the user's own")
    (tmp_path / "m2" / "model.safetensors").write_bytes(b"trained over")
    (tmp_path / "m3").rename(kept)
    (tmp_path / "m3").symlink_to(kept)
    rmtree(tmp_path / "m4")
    done = collect_garbage(store, dry_run=False, newest=0)
    assert [(one.version[-4:], one.stays) for one in done.removed] == [("0001", ("notes.md",)), ("0004", ())]
    assert [path.name for path in (tmp_path / "m1").iterdir()] == ["notes.md"]
    assert done.left_alone == {
        "bank.think@0002": f"the files in {tmp_path / 'm2'} are not those that were registered: model.safetensors was "
        "changed",
        "bank.think@0003": f"{tmp_path / 'm3'} is a link by now",
    }
    assert (kept / "model.safetensors").is_file()
    assert [version.gone_at is None for version in list_versions(store)] == [False, True, True, False]


def test_the_hubs_cache_and_the_installed_package_are_left_alone(store: Store, tmp_path: Path):
    (tmp_path / "blob").write_bytes(b"1234")
    folder = weights(tmp_path / "snapshot")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    register_version(store, SLOT, folder, lineage={})
    register_version(store, SLOT, SEED_POLICY, lineage={})
    done = collect_garbage(store, dry_run=False, newest=0)
    assert (done.removed, done.left_alone) == (
        [],
        {"bank.think@0001": f"the files in {folder} are links to somewhere else"},
    )
    assert done.kept == {"bank.think@0002": ["it is part of the installed package"]}


def test_a_deleted_thread_leaves_no_pin(store: Store, tmp_path: Path):
    register(store, tmp_path, 2)
    graph = build_react(Slot.fixed(SLOT, ScriptedModel([AIMessage("Hi.")]), "x"), [], name="bank")
    run_thread(graph.compile(checkpointer=store.saver), "t", "Hello.")
    for number in ("0001", "0002"):
        pin_thread(store, "t", f"{SLOT}@{number}", because="tried")
    assert [(pin.thread, pin.slot, pin.version, pin.because) for pin in pins_of(store, SLOT)] == [
        ("t", SLOT, "bank.think@0002", "tried")
    ]
    delete_thread(store, "t")
    assert pins_of(store) == []
    with pytest.raises(UnknownThread, match=r"thread 't' is not pinned in slot 'bank\.think'"):
        unpin_thread(store, "t", SLOT)


_slots = count(1)
NUMBER = st.integers(1, 6)


class Registry(RuleBasedStateMachine):
    """Whatever is done: what aliases and pins name can be loaded, and what is gone is named by none of them."""

    store: Store
    place: Path

    @initialize()
    def begin(self) -> None:
        self.slot = f"s{next(_slots)}.think"
        self.made = count(1)

    @rule(base=NUMBER, full=st.booleans())
    def register(self, base: int, full: bool) -> None:
        folder = self.place / self.slot / f"m{next(self.made)}"
        below = folder.parent / f"m{base}"
        if full or not (below / "config.json").exists():
            weights(folder)
        else:
            adapter(folder, below)
        register_version(self.store, self.slot, folder, lineage={})

    @rule(number=NUMBER)
    def promote(self, number: int) -> None:
        self.change(lambda: promote(self.store, self.slot, f"{number:04d}", because="x"))

    @rule(number=NUMBER)
    def point(self, number: int) -> None:
        self.change(lambda: point(self.store, self.slot, "candidate", f"{number:04d}", "x"))

    @rule()
    def rollback(self) -> None:
        self.change(lambda: rollback(self.store, self.slot, because="x"))

    @rule(number=NUMBER, thread=st.sampled_from("ab"))
    def pin(self, number: int, thread: str) -> None:
        self.change(lambda: pin_thread(self.store, thread, f"{self.slot}@{number:04d}", because="x"))

    @rule(thread=st.sampled_from("ab"))
    def unpin(self, thread: str) -> None:
        self.change(lambda: unpin_thread(self.store, thread, self.slot))

    @rule(newest=st.integers(0, 1))
    def clean_up(self, newest: int) -> None:
        done = collect_garbage(self.store, self.slot, dry_run=False, newest=newest)
        assert done.left_alone == {}

    def change(self, act: Any) -> None:
        before = (aliases_of(self.store, self.slot), pins_of(self.store, self.slot))
        try:
            act()
        except ThreadmillError:  # no such version, no pin, or gone: then nothing changed
            assert (aliases_of(self.store, self.slot), pins_of(self.store, self.slot)) == before

    @invariant()
    def what_is_named_is_there_and_what_is_gone_is_not(self) -> None:
        there = {version.name: version.gone_at is None for version in list_versions(self.store, self.slot)}
        for name, kept in there.items():
            assert (self.place / self.slot / f"m{int(name[-4:])}").exists() == kept
        assert all(there[name] for name in self.named())

    def named(self) -> set[str]:
        pinned = {pin.version for pin in pins_of(self.store, self.slot)}
        return {*aliases_of(self.store, self.slot).values(), *pinned}

    def teardown(self) -> None:
        for name in self.named():
            verified_folder(self.store, name)  # files and, of adapters, bases


def test_whatever_is_done_aliases_and_pins_name_what_can_be_loaded(store: Store, tmp_path: Path):
    Registry.store, Registry.place = store, tmp_path
    run_state_machine_as_test(
        Registry,
        settings=settings(
            max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
