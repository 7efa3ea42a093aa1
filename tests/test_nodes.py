"""Each node alone: a function of the state that returns only what changed."""

from time import sleep
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException, tool
from langgraph.runtime import ExecutionInfo, Runtime
from pydantic import Field
from threadmill.nodes import ScriptedModel, Slot, make_act, make_observe, make_think, make_tool

KEYED = Runtime(execution_info=ExecutionInfo("checkpoint", "", "task-1"))


@tool
def refund(order_id: str, amount: Annotated[int, Field(gt=0)], config: RunnableConfig) -> str:
    """Pay back."""
    if amount > 500:
        raise ToolException("more than was paid")
    return f"refunded {amount} with {config['configurable']['idempotency_key']}"


@tool
def broken() -> str:
    """Fail."""
    raise ZeroDivisionError("by nought")


@tool
def slow() -> str:
    """Take its time."""
    sleep(0.5)
    return "at last"


@tool
def count() -> dict[str, int]:
    """Count."""
    return {"orders": 2}


TOOLS = [refund, broken, slow, count]


def calling(name: str, args: dict[str, Any], call_id: str = "c1") -> dict[str, Any]:
    return {"name": name, "args": args, "id": call_id, "type": "tool_call"}


def proposing(*calls: dict[str, Any], **more: Any) -> dict[str, list[BaseMessage]]:
    return {"messages": [HumanMessage("go"), AIMessage("", id="ai", tool_calls=list(calls), **more)]}


def run_tool(name: str, args: dict[str, Any], timeout_s: float | None = 5) -> ToolMessage:
    call = {"id": "ai:0", "call": calling(name, args), "kind": "result", "text": ""}
    return make_tool(TOOLS, timeout_s)(call, {"configurable": {}}, KEYED)["messages"][0]


# What act sends on for each call: its kind and text.
def decided(state: dict[str, Any]) -> list[tuple[str, str]]:
    command = make_act(TOOLS)(state)
    assert [send.node for send in command.goto] == ["tool"] * len(command.goto)
    return [(send.arg["kind"], send.arg["text"]) for send in command.goto]


def test_observe_fixes_the_versions_when_a_human_spoke_and_leaves_them_alone_otherwise():
    observe = make_observe([Slot("desk.think", lambda: "v2", lambda _: ScriptedModel([]))])
    human, answered = HumanMessage("hi"), ToolMessage("ok", tool_call_id="c1")
    old = {"desk.think": "v1"}
    assert observe({"messages": [human], "versions": old}, {}) == {"versions": {"desk.think": "v2"}}
    assert observe({"messages": [human, answered], "versions": old}, {}) == {}
    assert observe({"messages": [human, answered]}, {}) == {"versions": {"desk.think": "v2"}}


def test_think_asks_the_version_of_the_run_and_signs_the_answer():
    slot = Slot("desk.think", lambda: "v2", lambda version: ScriptedModel(lambda _: AIMessage(f"I am {version}")))
    think = make_think(slot, [])
    (answer,) = think({"messages": [HumanMessage("who?")], "versions": {"desk.think": "v1"}}, {})["messages"]
    assert answer.text == "I am v1"
    seconds = answer.response_metadata.pop("seconds")
    assert answer.response_metadata == {"node": "think", "version": "v1"}
    assert 0 < seconds < 1
    assert slot.loaded == ("v1",)


def test_think_puts_the_system_prompt_first_unless_the_thread_has_one():
    seen: list[list[str]] = []

    def reply(messages: list[BaseMessage]) -> AIMessage:
        seen.append([message.text for message in messages])
        return AIMessage("ok")

    think = make_think(Slot.fixed("desk.think", ScriptedModel(reply), "v1"), [], "be kind")
    versions = {"desk.think": "v1"}
    think({"messages": [HumanMessage("hi")], "versions": versions}, {})
    think({"messages": [SystemMessage("be brief"), HumanMessage("hi")], "versions": versions}, {})
    assert seen == [["be kind", "hi"], ["be brief", "hi"]]


def test_every_call_of_a_thread_gets_a_seed_of_its_own():
    asked: list[dict[str, Any]] = []

    class Noting(ScriptedModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            asked.append(kwargs)
            return super()._generate(messages, stop, run_manager, **kwargs)

    think = make_think(Slot.fixed("desk.think", Noting(lambda _: AIMessage("ok")), "v1"), [])
    versions = {"desk.think": "v1"}
    config: RunnableConfig = {"configurable": {"seed": 40, "temperature": 0.7}}
    think({"messages": [HumanMessage("a")], "versions": versions}, config)
    think({"messages": [HumanMessage("a"), AIMessage("b"), HumanMessage("c")], "versions": versions}, config)
    think({"messages": [HumanMessage("a")], "versions": versions}, {})
    assert asked == [{"seed": 40, "temperature": 0.7}, {"seed": 41, "temperature": 0.7}, {}]


def test_act_says_of_every_call_whether_it_can_run():
    fine = calling("refund", {"order_id": "A1", "amount": 3})
    assert decided(proposing(fine, calling("refnd", {}), calling("refund", {"order_id": "A1", "amount": "x"}))) == [
        ("result", ""),
        ("unknown_tool", "there is no tool 'refnd'; did you mean refund?"),
        ("invalid", "invalid arguments for refund: amount: 'x' is not of type 'integer'"),
    ]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ({"order_id": "A1"}, "'amount' is a required property"),
        ({"order_id": "A1", "amount": 0}, "amount: 0 is less than or equal to the minimum of 0"),
        (
            {"order_id": "A1", "amount": 1, "config": {}},
            "Additional properties are not allowed ('config' was unexpected)",
        ),
    ],
)
def test_arguments_must_fit_the_schema_that_the_model_was_shown(args: dict[str, Any], complaint: str):
    assert decided(proposing(calling("refund", args))) == [("invalid", f"invalid arguments for refund: {complaint}")]


def test_a_tool_name_like_no_other_gets_the_list_and_an_unreadable_call_its_reason():
    broken_call = {"name": "refund", "args": "{", "id": "c2", "error": "not JSON"}
    state = proposing(calling("xyz", {}), invalid_tool_calls=[broken_call])
    assert decided(state) == [
        ("unknown_tool", "there is no tool 'xyz'; there are refund, broken, slow, count"),
        ("invalid", "the call could not be read: not JSON"),
    ]


def test_the_tool_node_notes_how_long_a_call_took_and_gives_the_tool_an_idempotency_key():
    answer = run_tool("refund", {"order_id": "A1", "amount": 3})
    again = run_tool("refund", {"order_id": "A1", "amount": 3})
    assert answer.text.startswith("refunded 3 with ")
    assert (answer.text, answer.status, answer.id) == (again.text, "success", "ai:0")
    assert answer.additional_kwargs["kind"] == "result"
    assert 0 < answer.additional_kwargs["duration_s"] < 1


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        ("refund", {"order_id": "A1", "amount": 501}, "more than was paid"),
        ("broken", {}, "ZeroDivisionError: by nought"),
    ],
)
@pytest.mark.parametrize("timeout_s", [5, None])
def test_a_failing_tool_is_an_observation(name: str, args: dict[str, Any], text: str, timeout_s: float | None):
    answer = run_tool(name, args, timeout_s)
    assert (answer.text, answer.status, answer.additional_kwargs["kind"]) == (text, "error", "failed")


def test_a_tool_that_takes_too_long_is_left_behind():
    answer = run_tool("slow", {}, timeout_s=0.05)
    assert (answer.text, answer.status) == (
        "slow gave no result within 0.05 s; it may have been done all the same: look before you call it again",
        "error",
    )
    assert answer.additional_kwargs["kind"] == "timeout"
    assert answer.additional_kwargs["duration_s"] < 0.4


def test_a_result_that_is_no_text_is_written_as_json():
    assert run_tool("count", {}).text == '{"orders": 2}'
