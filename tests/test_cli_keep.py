"""`threadmill threads label|delete|prune`: what is kept of threads, what goes, and who is told."""

from pathlib import Path

import pytest
from shop_commands import chat, checkpoint, invoke, lines, misused, parsed, refused, used
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import open_store

pytestmark = pytest.mark.usefixtures("shop_folder")


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


def test_a_thread_a_branch_or_a_message_is_preferred_over_another() -> None:
    for thread in ("t", "b"):
        chat("Hi.", thread=thread)
    with open_store("sqlite:///runs.db") as store:
        said, other = (str(read_messages(store, thread)[-1].id) for thread in ("t", "b"))
    assert lines("label", "t", "--prefer-over", "b") == ["t: preference over b (person)"]
    assert parsed("label", "b", "--prefer-over", f"t@{checkpoint(-2)[-8:]}", "--source", "eva") == {
        "thread": "b", "checkpoint": None, "message": None, "kind": "preference", "value": f"over t@{checkpoint(-2)}",
        "source": "eva",
    }  # fmt: skip
    turns = ("label", "t", "--message", said[:24], "--prefer-over", "b", "--over-message", other)
    assert parsed(*turns)["value"] == f"over b#{other}"
    assert parsed("label", "t", "preference", "chosen")["value"] == "chosen"
    assert refused("label", "t", "--prefer-over", "x7").startswith("thread 'x7' has no checkpoints")
    assert refused("label", "t", "--prefer-over", "b", "--message", said, "--over-message", "m9").startswith(
        "thread 'b' has 0 messages 'm9'"
    )
    assert "nothing is better than itself" in misused("label", "t", "--prefer-over", "t")
    assert "stands for kind and value" in misused("label", "t", "success", 1, "--prefer-over", "b")
    assert "goes with --message" in misused("label", "t", "--prefer-over", "b", "--over-message", other)
    assert "'better' is neither a number nor chosen" in misused("label", "t", "preference", "better")
    assert "success needs a value" in misused("label", "t", "success")
    assert "None is none of reward" in misused("label", "t")


def test_deleting_asks_first_and_says_who_used_the_thread(shop_folder: Path) -> None:
    for thread in ("a", "b"):
        chat("Hi.", thread=thread)
    used(shop_folder, "a")
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


def test_pruning(shop_folder: Path) -> None:
    for thread in ("a", "b", "c"):
        chat("Hi.", "And?", thread=thread)
    used(shop_folder, "a")
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
