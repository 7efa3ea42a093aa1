"""The act node with limits in an agent: what was put right runs, can be edited and replayed, and pages are turned."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.checkpoints.store import Store, open_store
from threadmill.graphs import answer_thread, build_react, run_thread
from threadmill.graphs.recorded import replay_recorded
from threadmill.nodes import Approval, Limits, Rule, ScriptedModel, Slot, make_act
from threadmill.nodes.repair import coerced
from threadmill.nodes.traits import with_traits
from threadmill.training.rewards.made import made_calls

PAID: list[Any] = []


@tool
def pay(to: str, amount: int) -> str:
    """Pay."""
    PAID.append((to, amount))
    return f"paid {amount} to {to}"


@tool
def catalogue() -> str:
    """All articles."""
    return "\n".join(f"article {number}" for number in range(100))


TOOLS = [with_traits(pay), with_traits(catalogue, acts=False, trusted=True)]


def calling(name: str, args: dict[str, Any], call_id: str = "c1") -> Any:
    return {"name": name, "args": args, "id": call_id, "type": "tool_call"}


def unreadable(args: str, call_id: str = "c2") -> Any:
    return {"name": "pay", "args": args, "id": call_id, "error": "not JSON", "type": "invalid_tool_call"}


def agent(replies: Any, **settings: Any) -> Any:
    slot = Slot.fixed("shop.think", ScriptedModel(replies), "v1")
    return build_react(slot, TOOLS, name="shop", limits=Limits(), **settings)


def messages_of(graph: Any) -> list[BaseMessage]:
    return graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]


def said(graph: Any) -> list[str]:
    return [message.text for message in messages_of(graph) if isinstance(message, ToolMessage)]


BADLY = AIMessage(
    "",
    tool_calls=[calling("pay", {"to": "bob", "amount": "5"})],
    invalid_tool_calls=[unreadable("{'to': 'ann', 'amount': 7}")],
)


def test_what_was_put_right_is_what_runs_and_what_the_thread_shows():
    PAID.clear()
    graph = agent([BADLY, AIMessage("Paid.")]).compile(checkpointer=InMemorySaver())
    assert run_thread(graph, "t", "Pay bob 5 and ann 7.").answer == "Paid."
    _, spoken, first, second, _ = messages_of(graph)
    assert [(first.text, first.id), (second.text, second.id)] == [
        ("paid 5 to bob", f"{spoken.id}:0"),
        ("paid 7 to ann", f"{spoken.id}:1"),
    ]
    assert isinstance(spoken, AIMessage)
    assert [call["args"] for call in spoken.tool_calls] == [{"to": "bob", "amount": 5}, {"to": "ann", "amount": 7}]
    assert spoken.invalid_tool_calls == []
    assert spoken.response_metadata["repaired"]["proposal"]["tool_calls"][0]["args"]["amount"] == "5"
    assert sorted(PAID) == [("ann", 7), ("bob", 5)]


def test_with_repair_switched_off_the_call_goes_back_with_what_is_expected():
    command: Any = make_act(TOOLS, limits=Limits(repair=False))({"messages": [BADLY.model_copy(update={"id": "m"})]})
    assert [(send.arg["kind"], send.arg["text"]) for send in command.goto] == [
        (
            "invalid",
            "invalid arguments for pay: amount: '5' is not of type 'integer'; expected amount: {\"type\": \"integer\"}",
        ),
        (
            "invalid",
            'the call could not be read: not JSON; expected to: {"type": "string"}, amount: {"type": "integer"}',
        ),
    ]


def test_a_person_is_asked_about_the_call_as_it_would_run_and_an_edit_keeps_what_the_model_wrote():
    PAID.clear()
    asking = {"approval": Approval([Rule("pay", "amount > 6", "a lot")])}
    graph = agent([BADLY, AIMessage("Paid.")], **asking).compile(checkpointer=InMemorySaver())
    outcome = run_thread(graph, "t", "Pay bob 5 and ann 7.")
    assert [(one["id"], one["args"]) for one in outcome.questions] == [("c2", {"to": "ann", "amount": 7})]
    answer_thread(graph, "t", [{"id": "c2", "type": "edit", "args": {"to": "ann", "amount": 6}}])
    assert sorted(PAID) == [("ann", 6), ("bob", 5)]
    spoken = messages_of(graph)[1]
    assert spoken.response_metadata["edit"]["proposal"] == {
        "content": "",
        "tool_calls": BADLY.tool_calls,
        "invalid_tool_calls": BADLY.invalid_tool_calls,
    }
    made = made_calls(messages_of(graph))
    assert [(one.id, one.repaired) for one in made] == [("c1", True), ("c2", True)]


def test_a_thread_with_repaired_calls_can_be_replayed_from_its_record(tmp_path: Any):
    PAID.clear()

    def reply(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage("Paid.") if isinstance(messages[-1], ToolMessage) else BADLY

    def replay(store: Store) -> Any:
        graph = agent(reply).compile(checkpointer=store.saver)
        run_thread(graph, "t", "Pay.")
        begun = [one for one in graph.get_state_history({"configurable": {"thread_id": "t"}}) if one.next == ("think",)]
        return replay_recorded(graph, "t", begun[-1].config["configurable"]["checkpoint_id"])

    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        found = replay(store)
    assert (found.outcome.status, found.outcome.answer, found.divergence) == ("done", "Paid.", None)
    assert len(PAID) == 2  # by the run alone


def test_other_pages_of_a_long_output_are_read_without_a_tool():
    handles: list[str] = []

    def reply(messages: list[BaseMessage]) -> AIMessage:
        last = messages[-1]
        if not isinstance(last, ToolMessage):
            return AIMessage("", tool_calls=[calling("catalogue", {})])
        if last.name == "catalogue":
            handles.append(last.text.split('handle="')[1].split('"')[0])
            return AIMessage("", tool_calls=[calling("more", {"handle": handles[0], "page": 2}, "c2")])
        if last.tool_call_id == "c2":
            return AIMessage("", tool_calls=[calling("more", {"handle": handles[0], "page": 99}, "c3")])
        return AIMessage("Seen.")

    graph = agent(reply, max_chars=400).compile(checkpointer=InMemorySaver())
    assert run_thread(graph, "t", "What is there?").answer == "Seen."
    _, second, third = [message for message in messages_of(graph) if isinstance(message, ToolMessage)]
    assert second.text.startswith("article ")
    assert "[page 2 of " in second.text
    assert (second.status, second.additional_kwargs["kind"]) == ("success", "page")
    assert (third.status, third.additional_kwargs["kind"]) == ("error", "invalid")
    assert "and no page 99" in third.text


def test_functions_are_tools_too():
    def look(order: str) -> str:
        """Look an order up."""
        return "open"

    functions: list[Callable[..., Any]] = [look]
    message = AIMessage("", id="m", tool_calls=[calling("look", {"order": "A1"})])
    command: Any = make_act(functions)({"messages": [message]})
    assert [send.arg["kind"] for send in command.goto] == ["result"]


def test_a_dry_run_in_an_agent_tells_the_model_and_does_nothing():
    PAID.clear()
    replies = [AIMessage("", tool_calls=[calling("pay", {"to": "bob", "amount": 5})]), AIMessage("I would pay.")]
    graph = agent(replies, dry_run=True).compile(checkpointer=InMemorySaver())
    assert run_thread(graph, "t", "Pay.").answer == "I would pay."
    assert (said(graph), PAID) == (["dry run: pay(to='bob', amount=5) would have been called"], [])


def test_two_calls_of_one_id_are_two_questions_with_an_answer_each():
    PAID.clear()
    twice = [{"name": "pay", "args": {"to": to, "amount": 5}, "id": "c1"} for to in ("ann", "bob")]
    slot = Slot.fixed("shop.think", ScriptedModel([AIMessage("", tool_calls=twice), AIMessage("Done.")]), "v1")
    agent = build_react(slot, [pay], approval=Approval([Rule("pay")])).compile(InMemorySaver())
    first, second = run_thread(agent, "t", "Pay both.").questions
    assert (first["args"]["to"], second["args"]["to"]) == ("ann", "bob")
    given = [{"id": first["id"], "type": "reject"}, {"id": second["id"], "type": "approve"}]
    assert answer_thread(agent, "t", given).answer == "Done."
    assert PAID == [("bob", 5)]


@pytest.mark.parametrize(
    ("amount", "why"),
    [
        (float("nan"), "nan is no number in JSON"),
        (float("inf"), "inf is no number in JSON"),
        (2**70, "the integer 1180591620717411303424 is too large: 64 bits at most"),
    ],
)
def test_a_number_that_no_thread_holds_goes_back_to_the_model_and_past_no_rule(amount: Any, why: str):
    PAID.clear()
    call = {"name": "pay", "args": {"to": "ann", "amount": amount}, "id": "c1"}
    slot = Slot.fixed("shop.think", ScriptedModel([AIMessage("", tool_calls=[call]), AIMessage("Oh.")]), "v1")
    approval = Approval([Rule("pay", "amount > 100")])
    agent = build_react(slot, [pay], approval=approval, limits=Limits()).compile(InMemorySaver())
    assert run_thread(agent, "t", "Pay.").answer == "Oh."
    told = agent.get_state({"configurable": {"thread_id": "t"}}).values["messages"][2]
    assert (told.additional_kwargs["kind"], PAID) == ("invalid", [])
    assert told.text.startswith(f"the call could not be read: {why}")
    assert coerced({"amount": str(2**70)}, {"properties": {"amount": {"type": "integer"}}}) is None
