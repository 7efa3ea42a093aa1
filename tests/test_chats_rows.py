"""Rows of chat formats: where each record comes from, and answers that branches share are trained once."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from threadmill.checkpoints import open_store
from threadmill.checkpoints.reading import latest_checkpoint
from threadmill.graphs import answer_thread, build_react, continue_thread, fork_thread, run_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.training.branches import Branch, Outcome, read_branches
from threadmill.training.chats.rows import ChatRows, train_new

HI = HumanMessage("Hi.", id="h1")
MORE = HumanMessage("More.", id="h2")


def spoken(*ids: str, **about: Any) -> list[AIMessage]:
    return [AIMessage(f"I am {id_}.", id=id_, **about) for id_ in ids]


def branch(leaf: str, *messages: BaseMessage, thread: str = "t", **about: Any) -> Branch:
    return Branch(thread, leaf, None, messages, "recorded", (), Outcome(), **about)


def trained(rows: Sequence[dict[str, Any]]) -> list[tuple[str, list[str | None], list[int | None]]]:
    """Leaf, trained messages and the weights in OpenAI's form."""
    return [
        (
            row["checkpoint"],
            row["messages"],
            [m.get("weight") for m in row["record"].get("messages", ()) if m["role"] == "assistant"],
        )
        for row in rows
    ]


a, b, c = spoken("a", "b", "c")
FORKED = [branch("c1", HI, a, MORE, b), branch("c2", HI, a, MORE, c), branch("c3", HI, a)]


def test_an_answer_that_branches_share_is_trained_once_and_marked_in_the_others():
    maker = ChatRows("openai")
    assert trained(list(maker.of(FORKED))) == [("c1", ["a", "b"], [None, None]), ("c2", ["c"], [0, None])]
    assert maker.left_out == {"every answer is trained in another row": 1}


def test_a_form_that_cannot_mark_answers_takes_the_longest_branch():
    for form in ("anthropic", "sharegpt"):
        maker = ChatRows(form)
        rows = list(maker.of([branch("c0", HI, a), *FORKED[:2]]))
        assert [(row["checkpoint"], row["messages"]) for row in rows] == [("c1", ["a", "b"])]
        assert maker.left_out == {
            "an answer that is trained in another row": 1,
            "every answer is trained in another row": 1,
        }


def test_the_same_ids_in_another_thread_are_other_answers_unless_they_were_recorded():
    maker = ChatRows("openai")
    assert len(list(maker.of([branch("c1", HI, a), branch("c1", HI, a, thread="other")]))) == 2
    recorded = spoken("r", response_metadata={"trace": {"version": "desk.think@0002"}})
    copies = [branch("c1", HI, *recorded), branch("c1", HI, *recorded, thread="copy")]
    (row,) = ChatRows("openai").of(copies)
    assert (row["thread"], row["versions"]) == ("t", ["desk.think@0002"])


def test_branches_that_a_form_cannot_hold_are_counted_by_reason():
    maker = ChatRows("sharegpt", nodes={"think"})
    branches = [
        branch("c1", HI, a, nodes={"a": "plan"}),
        branch("c2", HI, HI, b, nodes={"b": "think"}),
        branch("c3", HI, b, nodes={"b": "think"}),
    ]
    assert [row["checkpoint"] for row in maker.of(branches)] == ["c3"]
    assert maker.left_out == Counter({"nothing to train": 1, "a person who speaks where an answer is due": 1})


def test_without_a_memory_a_row_says_where_its_answers_are_and_is_decided_later():
    first, second, third = ChatRows("openai", taken=None).of(FORKED)
    assert [[place, message] for place, _, message in second["turns"]] == [[1, "a"], [3, "c"]]
    assert first["turns"][0] == second["turns"][0] == third["turns"][0]
    marked = train_new(second, "openai", [False, True])
    assert isinstance(marked, dict)
    assert trained([marked]) == [("c2", ["c"], [0, None])]
    assert "turns" not in marked
    assert trained([second]) == [("c2", ["a", "c"], [None, None])]
    assert train_new(second, "anthropic", [False, True]) == "an answer that is trained in another row"
    assert train_new(third, "openai", [False]) == "every answer is trained in another row"


@tool
def refund(order: str, amount: int) -> str:
    """Pay back."""
    return f"refunded {amount} for {order}"


def reply(messages: list[BaseMessage]) -> AIMessage:
    """Refund far too much, then say so."""
    if messages[-1].type != "human":
        return AIMessage("Done.")
    call = {"name": "refund", "args": {"order": "A1", "amount": 900}, "id": f"call-{len(messages)}"}
    return AIMessage("", tool_calls=[call])


def test_a_thread_with_an_edit_a_refusal_a_fork_and_a_question_left_open(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        slot = Slot.fixed("desk.think", ScriptedModel(reply), "desk.think@0001")
        graph = build_react(
            slot, [refund], ask=lambda name, args: "much" if args["amount"] > 100 else None, name="desk"
        )
        desk = graph.compile(checkpointer=store.saver)
        run_thread(desk, "t", "Refund A1.")
        answer_thread(desk, "t", [{"id": "call-1", "type": "edit", "args": {"order": "A1", "amount": 9}}])
        at = latest_checkpoint(store, "t")
        run_thread(desk, "t", "And again.")
        answer_thread(desk, "t", [{"id": "call-5", "type": "reject"}])
        fork_thread(desk, "t", at, change={"messages": [HumanMessage("Once more.", id="fork")]})
        continue_thread(desk, "t")
        branches = read_branches(store, "t", task="task-1", labels=[], renderer=None)
    maker = ChatRows("openai")
    first, *rest = maker.of(branches)
    chat = [
        (m["role"], m.get("weight"), m["content"] or m["tool_calls"][0]["function"]["arguments"])
        for m in first["record"]["messages"]
    ]
    assert chat == [
        ("user", None, "Refund A1."),
        ("assistant", None, '{"order": "A1", "amount": 9}'),
        ("tool", None, "refunded 9 for A1"),
        ("assistant", None, "Done."),
        ("user", None, "And again."),
        ("assistant", 0, '{"order": "A1", "amount": 900}'),
        ("tool", None, "a person refused this call"),
        ("assistant", None, "Done."),
    ]
    assert rest == []
    assert maker.left_out == {"every answer is trained in another row": 1}
    assert [one["function"]["name"] for one in first["record"]["tools"]] == ["refund"]
    about = {key: value for key, value in first.items() if key not in ("record", "messages", "checkpoint")}
    assert about == {
        "tokens": "text",
        "thread": "t",
        "nodes": ["think"],
        "versions": ["desk.think@0001"],
        "agent": None,
        "task": "task-1",
        "source": "unlabelled",
        "reward": None,
        "calls": 2,
        "tools": 1,
    }
