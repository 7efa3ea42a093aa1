"""`threadmill threads approve|edit|reject|respond|answer`: questions are answered, and what does not fit is refused."""

from pathlib import Path

import pytest
from shop_commands import chat, invoke, lines, misused, parsed, refused
from threadmill.checkpoints.outcomes import outcomes_of
from threadmill.checkpoints.reading import latest_metadata
from threadmill.checkpoints.store import open_store

pytestmark = pytest.mark.usefixtures("shop_folder")


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


def test_how_an_answered_run_ended_is_noted_as_that_of_any_served_run() -> None:
    chat("Pay 20.", thread="a")
    with open_store("sqlite:///runs.db") as store:
        ((slot, version),) = latest_metadata(store, "a")["versions"].items()
        assert outcomes_of(store, slot, version) == []
    parsed("approve", "a")
    with open_store("sqlite:///runs.db") as store:
        assert [(one.thread, one.failed) for one in outcomes_of(store, slot, version)] == [("a", False)]


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


def test_answers_from_a_file_and_from_stdin_may_lead_to_the_next_question(shop_folder: Path) -> None:
    chat("Pay 20.")
    (shop_folder / "answers.json").write_text('[{"id": "c20", "type": "respond", "text": "pay"}]')
    assert lines("answer", "t", "answers.json", "--by", "ann") == ["t · done", "Done: pay"]
    chat("Pay 30.")
    done = invoke("answer", "t", "-", given='[{"id": "c30", "type": "approve"}]')
    assert done.stdout == "t · done\nDone: paid 30\n"
    assert lines("show", "t")[4].startswith("asked  human: pay(amount=20): money — answered respond “pay” by ann at 20")
