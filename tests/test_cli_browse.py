"""`threadmill threads list|show|tree|diff`: what people read, what programs parse, and what is wrong usage."""

import json

import pytest
from shop_commands import chat, checkpoint, invoke, lines, misused, parsed, refused

pytestmark = pytest.mark.usefixtures("shop_folder")
NOON = "2026-01-01T12:00:00+00:00"


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
    each = """`threadmill threads answer b '[{"id": "c20", "type": "approve"}, …]'`"""
    assert printed[-3:] == [
        "b  asks   human: pay(amount=20): money [c20]",
        "b  asks   treasurer: pay(amount=400): a lot of money [c400]",
        f"b         answer each in one list, {each}, or all alike with `threadmill threads approve|reject b`",
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
    assert refused("show", "t", "--at", "xx") == (
        "thread 't' has 0 checkpoints 'xx' in runs.db; see `threadmill threads tree t`"
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
