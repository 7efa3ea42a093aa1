"""`threadmill threads …`: what people read and programs parse, what is wrong usage, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from threadmill.checkpoints.data_sets import record_data_set
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import checkpoint_tree, read_messages
from threadmill.checkpoints.registry import register_version
from threadmill.checkpoints.store import Store, open_store
from threadmill.cli.main import app
from threadmill.cli.own_agents import open_own_agent
from threadmill.errors import ThreadmillError
from threadmill.graphs import run_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.training.worlds.helpdesk.agent import build_helpdesk
from threadmill.training.worlds.helpdesk.database import make_world, write_world
from threadmill.training.worlds.helpdesk.prompt import SLOT
from typer.testing import CliRunner

SHOP = '''
import re
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from threadmill.graphs import build_react
from threadmill.nodes import Asked, ScriptedModel, Slot

@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"

def say(messages):
    """Pays every number that the user said, at once, then repeats what came of it."""
    text = messages[-1].text
    if messages[-1].type == "human" and (amounts := re.findall(r"\\d+", text)):
        calls = [{"name": "pay", "args": {"amount": int(n)}, "id": f"c{n}"} for n in amounts]
        return AIMessage("I pay.", tool_calls=calls)
    return AIMessage(f"Done: {text}")

def hasty(messages):
    return AIMessage("I do not pay.")

def ask(name, args):
    if args["amount"] >= 100:
        return Asked("a lot of money", "treasurer")
    return "money" if args["amount"] >= 10 else None

slot = Slot(
    "shop.think", lambda: "shop.think@0001", lambda version: ScriptedModel(hasty if "0002" in version else say)
)
shop = build_react(slot, [pay], name="shop", ask=ask)
'''
NOON = "2026-01-01T12:00:00+00:00"
SEED = "seed"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an agent ``shop``, and the database ``runs.db`` that the commands use there."""
    (tmp_path / "agents.py").write_text(SHOP)
    (tmp_path / "langgraph.json").write_text(json.dumps({"graphs": {"shop": "./agents.py:shop"}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return tmp_path


def chat(*turns: str, thread: str = "t", **metadata: str) -> None:
    with open_store("sqlite:///runs.db") as store:
        shop = open_own_agent(store, "shop", "./agents.py:shop")
        for text in turns:
            run_thread(shop, thread, text, metadata=metadata)


def invoke(*arguments: Any, given: str | None = None) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["threads", *map(str, arguments)], input=given)


def lines(*arguments: Any) -> list[str]:
    """What people read; ids, times and durations written as signs."""
    done = invoke(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b", "CHECKPOINT", done.stdout)
    text = re.sub(r"\b[0-9a-f]{8}(?= )", "CHECKPNT", text)
    text = re.sub(r"\d+ ms", "N ms", text)
    return [line.rstrip() for line in text.splitlines()]


def parsed(*arguments: Any) -> Any:
    """The one JSON document on stdout."""
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def refused(*arguments: Any) -> str:
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert isinstance(done.exception, ThreadmillError)
    return str(done.exception)


def misused(*arguments: Any) -> str:
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    return " ".join(re.sub("[│╭╮╰╯─]", "", done.stderr).split())


def checkpoint(number: int, thread: str = "t") -> str:
    with open_store("sqlite:///runs.db") as store:
        return checkpoint_tree(store, thread)[number].checkpoint


def answered() -> None:
    """The thread ``t``: three questions in one turn, answered in three ways."""
    chat("Pay 5, 20, 30 and 400.", task="t1")
    given = [
        {"id": "c400", "type": "reject", "text": "too much", "by": "eve", "at": NOON},
        {"id": "c20", "type": "approve", "by": "ann", "at": NOON},
        {"id": "c30", "type": "edit", "args": {"amount": 3}, "by": "bob", "at": NOON},
    ]
    assert parsed("answer", "t", json.dumps(given)) == {
        "thread": "t",
        "status": "done",
        "answer": "Done: a person refused this call: too much",
        "questions": [],
    }


def test_the_list_for_people_ends_with_what_is_asked() -> None:
    chat("Hi.", thread="a", task="t1")
    chat("Pay 20 and 400.", thread="b")
    invoke("label", "a", "success", 1)
    printed = lines("list")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed if "│" in line]
    assert [row[:7] for row in rows] == [
        ["a", "shop", "t1", "done", "1", "shop.think@0001", "success 1"],
        ["b", "shop", "", "paused", "1", "shop.think@0001", ""],
    ]
    how = "answer with `threadmill threads approve|edit|reject|respond b`"
    assert printed[-2:] == [
        f"b  asks   human: pay(amount=20): money — {how}",
        f"b  asks   treasurer: pay(amount=400): a lot of money — {how}",
    ]


def test_the_list_for_programs() -> None:
    chat("Hi.", thread="a")
    chat("Pay 400.", thread="b")
    done, paused = parsed("list")["threads"]
    assert done.keys() >= {"thread", "agent", "status", "turns", "versions", "labels"}
    assert (done["thread"], done["status"], done["turns"], done["versions"]) == ("a", "done", 1, ["shop.think@0001"])
    assert [(one["who"], one["tool"], one["why"]) for one in paused["questions"]] == [
        ("treasurer", "pay", "a lot of money")
    ]
    assert [one["thread"] for one in parsed("list", "--status", "paused")["threads"]] == ["b"]
    assert [one["thread"] for one in parsed("list", "--agent", "shop", "--limit", 1, "--offset", 1)["threads"]] == ["b"]
    assert parsed("list", "--since", "2999-01-01") == {"threads": []}
    assert parsed("list", "--until", "2999-01-01", "--min-reward", 0) == {"threads": []}
    assert invoke("list", "--limit", 1).stderr == "more may follow: --offset 1\n"
    assert "'broken' is none of done, paused, failed, running" in misused("list", "--status", "broken")
    assert "'soon' is no time; write 2026-11-21" in misused("list", "--since", "soon")
    assert misused("list", "--limit", 0)


def test_a_timeline_for_people() -> None:
    answered()
    assert lines("show", "t") == [
        "thread t · agent shop · task t1",
        "human  Pay 5, 20, 30 and 400.",
        "ai     [shop.think@0001] I pay.",
        "         calls pay(amount=5)",
        "         calls pay(amount=20)",
        "         calls pay(amount=3)",
        "         calls pay(amount=400)",
        "         edited by bob at 2026-01-01T12:00:00+00:00; the model proposed pay(amount=5), pay(amount=20), "
        "pay(amount=30), pay(amount=400)",
        "asked  human: pay(amount=20): money — answered approve by ann at 2026-01-01T12:00:00+00:00",
        'asked  human: pay(amount=30): money — answered edit {"amount": 3} by bob at 2026-01-01T12:00:00+00:00',
        "asked  treasurer: pay(amount=400): a lot of money — answered reject “too much” by eve "
        "at 2026-01-01T12:00:00+00:00",
        "tool   pay (result, N ms): paid 5",
        "tool   pay (result, N ms): paid 20",
        "tool   pay (result, N ms): paid 3",
        "tool   pay (rejected by eve, N ms): a person refused this call: too much",
        "ai     [shop.think@0001] Done: a person refused this call: too much",
    ]


def test_a_timeline_with_an_open_question_and_another_branch() -> None:
    chat("Pay 20.")
    parsed("fork", "t", "--at", checkpoint(2), "--run")
    invoke("approve", "t")
    branch = parsed("fork", "t", "--at", checkpoint(3), "--run")
    assert branch["status"] == "paused"
    assert lines("show", "t") == [
        "thread t · agent shop",
        "human  Pay 20.",
        "ai     [shop.think@0001] I pay.",
        "         calls pay(amount=20)",
        "asks   human: pay(amount=20): money — answer with `threadmill threads approve|edit|reject|respond t`",
        "one of 3 branches; see `threadmill threads tree t`",
    ]


def test_a_timeline_for_programs() -> None:
    answered()
    shown = parsed("show", "t")
    assert shown.keys() >= {"thread", "checkpoint", "branches", "metadata", "messages", "questions", "steps"}
    assert (shown["thread"], shown["checkpoint"], shown["branches"]) == ("t", checkpoint(-1), 1)
    assert [message["type"] for message in shown["messages"]] == ["human", "ai", "tool", "tool", "tool", "tool", "ai"]
    (asked,) = [step for step in shown["steps"] if step["questions"]]
    assert [(pair["question"]["who"], pair["answer"]["type"]) for pair in asked["questions"]] == [
        ("human", "approve"),
        ("human", "edit"),
        ("treasurer", "reject"),
    ]
    assert shown["questions"] == []
    first = parsed("show", "t", "--at", checkpoint(2)[-8:])
    assert [message["type"] for message in first["messages"]] == ["human"]
    assert refused("show", "x7") == "thread 'x7' has no checkpoints in runs.db; try `threadmill threads list`"
    assert refused("show", "t", "--at", "c9") == (
        "thread 't' has 0 checkpoints 'c9' in runs.db; see `threadmill threads tree t`"
    )
    assert "Missing argument" in misused("show")


def test_a_tree_for_people_and_programs() -> None:
    chat("Pay 20.")
    invoke("approve", "t")
    invoke("label", "t", "success", 1, "--at", checkpoint(-1))
    invoke("fork", "t", "--at", checkpoint(2), "--by", "ann")
    invoke("replay", "t", "--at", checkpoint(3), "--recorded", "--by", "bob")
    assert lines("tree", "t") == [
        "thread t",
        "├── CHECKPNT  input",
        "└── CHECKPNT  loop    human  Pay 20.",
        "    ├── CHECKPNT  loop",
        "    │   ├── CHECKPNT  loop    ai     calls pay(amount=20)  asks",
        "    │   │   ├── CHECKPNT  loop",
        "    │   │   ├── CHECKPNT  loop    tool   pay (result, N ms): paid 20",
        "    │   │   ├── CHECKPNT  loop",
        "    │   │   └── CHECKPNT  loop    ai     [shop.think@0001] Done: paid 20  [success 1]  shop.think@0001",
        "    │   └── CHECKPNT  fork    ai     calls pay(amount=20)  asks  editor bob  replay recorded",
        "    │       ├── CHECKPNT  loop",
        "    │       ├── CHECKPNT  loop    tool   pay (result, N ms): paid 20",
        "    │       ├── CHECKPNT  loop",
        "    │       └── CHECKPNT  loop    ai     [shop.think@0001] Done: paid 20  shop.think@0001",
        "    └── CHECKPNT  fork    editor ann  fork_of CHECKPNT  shop.think@0001  ← here",
    ]
    drawn = parsed("tree", "t")
    assert (drawn["thread"], drawn["head"], len(drawn["leaves"])) == ("t", checkpoint(-1), 3)
    third = drawn["checkpoints"][3]
    assert (third["checkpoint"], third["parent"], third["source"]) == (checkpoint(3), checkpoint(2), "loop")
    assert (third["added"], third["asks"]) == (["ai     calls pay(amount=20)"], True)
    (labelled,) = [one for one in drawn["checkpoints"] if one["labels"]]
    assert labelled["labels"] == [{"kind": "success", "value": 1.0, "source": "person"}]
    assert refused("tree", "x7").startswith("thread 'x7' has no checkpoints in runs.db")


def test_a_difference_for_people_and_programs() -> None:
    chat("Hi.", "Pay 5.", thread="a")
    chat("Hi.", "Pay 6.", thread="b")
    assert lines("diff", "a", "b") == [
        "2 messages in common",
        "  ai     [shop.think@0001] Done: Hi.",
        "- a: 4 more",
        "- human  Pay 5.",
        "- ai     [shop.think@0001] I pay.",
        "-          calls pay(amount=5)",
        "- tool   pay (result, N ms): paid 5",
        "- ai     [shop.think@0001] Done: paid 5",
        "+ b: 4 more",
        "+ human  Pay 6.",
        "+ ai     [shop.think@0001] I pay.",
        "+          calls pay(amount=6)",
        "+ tool   pay (result, N ms): paid 6",
        "+ ai     [shop.think@0001] Done: paid 6",
    ]
    place = f"a@{checkpoint(2, 'a')[-12:]}"
    found = parsed("diff", place, "a")
    assert (found["common"], found["only_a"], len(found["only_b"])) == (1, [], 5)
    assert (found["a"], found["b"]["thread"]) == ({"thread": "a", "checkpoint": checkpoint(2, "a")}, "a")
    assert parsed("diff", "a", "a")["only_b"] == []
    assert refused("diff", "a", "x7").startswith("thread 'x7' has no checkpoints")


def test_labels_on_threads_branches_and_messages() -> None:
    chat("Hi.")
    with open_store("sqlite:///runs.db") as store:
        said = str(read_messages(store, "t")[-1].id)
    assert parsed("label", "t", "reward", "0.5", "--source", "eva") == {
        "thread": "t", "checkpoint": None, "message": None, "kind": "reward", "value": 0.5, "source": "eva"
    }  # fmt: skip
    assert lines("label", "t", "feedback", "kind [words]", "--message", said[:24]) == [
        "t: feedback kind [words] (person)"
    ]
    assert parsed("label", "t", "success", 1, "--at", checkpoint(-1)[-8:])["checkpoint"] == checkpoint(-1)
    with open_store("sqlite:///runs.db") as store:
        assert [(label.kind, label.message) for label in labels_of(store)["t"]] == [
            ("reward", None), ("feedback", said), ("success", None)
        ]  # fmt: skip
    assert refused("label", "t", "feedback", "x", "--message", "m9") == (
        "thread 't' has 0 messages 'm9' in runs.db; see the ids in `threadmill threads show t --json`"
    )
    assert refused("label", "x7", "success", 1).startswith("thread 'x7' has no checkpoints")
    assert "'joy' is none of reward, success" in misused("label", "t", "joy", 1)
    assert "'nan' is no finite number" in misused("label", "t", "reward", "nan")


def test_deleting_asks_first_and_says_who_used_the_thread(folder: Path) -> None:
    for thread in ("a", "b"):
        chat("Hi.", thread=thread)
    used(folder, "a")
    asked = invoke("delete", "a", given="n\n")
    assert asked.exit_code == 1
    assert "Delete thread a from runs.db? [y/N]" in asked.stderr
    assert [one["thread"] for one in parsed("list")["threads"]] == ["a", "b"]
    assert lines("delete", "a", "--yes") == [
        "a deleted",
        "data set d1 (sft, data) holds rows of it",
        "version shop.think@0001 was trained on it",
    ]
    assert parsed("delete", "b", "--yes") == {"thread": "b", "deleted": True, "data_sets": [], "versions": []}
    assert refused("delete", "b", "--yes").startswith("thread 'b' has no checkpoints in runs.db")
    assert parsed("list") == {"threads": []}


def used(folder: Path, *threads: str) -> None:
    """A data set of ``threads`` and a version that learnt from it."""
    weights = folder / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"x")
    (weights / "config.json").write_text("{}")
    with open_store("sqlite:///runs.db") as store:
        record_data_set(store, digest="d1", kind="sft", folder="data", threads=threads)
        register_version(store, "shop.think", weights, lineage={"runs": [{"data": {"digest": "d1"}}]})


def test_pruning(folder: Path) -> None:
    for thread in ("a", "b", "c"):
        chat("Hi.", "And?", thread=thread)
    used(folder, "a")
    chat("Pay 20.", thread="d")
    would = parsed("prune", "--dry-run")
    assert (would["threads"], would["checkpoints"], [*would["kept"]], would["dry_run"]) == (["b", "c"], 14, ["a"], True)
    assert would["kept"]["a"]["versions"] == ["shop.think@0001"]
    assert parsed("prune", "--before", "2001-01-01")["threads"] == []
    assert lines("prune", "b") == ["7 checkpoints of 1 threads are gone"]
    assert lines("prune", "--even-used", "a") == [
        "7 checkpoints of 1 threads are gone",
        "a:",
        "data set d1 (sft, data) holds rows of it",
        "version shop.think@0001 was trained on it",
    ]
    declined = invoke("prune", "--whole", given="n\n")
    assert (declined.exit_code, "Delete 3 threads from runs.db?" in declined.stderr) == (1, True)
    assert lines("prune", "--whole", "--yes") == [
        "9 checkpoints of 2 threads are gone",
        "1 threads are kept, because data sets refer to them (--even-used takes them too)",
    ]
    assert [one["thread"] for one in parsed("list")["threads"]] == ["a", "d"]
    assert refused("prune", "x7").startswith("thread 'x7' has no checkpoints")
    assert "'gone' is none of done, paused, failed, running" in misused("prune", "--status", "gone")
    assert "there is nothing to filter" in misused("prune", "a", "--agent", "shop")
    assert "'soon' is no time" in misused("prune", "--before", "soon")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["approve"], "Done: paid 20"),
        (["edit", "--args", '{"amount": 7}', "--by", "ann"], "Done: paid 7"),
        (["reject", "--reason", "no"], "Done: a person refused this call: no"),
        (["respond", "--text", "by hand", "--call", "c20"], "Done: by hand"),
    ],
)
def test_a_question_is_answered(command: list[str], answer: str) -> None:
    chat("Pay 20.", thread="a")
    chat("Pay 20.", thread="b")
    name, *options = command
    assert parsed(name, "a", *options) == {"thread": "a", "status": "done", "answer": answer, "questions": []}
    assert lines(name, "b", *options) == ["b · done", answer]
    assert refused(name, "a", *options) == "thread 'a' asks nothing; see `threadmill threads show a`"
    assert refused(name, "x7", *options).startswith("thread 'x7' has no checkpoints in runs.db")


def test_answers_that_do_not_fit() -> None:
    chat("Pay 20.", thread="one")
    chat("Pay 20 and 30.", thread="two")
    assert (
        refused("approve", "one", "--call", "c9") == "thread 'one' does not ask about the call 'c9'; it asks about c20"
    )
    assert refused("edit", "one", "--args", '{"amount": "much"}') == (
        "invalid arguments for pay: amount: 'much' is not of type 'integer'"
    )
    together = (
        "thread 'two' asks about 2 calls (c20, c30), which are answered together; approve or reject all, or answer "
        "each with `threadmill threads answer two ANSWERS`"
    )
    assert refused("edit", "two", "--args", "{}") == refused("respond", "two", "--text", "x") == together
    assert refused("answer", "two", '[{"id": "c20", "type": "approve"}]').startswith("no answer to 'c30'")
    assert "'much' is not JSON" in misused("edit", "one", "--args", "much")
    assert "'[1]' is no JSON object" in misused("edit", "one", "--args", "[1]")
    assert "Missing option '--reason'" in misused("reject", "one")
    assert "is no JSON list of objects" in misused("answer", "two", "{}")
    assert "'none.json' is neither JSON nor a file" in misused("answer", "two", "none.json")
    assert [one["status"] for one in parsed("list")["threads"]] == ["paused", "paused"]
    assert parsed("reject", "two", "--reason", "no")["status"] == "done"


def test_answers_from_a_file_and_from_stdin_may_lead_to_the_next_question(folder: Path) -> None:
    chat("Pay 20.")
    (folder / "answers.json").write_text('[{"id": "c20", "type": "respond", "text": "pay"}]')
    assert lines("answer", "t", "answers.json", "--by", "ann") == ["t · done", "Done: pay"]
    chat("Pay 30.")
    done = invoke("answer", "t", "-", given='[{"id": "c30", "type": "approve"}]')
    assert done.stdout == "t · done\nDone: paid 30\n"
    assert lines("show", "t")[4].startswith("asked  human: pay(amount=20): money — answered respond “pay” by ann at 20")


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
    assert "Missing option '--at'" in misused("fork", "t")


def test_replays_from_the_record_live_and_by_another_version(folder: Path) -> None:
    chat("Pay 20.")
    invoke("approve", "t")
    used(folder)
    used_again = folder / "weights2"
    (folder / "weights").rename(used_again)
    used(folder)
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


def test_an_agent_that_is_not_here_is_named(folder: Path) -> None:
    chat("Pay 20.")
    (folder / "langgraph.json").unlink()
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


def test_the_built_in_agent_goes_on_in_its_own_words(folder: Path) -> None:
    with open_store("sqlite:///runs.db") as store:
        order, amount = helpdesk(store, folder)
    (thread,) = parsed("list")["threads"]
    assert (thread["agent"], thread["questions"][0]["why"]) == ("helpdesk", "refund above 100")
    done = parsed("edit", "h", "--args", '{"amount": 60}', "--by", "ann")
    assert (done["thread"], done["status"], bool(done["answer"])) == ("h", "done", True)
    shown = lines("show", "h")
    assert f'         calls refund(order_id="{order}", amount=60)' in shown
    assert any("edited by ann" in line and f"amount={amount})" in line for line in shown)
    replay = parsed("replay", "h", "--at", checkpoint(3, "h"), "--recorded")
    assert (replay["mode"], replay["versions"]) == ("recorded", {SLOT: SEED})
