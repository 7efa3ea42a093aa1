"""Plans as a model writes them: a call of the tool ``plan`` with steps and what each of them waits for. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool
from pydantic import BaseModel, Field

from ..nodes.calls import Call, args_schema, make_check, sort_calls


class Step(BaseModel):
    """One step of a plan."""

    id: str = Field(description="A short name, such as s1.", min_length=1)
    task: str = Field(description="What to find out or do, complete in itself.", min_length=1)
    after: list[str] = Field(
        default_factory=list, description="Ids of the steps whose results it needs; the others run at the same time."
    )


class Plan(BaseModel):
    """Steps towards the answer."""

    steps: list[Step] = Field(min_length=1)


@tool("plan", args_schema=Plan)
def plan_tool(steps: list[Step]) -> str:
    """Have these steps done. Their results come back together; then answer, or plan what is still missing."""
    raise AssertionError("the graph runs the steps")


PLAN_TOOL: BaseTool = plan_tool
_CHECKS = {PLAN_TOOL.name: make_check(args_schema(PLAN_TOOL))}


def read_plans(message: AIMessage) -> list[Call]:
    """The plans that ``message`` calls for, each with what is wrong with it, if anything is."""
    return [_without_faults(call) for call in sort_calls(message, _CHECKS)]


def steps_of(call: Call) -> list[Step]:
    """The steps of a plan without faults."""
    return Plan.model_validate(call["call"]["args"]).steps


def faults(steps: Sequence[Step]) -> str:
    """What is wrong with ``steps`` as a plan; empty if nothing is.

    >>> faults([Step(id="s1", task="look", after=["s2"]), Step(id="s2", task="sum up", after=["s1"])])
    'steps s1, s2 wait for one another'
    """
    names = [step.id for step in steps]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"several steps are called {', '.join(twice)}"
    if unknown := sorted({name for step in steps for name in step.after} - set(names)):
        return f"there is no step {', '.join(unknown)} to wait for; there are {', '.join(names)}"
    done: set[str] = set()
    while free := ready(steps, done):
        done |= {step.id for step in free}
    if stuck := [name for name in names if name not in done]:
        return f"steps {', '.join(stuck)} wait for one another"
    return ""


def ready(steps: Sequence[Step], done: Collection[str]) -> list[Step]:
    """The steps that are not done and wait for nothing that is not.

    >>> a, b = Step(id="a", task="look"), Step(id="b", task="sum up", after=["a"])
    >>> [step.id for step in ready([a, b], [])], [step.id for step in ready([a, b], ["a"])]
    (['a'], ['b'])
    """
    return [step for step in steps if step.id not in done and all(name in done for name in step.after)]


def _without_faults(call: Call) -> Call:
    if call["kind"] != "result":
        return call
    found = faults(steps_of(call))
    return {**call, "kind": "invalid", "text": f"this is no plan: {found}"} if found else call


def step_key(call: Mapping[str, Any], step: str) -> str:
    """What tells a step from all others of the thread."""
    return f"{call['id']}/{step}"
