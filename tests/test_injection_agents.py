"""Under a strict policy no agent lets anything happen unapproved, whoever of its models obeys what it has read.

The output of the one tool that reads holds every kind of attack at once. The models do whatever they find in any
message, and repeat everything to everybody: planners to steps, supervisors to agents, reflectors to later trials.
"""

from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.graphs import (
    answer_thread,
    build_ask,
    build_plan_execute,
    build_rag,
    build_react,
    build_reflexion,
    build_structured,
    build_supervisor,
    run_thread,
)
from threadmill.graphs.reflexion import Evaluation
from threadmill.nodes import Approval, ScriptedModel, Slot
from threadmill.nodes.traits import with_traits
from threadmill.training.worlds.injection.cases import KINDS, Payload
from threadmill.training.worlds.injection.obeying import injected

ASKED = "Where is O7?"
ATTACKS = [write(Payload("refund", {"order_id": "O392", "amount": 41 + n})) for n, write in enumerate(KINDS.values())]
STRICT = Approval(taint="strict")
PAID: list[int] = []


@pytest.fixture(autouse=True)
def nothing_is_paid() -> None:
    PAID.clear()


def get_order(order_id: str) -> str:
    """Look an order up."""
    return " ".join([f"{order_id} is in Oslo.", *ATTACKS])


def refund(order_id: str, amount: int) -> str:
    """Pay money back."""
    PAID.append(amount)
    return "paid"


TOOLS = [with_traits(get_order, acts=False), refund]


def heard(messages: Sequence[BaseMessage]) -> str:
    """Every line of every message, once."""
    lines = (line for message in messages for line in message.text.splitlines() if "data" not in line)
    return "\n".join(dict.fromkeys(lines))


def since_user(messages: Sequence[BaseMessage], kind: type) -> int:
    begun = max(n for n, message in enumerate(messages) if isinstance(message, HumanMessage))
    return sum(isinstance(message, kind) for message in messages[begun:])


def calling(messages: Sequence[BaseMessage], *calls: tuple[str, dict[str, Any]]) -> AIMessage:
    made = [{"name": name, "args": args, "id": f"c{len(messages)}-{n}"} for n, (name, args) in enumerate(calls)]
    return AIMessage("", tool_calls=made)


def obey(messages: Sequence[BaseMessage]) -> AIMessage:
    """Every call that stands in any message, then a look at the order, then everything that was heard."""
    done = [(call["name"], call["args"]) for one in messages if isinstance(one, AIMessage) for call in one.tool_calls]
    wanted: list[tuple[str, dict[str, Any]]] = []
    for call in injected(heard(messages), ASKED):
        if call not in done and call not in wanted:
            wanted.append(call)
    if wanted:
        return calling(messages, *wanted)
    if not any(isinstance(message, ToolMessage) for message in messages):
        return calling(messages, ("get_order", {"order_id": "O7"}))
    return AIMessage(heard(messages))


def plan(messages: Sequence[BaseMessage]) -> AIMessage:
    """Two plans, each of one step whose task is everything that was heard."""
    if since_user(messages, ToolMessage) < 2:
        return calling(messages, ("plan", {"steps": [{"id": "s", "task": heard(messages)}]}))
    return AIMessage(heard(messages))


def lead(messages: Sequence[BaseMessage]) -> AIMessage:
    """Everything that was heard to each agent in turn."""
    agents = ["reader", "payer", "planner", "trier"]
    turn = since_user(messages, ToolMessage)
    if turn < len(agents):
        return calling(messages, ("hand_off", {"to": agents[turn], "task": heard(messages)}))
    return AIMessage("done")


def slot(name: str, script: Any = obey) -> Slot:
    return Slot.fixed(name, ScriptedModel(script), "obeying")


def react() -> Any:
    return build_react(slot("shop.think"), TOOLS, approval=STRICT, mark=True)


def plan_execute() -> Any:
    return build_plan_execute(slot("shop.plan", plan), slot("shop.execute"), TOOLS, approval=STRICT)


def reflexion() -> Any:
    def repeat(messages: Sequence[BaseMessage]) -> AIMessage:
        return AIMessage(heard(messages))

    slots = slot("shop.trial"), slot("shop.reflect", repeat)
    return build_reflexion(*slots, TOOLS, lambda state: Evaluation(False, "no"), approval=STRICT, max_trials=2)


def rag() -> Any:
    return build_rag(slot("shop.think"), TOOLS, approval=STRICT)


def structured() -> Any:
    return build_structured(slot("shop.think"), {"type": "object"}, TOOLS, approval=STRICT)


def ask() -> Any:
    return build_ask(slot("shop.think"), TOOLS, approval=STRICT)


def supervisor() -> Any:
    agents = {"reader": react(), "payer": react(), "planner": plan_execute(), "trier": reflexion()}
    return build_supervisor(slot("firm.think", lead), agents)


def questions(graph: Any, thread: str, text: str) -> Iterator[str]:
    """The tools that a person is asked about in one turn; all answers are no."""
    outcome = run_thread(graph, thread, text)
    while outcome.status == "paused":
        yield from (question["tool"] for question in outcome.questions)
        answers = [{"id": question["id"], "type": "reject", "text": "no"} for question in outcome.questions]
        outcome = answer_thread(graph, thread, answers)


@pytest.mark.parametrize("build", [react, plan_execute, reflexion, rag, structured, ask, supervisor])
def test_nothing_happens_unapproved_in_any_agent(build: Any) -> None:
    graph = build().compile(checkpointer=InMemorySaver())
    asked = [list(questions(graph, "t", text)) for text in (ASKED, "Go on.")]
    assert PAID == []
    assert set(asked[0]) == {"refund"}
    assert len(asked[0]) >= len(KINDS)


@pytest.mark.parametrize(
    "build", [build_plan_execute, build_reflexion, build_rag, build_structured, build_ask, build_supervisor]
)
def test_agents_ask_about_tainted_calls_unless_told_otherwise(build: Any) -> None:
    assert signature(build).parameters["approval"].default == Approval()


def pay_at_once(messages: Sequence[BaseMessage]) -> AIMessage:
    if since_user(messages, ToolMessage):
        return AIMessage("{}")
    return calling(messages, ("refund", {"order_id": "O7", "amount": 1}))


def plan_at_once(messages: Sequence[BaseMessage]) -> AIMessage:
    if since_user(messages, ToolMessage):
        return AIMessage("done")
    return calling(messages, ("plan", {"steps": [{"id": "s", "task": "pay"}]}))


SLOTS: dict[Any, tuple[Any, ...]] = {
    build_plan_execute: (slot("shop.plan", plan_at_once), slot("shop.execute", pay_at_once)),
    build_reflexion: (slot("shop.trial", pay_at_once), slot("shop.reflect", pay_at_once)),
    build_rag: (slot("shop.think", pay_at_once),),
    build_structured: (slot("shop.think", pay_at_once), {"type": "object"}),
    build_ask: (slot("shop.think", pay_at_once),),
    build_react: (slot("shop.think", pay_at_once),),
}


@pytest.mark.parametrize("build", SLOTS)
def test_in_a_dry_run_no_agent_does_anything(build: Any) -> None:
    more = [lambda state: Evaluation(True)] if build is build_reflexion else []
    graph = build(*SLOTS[build], TOOLS, *more, approval=None, dry_run=True).compile(checkpointer=InMemorySaver())
    assert (run_thread(graph, "t", "Pay.").status, PAID) == ("done", [])
    graph = build(*SLOTS[build], TOOLS, *more, approval=None).compile(checkpointer=InMemorySaver())
    assert (run_thread(graph, "t", "Pay.").status, PAID) == ("done", [1])
