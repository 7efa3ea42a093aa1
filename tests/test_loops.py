"""Calls that lead nowhere, budgets, and how a run ends that goes too far."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.errors import BadConfig
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import Limits, ScriptedModel, Slot, make_act
from threadmill.nodes.limits import is_over
from threadmill.nodes.marking import mark_as_data, mark_content
from threadmill.nodes.traits import with_traits

RUNS: list[str] = []


@tool
def look(order: str) -> str:
    """Look an order up."""
    RUNS.append(order)
    return f"{order} is open"


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


TOOLS = [with_traits(look, acts=False), with_traits(pay)]


def calling(name: str, args: dict[str, Any], call_id: str = "c1") -> Any:
    return {"name": name, "args": args, "id": call_id, "type": "tool_call"}


# One round: the model's calls and what came back.
def rounds(*given: tuple[Any, str, str]) -> list[BaseMessage]:
    messages: list[BaseMessage] = []
    for number, (call, text, kind) in enumerate(given):
        spoken = AIMessage("", id=f"m{number}", tool_calls=[call])
        answer = ToolMessage(text, tool_call_id=call["id"], id=f"m{number}:0", additional_kwargs={"kind": kind})
        messages += [spoken, answer]
    return messages


# What becomes of ``calls`` after ``before``.
def decided(limits: Limits, before: list[BaseMessage], *calls: Any, **about: Any) -> list[tuple[str, str]]:
    message = AIMessage("", id="now", tool_calls=list(calls), **about)
    command: Any = make_act(TOOLS, limits=limits)({"messages": [HumanMessage("Go."), *before, message]})
    return [(send.arg["kind"], send.arg["text"]) for send in command.goto]


A1 = calling("look", {"order": "A1"})
OPEN = (A1, "A1 is open", "result")


def test_the_same_call_with_the_same_observation_is_not_run_a_fourth_time():
    assert decided(Limits(), rounds(OPEN, OPEN), A1) == [("result", "")]
    ((kind, text),) = decided(Limits(), rounds(OPEN, OPEN, OPEN), A1)
    assert kind == "looping"
    assert text.startswith("not run: this call was made 3 times and gave the same each time; do something else")
    assert decided(Limits(repeats=1), rounds(OPEN), A1)[0][0] == "looping"


def test_other_arguments_another_observation_or_another_turn_is_no_loop():
    a2 = calling("look", {"order": "A2"})
    assert decided(Limits(), rounds(OPEN, OPEN, OPEN), a2) == [("result", "")]
    changed = rounds(OPEN, OPEN, (A1, "A1 is paid", "result"))
    assert decided(Limits(), changed, A1) == [("result", "")]
    earlier = [*rounds(OPEN, OPEN, OPEN), HumanMessage("Again.")]
    assert decided(Limits(), earlier, A1) == [("result", "")]


def test_a_loop_of_two_calls_is_one_and_so_is_one_of_failures_or_marked_output():
    a2 = calling("look", {"order": "A2"})
    between = [OPEN, (a2, "A2 is open", "result")] * 3
    assert decided(Limits(), rounds(*between), A1)[0][0] == "looping"
    failing = (A1, "no connection", "failed")
    assert decided(Limits(), rounds(failing, failing, failing), A1)[0][0] == "looping"
    marked = [(A1, mark_as_data("A1 is open", f"key {number}"), "result") for number in range(3)]
    assert decided(Limits(), rounds(*marked), A1)[0][0] == "looping"
    in_blocks: Any = [(A1, mark_content(["A1", "is open"], f"key {number}"), "result") for number in range(3)]
    assert decided(Limits(), rounds(*in_blocks), A1)[0][0] == "looping"


def test_a_loop_is_seen_where_the_model_gives_several_calls_one_id():
    both = [A1, calling("look", {"order": "A2"})]
    before: list[BaseMessage] = []
    for number in range(3):
        answers = [
            ToolMessage(
                f"{order} is open", tool_call_id="c1", id=f"m{number}:{place}", additional_kwargs={"kind": "result"}
            )
            for place, order in enumerate(("A1", "A2"))
        ]
        before += [AIMessage("", id=f"m{number}", tool_calls=both), *answers]
    assert [kind for kind, _ in decided(Limits(), before, *both)] == ["looping", "looping"]


def test_the_same_call_twice_in_one_message_acts_once():
    twice = [calling("pay", {"amount": 5}, "c1"), calling("pay", {"amount": 5}, "c2")]
    found = decided(Limits(), [], *twice)
    assert [kind for kind, _ in found] == ["result", "duplicate"]
    assert "if it is meant to be made twice, make it again" in found[1][1]
    reading = [calling("look", {"order": "A1"}, "c1"), calling("look", {"order": "A1"}, "c2")]
    assert [kind for kind, _ in decided(Limits(), [], *reading)] == ["result", "result"]


def test_after_three_rounds_of_bad_calls_the_next_ends_the_run():
    bad = calling("pay", {"amount": "five"})
    wrong = (bad, "invalid arguments for pay: amount: 'five' is not of type 'integer'", "invalid")
    unknown = (calling("pya", {}), "there is no tool 'pya'", "unknown_tool")
    ((kind, text),) = decided(Limits(), rounds(wrong, unknown), bad)
    assert (kind, text) == (
        "invalid",
        "invalid arguments for pay: amount: 'five' is not of type 'integer'; expected amount: {\"type\": \"integer\"}",
    )
    ((kind, text),) = decided(Limits(), rounds(wrong, unknown, wrong), bad)
    assert kind == "stopped"
    assert text.startswith("the run was stopped: 4 rounds in a row proposed no call that could be run; invalid")
    assert decided(Limits(), rounds(wrong, OPEN, wrong, wrong), bad)[0][0] == "invalid"  # not in a row
    assert decided(Limits(), rounds(wrong, wrong, wrong), A1) == [("result", "")]
    assert decided(Limits(invalid=0), [], bad)[0][0] == "stopped"


def test_one_good_call_keeps_a_round_from_being_in_vain():
    bad = calling("pay", {"amount": "five"}, "c2")
    wrong = (bad, "invalid", "invalid")
    assert [kind for kind, _ in decided(Limits(), rounds(wrong, wrong, wrong), A1, bad)] == ["result", "invalid"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(steps=1), "all 1 steps of this run are made"),
        (Limits(calls=1), "all 1 tool calls of this run are made"),
        (Limits(tokens=100), "101 of the 100 tokens of this run are spent"),
        (
            Limits(cost=0.001, price_in=10, price_out=1000),
            "0.002 of the cost of 0.001 that this run may have are spent",
        ),
        (Limits(seconds=2), "2.5 of the 2 seconds of this run are spent"),
    ],
)
def test_who_spends_a_budget_is_told_to_answer_and_then_stopped(limits: Limits, words: str):
    spoken, answer = rounds(OPEN)
    used: Any = {"usage_metadata": {"input_tokens": 100, "output_tokens": 1, "total_tokens": 101}}
    before = [
        spoken.model_copy(update={"response_metadata": {"seconds": 2.0}}),
        answer.model_copy(update={"additional_kwargs": {"kind": "result", "duration_s": 0.5}}),
    ]
    a2 = calling("look", {"order": "A2"})
    ((kind, text),) = decided(limits, before, a2, **used)
    assert kind == "over_budget"
    assert words in text
    told = [*before, *rounds((a2, text, "over_budget"))]
    ((kind, text),) = decided(limits, told, a2, **used)
    assert kind == "stopped"
    assert decided(limits, [*told, HumanMessage("Go on.")], a2) == [("result", "")]


def test_only_as_many_calls_are_run_as_are_left():
    three = [calling("look", {"order": f"B{n}"}, f"c{n}") for n in range(3)]
    found = decided(Limits(calls=3), rounds(OPEN), *three)
    assert [kind for kind, _ in found] == ["result", "result", "over_budget"]
    assert found[2][1] == "not run: all 3 tool calls of this run are made; answer with what is known"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"steps": -1}, "the limit steps is -1; give a number from 0 on"),
        ({"cost": 2.0}, "the cost is limited to 2, but there is no price"),
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any], complaint: str):
    with pytest.raises(BadConfig, match=complaint):
        Limits(**wrong)


def test_without_limits_nothing_is_stopped():
    before = [HumanMessage("Go."), *rounds(*[OPEN] * 9), AIMessage("", id="now", tool_calls=[A1])]
    command: Any = make_act(TOOLS)({"messages": before})
    assert [send.arg["kind"] for send in command.goto] == ["result"]


def test_a_run_that_is_stopped_ends_with_every_call_answered_and_the_next_turn_works():
    RUNS.clear()

    def stubborn(messages: list[BaseMessage]) -> AIMessage:
        again = AIMessage("", tool_calls=[calling("look", {"order": "A1"})])
        return AIMessage("It is open.") if messages[-1].text == "Well?" else again

    slot = Slot.fixed("shop.think", ScriptedModel(stubborn), "v1")
    graph = build_react(slot, TOOLS, name="shop", max_calls=100, limits=Limits(invalid=2))
    app = graph.compile(checkpointer=InMemorySaver())
    outcome = run_thread(app, "t", "Where is A1?")
    messages = app.get_state({"configurable": {"thread_id": "t"}}).values["messages"]
    kinds = [message.additional_kwargs["kind"] for message in messages if isinstance(message, ToolMessage)]
    assert kinds == ["result", "result", "result", "looping", "looping", "stopped"]
    assert (outcome.status, outcome.answer, RUNS, is_over(messages)) == ("done", None, ["A1"] * 3, True)
    assert run_thread(app, "t", "Well?").answer == "It is open."
