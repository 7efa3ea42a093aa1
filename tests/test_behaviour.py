"""How an agent behaved, read from hand-made threads, and from real ones."""

import doctest
import gzip
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from threadmill.checkpoints.importers import tau_bench
from threadmill.training.branches import Branch, Outcome
from threadmill.training.selection import behaviour, conversation, facts, fingerprints, tool_names, words
from threadmill.training.selection.behaviour import BEHAVIOURS, behaviour_of, behaviours_of
from threadmill.training.selection.facts import Facts, facts_of
from threadmill.training.selection.fingerprints import fingerprint

TAU = Path(__file__).parent / "data" / "tau_airline.gpt-4o.sample.jsonl.gz"
HI = HumanMessage("Cancel my order.")
REPLY = HumanMessage("It is O123.")
DONE = AIMessage("Order O123 is cancelled.")


def call(*tools):
    return AIMessage("", tool_calls=[{"name": tool, "args": {}, "id": f"c{i}"} for i, tool in enumerate(tools)])


def result(
    text: str = "ok",
    *,
    id: str = "c0",
    kind: str | None = "result",
    status: Literal["success", "error"] = "success",
) -> ToolMessage:
    return ToolMessage(text, tool_call_id=id, status=status, additional_kwargs={"kind": kind} if kind else {})


def branch(*messages: Any, success: bool | None = True, reward: float | None = None, **known: Any) -> Branch:
    return Branch("t", "leaf", None, messages, "rendered", (), Outcome(success, reward, "check"), **known)


def shown(*messages, **outcome):
    """All behaviours, the one that counts first."""
    return facts_of(branch(*messages, **outcome)).behaviours


def test_the_outcome_alone():
    messages = (HI, call("cancel_order"), result(), DONE)
    assert shown(*messages) == ("success",)
    assert shown(*messages, success=False) == ("failure",)
    assert shown(*messages, success=None) == ("other",)
    assert shown(*messages, success=None, reward=1.0) == ("success",)
    assert shown(*messages, success=None, reward=0.0) == ("failure",)
    assert shown(*messages, success=None, reward=0.5) == ("other",)
    assert shown(*messages, success=False, reward=1.0) == ("failure",)


@pytest.mark.parametrize(
    "error",
    [
        result("no order O1", kind="failed", status="error"),
        result("order_id: 7 is not of type 'string'", kind="invalid", status="error"),
        result("there is no tool 'cancel'", kind="unknown_tool", status="error"),
        result("no result within 30 s", kind="timeout", status="error"),
        result("Error: no order", kind=None, status="error"),  # a thread that notes no kinds
    ],
)
def test_an_error_and_a_later_call_that_is_done_are_a_recovery(error: ToolMessage):
    messages = (HI, call("cancel_order"), error, call("cancel_order"), result(), DONE)
    assert shown(*messages) == ("recovery", "success")
    assert shown(*messages, success=False) == ("failure",)


def test_a_call_that_cannot_be_read_is_an_error_too():
    broken = {"name": "cancel_order", "args": "{", "id": "c9", "error": "no JSON", "type": "invalid_tool_call"}
    unread = AIMessage("", invalid_tool_calls=[broken])
    assert shown(HI, unread, call("cancel_order"), result(), DONE) == ("recovery", "success")
    answered = result("the call could not be read", id="c9", kind="invalid", status="error")
    assert shown(HI, unread, answered, call("cancel_order"), result(), DONE) == ("recovery", "success")
    assert facts_of(branch(HI, unread, answered, DONE)).errors == 1


def test_what_is_no_recovery():
    failed = result("no order", kind="failed", status="error")
    assert shown(HI, call("cancel_order"), failed, AIMessage("It is done.")) == ("success",)
    beside = (failed, result(id="c1"))  # both in one turn: nothing was learnt from the error
    assert shown(HI, call("cancel_order", "cancel_order"), *beside, DONE) == ("success",)
    refused = result("a person refused this call", kind="rejected", status="error")
    assert shown(HI, call("refund"), refused, call("cancel_order"), result(), DONE) == ("success",)
    assert shown(HI, call("cancel_order"), result(), call("refund"), failed, DONE) == ("success",)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't cancel an order that was shipped.",
        "I’m afraid that isn’t possible.",
        "It is too late to refund order O123.",
        "Basic economy tickets are not eligible for a refund.",
        "Das kann ich leider nicht stornieren.",
        "Je ne peux pas annuler cette commande.",
        "No es posible cancelar el pedido.",
        "Não posso cancelar o pedido.",
        "피자는 주문할 수 없습니다.",
        "キャンセルできません。",
        "我无法取消这个订单。",
    ],
)
def test_declining_without_having_acted_is_a_refusal(text: str):
    assert shown(HI, AIMessage(text)) == ("refusal", "success")
    assert shown(HI, call("get_order"), result("shipped"), AIMessage(text)) == ("refusal", "success")
    assert shown(HI, AIMessage(text), HumanMessage("Thanks."), AIMessage("Bye!")) == ("refusal", "success")
    assert shown(HI, call("cancel_order"), result(), AIMessage(text)) == ("success",)
    assert shown(HI, call("cancel_order"), AIMessage(text)) == ("success",)  # what became of the call is not known
    assert shown(HI, AIMessage(text), success=False) == ("failure",)
    assert shown(HI, AIMessage(text), success=None) == ("other",)


def test_a_call_that_failed_did_nothing_so_that_declining_after_it_is_a_refusal():
    failed = result("order O123 is shipped already", kind="failed", status="error")
    looked = (call("cancel_order"), failed, call("get_order"), result())
    assert shown(HI, *looked, AIMessage("I cannot cancel it.")) == ("refusal", "recovery", "success")


def test_handing_over_to_a_person_is_a_refusal():
    handed_over = (call("get_order"), result(), call("transfer_to_human_agents"), result("Transfer successful"))
    assert shown(HI, *handed_over) == ("refusal", "success")
    assert shown(HI, call("cancel_order"), result(), *handed_over) == ("success",)
    assert shown(HI, call("transfer_money"), result()) == ("success",)
    assert shown(HI, call("transfer_to_human_agents")) == ("refusal", "success")  # and the recording ends
    refused = result("a person refused this call", kind="rejected", status="error")
    assert shown(HI, call("transfer_to_human_agents"), refused, AIMessage("Done.")) == ("success",)


def test_an_answer_that_only_informs_is_no_refusal():
    assert shown(HI, call("get_order"), result(), AIMessage("Order O123 is shipped.")) == ("success",)


def test_a_question_before_anything_was_done_is_a_clarification():
    asked = AIMessage("What is the number of your order?")
    assert shown(HI, asked, REPLY, call("cancel_order"), result(), DONE) == ("clarification", "success")
    assert shown(HI, asked, REPLY, DONE) == ("clarification", "success")
    assert shown(HI, call("find_orders"), result(), asked, REPLY, call("cancel_order"), result(), DONE) == (
        "clarification",
        "success",
    )
    assert shown(HI, asked, REPLY, call("cancel_order"), result(), DONE, success=None) == ("clarification",)
    assert shown(HI, asked, REPLY, DONE, success=False) == ("failure", "clarification")


@pytest.mark.parametrize(
    "text", ["Which one? 🙂", "どの注文ですか？", "Please provide the number.", "번호를 알려주세요."]
)
def test_questions_in_other_forms(text: str):
    assert "clarification" in shown(HI, AIMessage(text), REPLY, call("cancel_order"), result(), DONE)


def test_what_is_no_clarification():
    more = AIMessage("Is there anything else?")
    assert shown(HI, AIMessage("Which one?")) == ("success",)  # nobody replied
    assert shown(HI, call("get_order"), result(), more, HumanMessage("No."), AIMessage("Bye!")) == ("success",)
    acted = (call("cancel_order"), result(), more, HumanMessage("Yes, O124 too."))
    assert shown(HI, *acted, call("cancel_order"), result(), DONE) == ("success",)
    canned = AIMessage("Hi! How can I help you?", response_metadata={"canned": True})
    assert shown(canned, HI, call("cancel_order"), result(), DONE) == ("success",)
    assert shown(HI, canned, REPLY, call("cancel_order"), result(), DONE) == ("success",)
    greeting = AIMessage("How can I help you?")  # before anybody has said anything
    assert shown(SystemMessage("Be kind."), greeting, HI, call("cancel_order"), result(), DONE) == ("success",)


def test_a_question_that_was_asked_by_a_call():
    by_a_person = result("O123", kind="responded")
    assert shown(HI, call("cancel_order"), by_a_person, DONE) == ("clarification", "success")
    assert shown(HI, call("ask_human"), result("O123"), DONE) == ("clarification", "success")


def test_the_order_in_which_behaviours_count():
    assert BEHAVIOURS == ("failure", "refusal", "recovery", "clarification", "success", "other")
    assert behaviour_of(["success", "recovery"]) == "recovery"
    assert behaviour_of([]) == "other"


def test_results_are_paired_by_id_or_else_by_place():
    failed, done = result("no", id="c1", kind="failed", status="error"), result(id="c0")
    crossed = facts_of(branch(HI, call("cancel_order", "get_order"), failed, done))
    assert (crossed.calls, crossed.acts, crossed.errors) == (1, 1, 1)
    reused = [result(id="x"), result("no", id="x", kind="failed", status="error")]
    in_order = facts_of(branch(HI, call("cancel_order", "get_order"), *reused))
    assert (in_order.calls, in_order.acts, in_order.errors) == (1, 1, 1)
    assert facts_of(branch(HI, call("cancel_order"))).calls == 0  # no result yet


def test_the_facts_of_a_branch():
    failed = result("no order", id="c1", kind="failed", status="error")
    unknown = result("no such tool", id="c2", kind="unknown_tool", status="error")
    messages = (HI, call("get_order", "refund", "fly"), result(), failed, unknown, call("cancel_order"), result(), DONE)
    found = facts_of(branch(*messages, reward=0.9, agent="shop", metadata={"tier": "hard"}))
    assert found == Facts(
        thread="t",
        checkpoint="leaf",
        agent="shop",
        task=None,
        tier="hard",
        success=True,
        reward=0.9,
        source="check",
        behaviours=("recovery", "success"),
        tools=("cancel_order", "get_order", "refund"),
        turns=3,
        calls=2,
        acts=1,
        errors=2,
        asked=fingerprint(["cancel my order"]),
        opening=fingerprint(["cancel my order"]).texts,
        split_key=found.split_key,
    )
    assert Facts.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert "order." not in json.dumps(found.to_dict())  # nothing of what was said is kept
    assert (found.to_row()["behaviour"], found.to_row()["acts"]) == ("recovery", 1)


def test_tier_and_split_key_of_a_helpdesk_task():
    trial = Branch("x", "leaf", "train-0-complex-0017", (HI,), "rendered", (), Outcome())
    assert (facts_of(trial).tier, facts_of(trial).split_key) == ("complex", "task train-0-complex-0017")


def test_the_opening_of_a_thread_in_which_nobody_spoke():
    unasked = branch(SystemMessage("Question: who?"), AIMessage("Ada."))
    assert facts_of(unasked).asked == fingerprint(["Question: who?"])
    assert facts_of(branch(AIMessage("Ada."))).split_key == "thread t"
    assert facts_of(branch(AIMessage("Hello!"), HI, DONE, REPLY)).asked == fingerprint([HI.text, REPLY.text])


def test_tau_bench_runs_acted_where_a_replay_changed_the_database():
    found = {}
    for line in gzip.decompress(TAU.read_bytes()).splitlines():
        row = json.loads(line)
        record = tau_bench.read(row, TAU)
        outcome = Outcome(row["reward"] == 1, row["reward"], "tau-bench")
        run = facts_of(Branch(record.thread, "leaf", record.task, record.messages, "rendered", (), outcome))
        found[row["task_id"], row["trial"]] = (run.behaviour, run.acts)
    assert {at: run for at, run in found.items() if run[0] != "failure"} == {
        (13, 1): ("refusal", 0),
        (13, 2): ("refusal", 0),
        (39, 0): ("refusal", 0),
        (43, 0): ("clarification", 1),
    }
    assert [at for at, (_, acts) in sorted(found.items()) if acts] == [
        (13, 0),
        (13, 3),
        (39, 1),
        (39, 2),
        (39, 3),
        (43, 0),
    ]


def test_every_branch_shows_something():
    assert behaviours_of(branch(success=None)) == {"other"}


@pytest.mark.parametrize("module", [behaviour, conversation, facts, fingerprints, tool_names, words])
def test_the_examples(module):
    assert doctest.testmod(module).failed == 0
