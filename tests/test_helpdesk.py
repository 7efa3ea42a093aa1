"""The helpdesk world: tasks, tools, check and expert."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.tools import ToolException
from threadmill.errors import UnknownSuite
from threadmill.training.worlds.helpdesk import TIERS, make_tasks
from threadmill.training.worlds.helpdesk.check import check
from threadmill.training.worlds.helpdesk.database import make_world, read_end_state, write_world
from threadmill.training.worlds.helpdesk.expert import demonstrate, mistakes_for
from threadmill.training.worlds.helpdesk.tasks import KINDS, Task, make_task
from threadmill.training.worlds.helpdesk.tools import TOOLS


def call(world: Path, name: str, **args: Any) -> str:
    tool = next(tool for tool in TOOLS if tool.name == name)
    return tool.invoke(args, {"configurable": {"world": str(world)}})


def open_world(folder: Path, split: str = "train", seed: int = 0) -> Path:
    write_world(make_world(split, seed), folder / "world.db")
    return folder / "world.db"


def solve(folder: Path, task: Task, mistake: str | None = None, seed: int = 0):
    world = open_world(folder, task.split, task.seed)
    messages = demonstrate(task, world, mistake=mistake, seed=seed)
    return messages, check(task, read_end_state(world), messages[-1].text)


def test_the_tools_work_on_the_database(tmp_path: Path) -> None:
    world = open_world(tmp_path)
    order = next(order for order in make_world("train", 0).orders if order.status == "pending")
    assert f"{order.item} {order.id}" in call(world, "find_orders", email=order.email)
    assert call(world, "get_order", order_id=order.id) == (
        f"{order.id} item {order.item} amount {order.amount} shipping {order.shipping} "
        f"status pending days {order.days} city {order.city}"
    )
    assert call(world, "change_address", order_id=order.id, city="Oslo") == f"{order.id} goes to Oslo"
    assert call(world, "cancel_order", order_id=order.id) == f"{order.id} is cancelled"
    assert call(world, "refund", order_id=order.id, amount=order.amount) == f"refunded {order.amount} for {order.id}"
    end = read_end_state(world)
    assert end.orders[order.id] == ("cancelled", "Oslo")
    assert end.refunds == ((order.id, order.amount),)


def test_the_shop_refuses_what_it_must(tmp_path: Path) -> None:
    world = open_world(tmp_path)
    orders = make_world("train", 0).orders
    gone = next(order for order in orders if order.status == "delivered")
    with pytest.raises(ToolException, match=f"error: {gone.id} is already delivered"):
        call(world, "cancel_order", order_id=gone.id)
    with pytest.raises(ToolException, match="is more than was paid"):
        call(world, "refund", order_id=gone.id, amount=gone.amount + gone.shipping + 1)
    with pytest.raises(ToolException, match="error: no order O999"):
        call(world, "get_order", order_id="O999")
    with pytest.raises(ToolException, match="no orders of nobody"):
        call(world, "find_orders", email="nobody@example.com")


def test_policy_notes_are_found_by_full_text_search(tmp_path: Path) -> None:
    world = open_world(tmp_path)
    months = make_world("train", 0).numbers["warranty"]
    assert call(world, "search_policy", query="how long is the warranty?") == f"the warranty lasts {months} months"
    assert call(world, "search_policy", query='refunds "OR" NEAR(') == "refunds are possible within 30 days"
    with pytest.raises(ToolException, match="no note about unicorns"):
        call(world, "search_policy", query="unicorns")


@pytest.mark.parametrize(
    ("expression", "value"), [("12 + 30", "42"), ("7 / 2", "3.5"), ("-(2 * 3) + 1", "-5"), ("1.5 + 1.5", "3")]
)
def test_the_calculator_works_out(tmp_path: Path, expression: str, value: str) -> None:
    assert call(tmp_path, "calculator", expression=expression) == value


@pytest.mark.parametrize("expression", ["__import__('os')", "2 ** 9", "1 / 0", "", "a + 1", "(" * 500])
def test_the_calculator_is_no_python(tmp_path: Path, expression: str) -> None:
    with pytest.raises(ToolException, match="cannot work out"):
        call(tmp_path, "calculator", expression=expression)


def test_schemas_name_what_a_model_gives_and_nothing_else() -> None:
    schemas = {tool.name: tool.tool_call_schema.model_json_schema() for tool in TOOLS}
    assert {name: list(schema["properties"]) for name, schema in schemas.items()} == {
        "find_orders": ["email"],
        "get_order": ["order_id"],
        "cancel_order": ["order_id"],
        "refund": ["order_id", "amount"],
        "change_address": ["order_id", "city"],
        "search_policy": ["query"],
        "calculator": ["expression"],
    }
    assert schemas["refund"]["properties"]["amount"]["exclusiveMinimum"] == 0


def test_splits_share_no_world_and_no_combination_of_names() -> None:
    customers = {
        split: {order.email for task in make_tasks(split, 60) for order in make_world(split, task.seed).orders}
        for split in ("train", "heldout")
    }
    assert customers["train"] & customers["heldout"] == set()
    assert len(customers["train"]) > 200


def test_tasks_are_the_same_for_the_same_seed_and_differ_for_another() -> None:
    assert make_tasks("train", 5, 1) == make_tasks("train", 5, 1)
    assert {task.text for task in make_tasks("train", 5, 1)} != {task.text for task in make_tasks("train", 5, 2)}
    assert [task.tier for task in make_tasks("train", 1)] == list(TIERS)


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(UnknownSuite, match="no split 'dev'; it has train and heldout"):
        make_tasks("dev", 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tier=st.sampled_from(TIERS), index=st.integers(0, 5000), split=st.sampled_from(("train", "heldout")))
def test_the_expert_solves_every_task_with_the_needed_calls(tmp_path: Path, tier: str, index: int, split: str) -> None:
    task = make_task(split, tier, index)
    messages, outcome = solve(tmp_path, task)
    assert outcome.reward == 1.0, outcome.failed
    made = [
        (call["name"], call["args"])
        for message in messages
        if isinstance(message, AIMessage)
        for call in message.tool_calls
    ]
    assert json.dumps(made) == json.dumps([list(needed) for needed in task.needed])


def test_parallel_tasks_make_their_calls_in_one_turn(tmp_path: Path) -> None:
    for index in range(len(KINDS["parallel"])):
        messages, _ = solve(tmp_path, make_task("train", "parallel", index))
        assert len([m for m in messages if isinstance(m, AIMessage) and len(m.tool_calls) == 2]) == 1


def test_claiming_without_acting_earns_partial_credit_only(tmp_path: Path) -> None:
    task = make_task("train", "parallel", 1)
    assert task.kind == "two_cancels"
    _, outcome = solve(tmp_path, task, "claim")
    first, second = task.statuses
    assert outcome.failed == (f"{first} is cancelled", f"{second} is cancelled")
    assert (outcome.met, outcome.conditions) == (3, 5)
    assert outcome.reward == pytest.approx(0.6)
    assert not outcome.success


def test_a_change_that_nobody_asked_for_is_noticed(tmp_path: Path) -> None:
    task = make_task("train", "simple", 0)
    world = open_world(tmp_path, task.split, task.seed)
    other = next(o for o in make_world(task.split, task.seed).orders if o.status == "pending")
    answer = demonstrate(task, world)[-1].text
    call(world, "change_address", order_id=other.id, city="Nowhere")
    assert check(task, read_end_state(world), answer).failed == ("nothing else changed",)


def test_mistakes_fail_more_often_than_not(tmp_path: Path) -> None:
    outcomes = [
        solve(tmp_path, task, mistake)[1].success
        for task in make_tasks("train", 12, 3)
        for mistake in mistakes_for(task)
    ]
    assert sum(outcomes) / len(outcomes) < 0.35
