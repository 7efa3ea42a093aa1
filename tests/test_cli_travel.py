"""`threadmill threads fork|replay|continue`: threads go on from any point, by the agent that wrote them."""

from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from shop_commands import chat, checkpoint, invoke, lines, misused, parsed, refused, used
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.graphs import run_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.training.worlds.helpdesk.agent import build_helpdesk
from threadmill.training.worlds.helpdesk.database import make_world, write_world
from threadmill.training.worlds.helpdesk.prompt import SLOT

pytestmark = pytest.mark.usefixtures("shop_folder")
SEED = "seed"


def test_forks_with_and_without_a_change() -> None:
    chat("Pay 5.")
    human, proposal = (checkpoint(number) for number in (2, 3))
    plain = parsed("fork", "t", "--at", proposal)
    assert (plain["thread"], plain["at"], plain["next"], plain["status"]) == ("t", proposal, ["act"], None)
    assert parsed("continue", "t")["answer"] == "Done: paid 5"
    with open_store("sqlite:///runs.db") as store:
        said, call = (str(message.id) for message in read_messages(store, "t")[:2])
    assert lines("fork", "t", "--at", human, "--message", said[:8], "--text", "Pay 6.", "--run") == [
        "t · branch CHECKPOINT · next think",
        "t · done",
        "Done: paid 6",
    ]
    assert lines("fork", "t", "--at", proposal, "--message", call, "--args", '{"amount": 8}', "--by", "ann") == [
        "t · branch CHECKPOINT · next act",
        "run it with: threadmill threads continue t",
    ]
    assert lines("continue", "t") == ["t · done", "Done: paid 8"]
    assert lines("show", "t")[2:5] == [
        "ai     [shop.think@0001] I pay.",
        "         calls pay(amount=8)",
        next(line for line in lines("show", "t") if "edited by ann at 20" in line and "proposed pay(amount=5)" in line),
    ]
    assert refused("fork", "t", "--at", human, "--message", "m9", "--text", "x").startswith(
        "0 messages of thread 't' begin with 'm9' there; there are "
    )
    assert "--message goes with --text or --args" in misused("fork", "t", "--at", human, "--text", "x")
    assert "is not JSON" in misused("fork", "t", "--at", human, "--state", "x")
    assert "is no JSON object" in misused("fork", "t", "--at", human, "--state", "[1]")
    assert "the state has no note; it has" in misused("fork", "t", "--at", human, "--state", '{"note": "x"}')
    assert "Missing option '--at'" in misused("fork", "t")


def test_replays_from_the_record_live_and_by_another_version(shop_folder: Path) -> None:
    chat("Pay 20.")
    invoke("approve", "t")
    used(shop_folder)
    used_again = shop_folder / "weights2"
    (shop_folder / "weights").rename(used_again)
    used(shop_folder)
    start = checkpoint(2)
    recorded = parsed("replay", "t", "--at", start, "--recorded")
    assert recorded.keys() >= {"thread", "at", "checkpoint", "mode", "status", "answer", "versions", "divergence"}
    assert (recorded["mode"], recorded["status"], recorded["answer"], recorded["divergence"]) == (
        "recorded", "done", "Done: paid 20", None
    )  # fmt: skip
    assert lines("replay", "t", "--at", start, "--recorded", "--model", "shop.think@0002") == [
        "t · recorded replay · branch CHECKPOINT · done",
        "I do not pay.",
        "turn 1 is the first that differs",
        '  recorded: {"text": "I pay.", "calls": [{"name": "pay", "args": {"amount": 20}}]}',
        '  replayed: {"text": "I do not pay.", "calls": []}',
    ]
    live = parsed("replay", "t", "--at", start, "--model", "shop.think@0002")
    assert (live["mode"], live["status"], live["versions"]) == ("live", "done", {"shop.think": "shop.think@0002"})
    assert refused("replay", "t", "--at", checkpoint(-1)).startswith("the run ends at checkpoint")
    assert refused("replay", "t", "--at", "zz").startswith("thread 't' has 0 checkpoints 'zz'")


def test_continuing_what_is_done_or_paused_changes_nothing() -> None:
    chat("Pay 20.")
    how = "answer with `threadmill threads approve|edit|reject|respond t`"
    assert lines("continue", "t") == ["t · paused", f"asks   human: pay(amount=20): money — {how}"]
    assert parsed("continue", "t")["questions"][0]["id"] == "c20"
    invoke("approve", "t")
    before = parsed("tree", "t")
    assert parsed("continue", "t")["answer"] == "Done: paid 20"
    assert parsed("tree", "t") == before


def test_an_agent_that_is_not_here_is_named(shop_folder: Path) -> None:
    chat("Pay 20.")
    (shop_folder / "langgraph.json").unlink()
    for arguments in (("approve", "t"), ("continue", "t"), ("fork", "t", "--at", checkpoint(2))):
        assert refused(*arguments).startswith(
            "no agent 'shop' is built in (there is helpdesk) or named in langgraph.json"
        )


def helpdesk(store: Store, folder: Path) -> tuple[str, int]:
    """A thread ``h`` that the seed policy wrote up to a refund that a person must decide: the order and its amount."""
    from threadmill.training.worlds.helpdesk.database import opened

    world = folder / "world.db"
    write_world(make_world("train", 0), world)
    with opened(world) as db:
        order, amount = db.execute("SELECT id, amount FROM orders WHERE amount > 100").fetchone()
    call = {"name": "refund", "args": {"order_id": order, "amount": amount}, "id": "r1"}
    slot = Slot.fixed(SLOT, ScriptedModel([AIMessage("", tool_calls=[call])]), SEED)
    graph = build_helpdesk(slot).compile(checkpointer=store.saver, name="helpdesk")
    said = f"Refund {amount} for order {order}."
    assert run_thread(graph, "h", said, configurable={"world": str(world), "seed": 1}).status == "paused"
    return order, amount


def test_the_built_in_agent_goes_on_in_its_own_words(shop_folder: Path) -> None:
    with open_store("sqlite:///runs.db") as store:
        order, amount = helpdesk(store, shop_folder)
    (thread,) = parsed("list")["threads"]
    assert (thread["agent"], thread["questions"][0]["why"]) == ("helpdesk", "refund above 100")
    done = parsed("edit", "h", "--args", '{"amount": 60}', "--by", "ann")
    assert (done["thread"], done["status"], bool(done["answer"])) == ("h", "done", True)
    shown = lines("show", "h")
    assert f'         calls refund(order_id="{order}", amount=60)' in shown
    assert any("edited by ann" in line and f"amount={amount})" in line for line in shown)
    replay = parsed("replay", "h", "--at", checkpoint(3, "h"), "--recorded")
    assert (replay["mode"], replay["versions"]) == ("recorded", {SLOT: SEED})
