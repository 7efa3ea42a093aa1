"""Plan and execute: one model plans, another does the steps, those that wait for nothing at the same time.

After Plan-and-Solve (Wang et al. 2023), ReWOO (Xu et al. 2023: the planner writes the whole plan before anything is
done) and LLMCompiler (Kim et al. 2023: steps wait for one another, and the planner sees the results and plans again or
answers). Steps run in waves: a step begins when everything of the wave before it has ended.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send
from typing_extensions import TypedDict

from ..nodes.act import Ask
from ..nodes.approval import Approval
from ..nodes.calls import Call
from ..nodes.limits import Limits
from ..nodes.marking import mark_as_data
from ..nodes.models.slot import Slot
from ..nodes.observe import make_observe
from ..nodes.taint import PEOPLE_KEY, only_people_spoke, words_of_people
from ..nodes.think import make_think
from .conversation import build_conversation, last_words
from .plan import PLAN_TOOL, Step, read_plans, ready, step_key, steps_of
from .question import Question
from .react import wants_call
from .settings import settings_digest
from .state import AgentState

PLANNING = (
    "You answer with the help of others who do steps for you. Plan only what is needed, as few steps as possible; let "
    "steps wait for others only if they need their results. Whoever does a step sees nothing but its task and the "
    "results it waits for. When you have what you need, answer."
)

TAINT_ASKS = Approval()


class Result(TypedDict):
    """What became of a step."""

    plan: str
    """Id of the message that planned it."""
    done: bool
    """False if it had to end before it had an answer."""
    text: str


def gather(results: dict[str, Result], more: dict[str, Result]) -> dict[str, Result]:
    """The results of the newest plan: those of earlier ones stand in the messages."""
    plans = {result["plan"] for result in more.values()}
    return {**{key: result for key, result in results.items() if not plans or result["plan"] in plans}, **more}


Results = Annotated[dict[str, Result], gather]


class PlanState(AgentState):
    """What a thread remembers, with the results of the steps so far."""

    results: Results


class StepState(AgentState):
    """What the conversation of one step remembers."""

    step: str
    plan: str


class StepOutput(TypedDict):
    """What the thread gets of it."""

    results: Results


def build_plan_execute(
    planner: Slot,
    executor: Slot,
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    name: str = "plan_execute",
    system: str = "",
    planning: str = PLANNING,
    step_system: str = "",
    max_replans: int = 2,
    max_faults: int = 3,
    max_calls: int = 12,
    timeout_s: float | None = 30,
    ask: Ask | None = None,
    approval: Approval | None = TAINT_ASKS,
    limits: Limits | None = None,
    dry_run: bool = False,
    max_chars: int | None = None,
) -> StateGraph[PlanState]:
    """The agent's graph, uncompiled.

    In a run (one user turn) the planner may plan again ``max_replans`` times, and is told ``max_faults`` times that a
    plan cannot be carried out; then the run ends. ``max_calls`` are the model calls of one step. How to plan
    (``planning``) follows on the ``system`` prompt; whoever does a step has ``step_system``.
    """
    step = build_conversation(
        executor, tools, report_step, StepState, StepOutput,
        system=step_system, max_calls=max_calls, timeout_s=timeout_s, ask=ask, approval=approval, limits=limits,
        dry_run=dry_run, max_chars=max_chars,
    )  # fmt: skip
    prompt = "\n\n".join(text for text in (system, planning) if text)
    settings = settings_digest(tools, {
        "system": prompt, "step_system": step_system, "max_replans": max_replans, "max_faults": max_faults,
        "max_calls": max_calls, "timeout_s": timeout_s, "ask": ask, "approval": approval, "limits": limits,
        "dry_run": dry_run, "max_chars": max_chars,
    })  # fmt: skip
    graph = StateGraph(PlanState)
    graph.add_node("observe", make_observe([planner, executor]), metadata={"agent": name, "settings": settings})
    graph.add_node("plan", make_think(planner, [PLAN_TOOL], prompt))
    graph.add_node("schedule", make_schedule(max_replans))
    graph.add_node("execute", step.compile())
    graph.add_node("join", make_join(max_replans))

    graph.add_edge(START, "observe")
    graph.add_conditional_edges("observe", Question(may_plan(max_faults)), {True: "plan", False: END})
    graph.add_conditional_edges("plan", Question(wants_call), {True: "schedule", False: END})
    graph.add_edge("execute", "schedule")
    graph.add_edge("join", "observe")
    return graph


def may_plan(max_faults: int) -> Callable[[Mapping[str, Any]], bool]:
    """A predicate: have no more than ``max_faults`` plans of this run been refused?"""

    def may_plan_again(state: Mapping[str, Any]) -> bool:
        return sum(one.status == "error" for one in _reports(state)) <= max_faults

    return may_plan_again


def make_schedule(max_replans: int) -> Callable[..., Command[Literal["execute", "join"]]]:
    """Build a node that sends off every step that waits for nothing any more, until all are done."""

    def schedule(state: Mapping[str, Any]) -> Command[Literal["execute", "join"]]:
        plan = state["messages"][-1]
        sends = []
        for call in _plans(state, max_replans):
            if call["kind"] == "result":
                steps = steps_of(call)
                found = _found(call, steps, state.get("results", {}))
                sends += [Send("execute", _begun(call, step, found, plan, state)) for step in ready(steps, found)]
        return Command(goto=sends or "join")

    return schedule


def make_join(max_replans: int) -> Callable[..., dict[str, Any]]:
    """Build a node that answers each plan with the results of its steps, or with what is wrong with it."""

    def join(state: Mapping[str, Any]) -> dict[str, Any]:
        return {"messages": [_report(call, state.get("results", {})) for call in _plans(state, max_replans)]}

    return join


def report_step(state: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a step, for the thread."""
    words = last_words(state)
    text = words.text if words else "the step had to end before there was an answer"
    return {"results": {state["step"]: Result(plan=state["plan"], done=words is not None, text=text)}}


def _plans(state: Mapping[str, Any], max_replans: int) -> list[Call]:
    calls = read_plans(state["messages"][-1])
    made = sum(one.status != "error" for one in _reports(state))
    if made <= max_replans:
        return calls
    return [{**call, "kind": "invalid", "text": "there is no time to plan again; answer with what you have"}
            for call in calls]  # fmt: skip


def _reports(state: Mapping[str, Any]) -> list[ToolMessage]:
    """What came of the plans of this run."""
    run = takewhile(lambda message: not isinstance(message, HumanMessage), reversed(state["messages"]))
    return [message for message in run if isinstance(message, ToolMessage)]


def _found(call: Call, steps: Sequence[Step], results: Mapping[str, Result]) -> dict[str, Result]:
    """Step to result, of those that are done."""
    keys = {step.id: step_key(call, step.id) for step in steps}
    return {name: results[key] for name, key in keys.items() if key in results}


def _begun(
    call: Call, step: Step, found: Mapping[str, Result], plan: AIMessage, state: Mapping[str, Any]
) -> dict[str, Any]:
    """What the conversation of a step begins with; what others found is no person's word, so it is no message."""
    key = step_key(call, step.id)
    known = [f"Result of {name}:\n{mark_as_data(found[name]['text'], key, 'a step')}" for name in step.after]
    return {
        "messages": [HumanMessage(step.task, id=key, additional_kwargs=_words_of_people(state))],
        "versions": state["versions"],
        "context": {"memory": "\n".join(known)} if known else {},
        "step": key,
        "plan": plan.id,
    }


def _words_of_people(state: Mapping[str, Any]) -> dict[str, Any]:
    """What to trust instead of tasks, once the planner has read more than words of people."""
    messages = state["messages"]
    return {} if only_people_spoke(messages) else {PEOPLE_KEY: words_of_people(messages)}


def _report(call: Call, results: Mapping[str, Result]) -> ToolMessage:
    text, failed = call["text"], call["kind"] != "result"
    if not failed:
        steps = steps_of(call)
        found = _found(call, steps, results)
        shown = {name: mark_as_data(result["text"], step_key(call, name), "a step") for name, result in found.items()}
        text = "\n".join(f"Result of {step.id}:\n{shown[step.id]}" for step in steps)
    return ToolMessage(
        text,
        id=call["id"],
        tool_call_id=call["call"]["id"] or "",
        name=call["call"]["name"],
        status="error" if failed else "success",
        additional_kwargs={"kind": call["kind"]},
    )
