"""``threadmill status``: what runs where, for people and as JSON."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from threadmill.checkpoints import open_store
from threadmill.checkpoints.canaries import start_canary
from threadmill.checkpoints.evaluations import begin_evaluation
from threadmill.checkpoints.pins import pin_thread
from threadmill.checkpoints.registry import promote, register_version
from threadmill.checkpoints.store import Store
from threadmill.checkpoints.workers import Serving, beat
from threadmill.cli.main import app
from threadmill.errors import UnknownSlot
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot
from typer.testing import CliRunner

V1, V2, V3 = (f"shop.think@000{number}" for number in (1, 2, 3))


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database in which the second version is live, and a third is on trial."""
    address = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_store(address) as store:
        for number in (1, 2, 3):
            place = tmp_path / f"v{number}"
            place.mkdir()
            (place / "model.safetensors").write_bytes(b"x" * number)
            (place / "config.json").write_text("{}")
            register_version(store, "shop.think", place, lineage={})
        for version in (V1, V2):
            promote(store, "shop.think", version, because="next")
        start_canary(store, V3, share=0.1, bound={}, because="try")
        pin_thread(store, "eva", V1, because="a customer wants it")
        begin_evaluation(store, "e1", suite="helpdesk", versions={"shop.think": V3}, k=1, settings={})
        pause(store, "ada")
        serve(store, "follows", V2, (V1, V2))
        serve(store, "loads", V1, (V1,))
        serve(store, "fails", V1, (V1,), trouble=f"{V2} could not be loaded: weights are torn")
    return address


def pause(store: Store, thread: str) -> None:
    """A thread that asks, in a run that began with the first version."""
    call = {"name": "pay", "args": {"amount": 7}, "id": "c7"}
    slot = Slot.fixed("shop.think", ScriptedModel([AIMessage("", tool_calls=[call])]), V1)
    graph = build_react(slot, [pay], ask=lambda tool, args: "money").compile(checkpointer=store.saver)
    assert run_thread(graph, thread, "Pay.").status == "paused"


def serve(store: Store, id: str, answering: str, loaded: tuple[str, ...], trouble: str = "") -> None:
    beat(store, [Serving(id, "shop.think", "shop.think@live", answering, V2, loaded, trouble)], time.time())


def status(*arguments: str) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["status", *arguments])


def test_programs_read_everything(url: str) -> None:
    record = json.loads(status("shop.think", "--db", url, "--json").stdout)
    (slot,) = record["slots"]
    assert [slot[alias] for alias in ("slot", "live", "previous", "candidate")] == ["shop.think", V2, V1, None]
    told = {(worker["answering"], worker["behind"], worker["stale"], worker["trouble"]) for worker in slot["workers"]}
    torn = f"{V2} could not be loaded: weights are torn"
    assert told == {(V2, False, False, ""), (V1, True, False, ""), (V1, True, False, torn)}
    assert slot["pins"] == [{"thread": "eva", "version": V1, "because": "a customer wants it"}]
    assert slot["paused"] == [{"version": V1, "threads": ["ada"]}]
    assert (slot["canary"]["version"], slot["canary"]["mode"], slot["canary"]["share"]) == (V3, "canary", 0.1)
    assert [(one["id"], one["versions"], one["trials"]) for one in record["evaluations"]] == [
        ("e1", {"shop.think": V3}, 0)
    ]


def test_people_see_who_is_behind_and_why(url: str) -> None:
    told = status("--db", url).stdout
    assert "shop.think: live 0002, previous 0001" in told
    assert f"on trial: {V3} answers 10% of the new threads" in told
    assert "behind shop.think@live" in told
    assert f"{V2} could not be loaded: weights are torn" in told
    assert f"pinned: eva to {V1} (a customer wants it)" in told
    assert f"paused on {V1}: ada" in told
    assert f"evaluation e1 of {V3} on helpdesk: 0 trials so far" in told


def test_an_unknown_slot_is_named_with_those_there_are(url: str) -> None:
    done = status("desk.think", "--db", url)
    assert done.exit_code == 1
    assert isinstance(done.exception, UnknownSlot)
    assert str(done.exception) == "no slot 'desk.think' is registered or served; there is shop.think"
