"""When which agent helps: plan and execute, reflexion, and answers from documents, each against a plain ReAct loop.

The models are scripts with fixed limits, stated where they are written: what is measured is what the structure of
the graph adds to such a model, not how good any model is. How good the check of claims is: `grounding.py`.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, sleep
from typing import Any

from grounding_claims import CLAIMS, PASSAGES
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from rich.console import Console
from rich.table import Table
from threadmill.graphs import build_plan_execute, build_rag, build_react, build_reflexion, run_thread
from threadmill.graphs.rag import GROUNDING_KEY, passages_in
from threadmill.graphs.reflexion import Evaluation
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.traits import with_traits

ORDERS = ("A1", "A2", "A3", "A4", "A5", "A6")
LINKS = 3
"""Calls in a row that each order needs: every answer names what is asked next."""
SLOW_S, FAST_S, MODEL_S = 0.08, 0.01, 0.005


@tool
def look_up(place: str) -> str:
    """Look a place up: what it says names the next one, the last one a price."""
    order, link = place.split("-")
    slow = (ORDERS.index(order) + int(link)) % LINKS == 0  # one of the three calls of each order
    sleep(SLOW_S if slow else FAST_S)
    said = f"price {ORDERS.index(order) + 1}" if int(link) == LINKS - 1 else f"see {order}-{int(link) + 1}"
    return f"{said}\n{'Further details that nobody asked for. ' * 40}"


LOOK_UP = with_traits(look_up, acts=False)


@dataclass
class Read:
    """What models were given to read."""

    calls: int = 0
    characters: int = 0

    def count(self, reply: Callable[[list[BaseMessage]], AIMessage]) -> ScriptedModel:
        """A model with this script that takes its time and is counted."""

        def counted(messages: list[BaseMessage]) -> AIMessage:
            self.calls += 1
            self.characters += sum(len(message.text) for message in messages)
            sleep(MODEL_S)
            return reply(messages)

        return ScriptedModel(counted)


def next_places(messages: Sequence[BaseMessage], orders: Sequence[str]) -> list[str]:
    """Where each of ``orders`` goes on, if it does."""
    said = "\n".join(message.text for message in messages if isinstance(message, ToolMessage))
    asked = {call["args"]["place"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls}
    places = [f"{order}-0" for order in orders] + re.findall(r"^see (\S+)$", said, re.MULTILINE)
    return [place for place in places if place not in asked]


def total(text: str) -> str:
    """The sum of the prices in ``text``."""
    return str(sum(map(int, re.findall(r"price (\d+)", text))))


def calls(places: Sequence[str]) -> AIMessage:
    """Calls for all of ``places`` in one message."""
    return AIMessage(
        "", tool_calls=[{"name": "look_up", "args": {"place": place}, "id": f"c-{place}"} for place in places]
    )


def loop(at_once: int) -> Callable[[list[BaseMessage]], AIMessage]:
    """A model that makes at most ``at_once`` calls in a message, then adds up."""

    def reply(messages: list[BaseMessage]) -> AIMessage:
        places = next_places(messages, ORDERS)
        return calls(places[:at_once]) if places else AIMessage(total("\n".join(m.text for m in messages)))

    return reply


def plan(messages: list[BaseMessage]) -> AIMessage:
    """One step for each order; adds up what came of them."""
    if isinstance(messages[-1], ToolMessage):
        return AIMessage(total(messages[-1].text))
    steps = [{"id": order, "task": f"Find the price of {order}"} for order in ORDERS]
    return AIMessage("", tool_calls=[{"name": "plan", "args": {"steps": steps}, "id": "p"}])


def execute(messages: list[BaseMessage]) -> AIMessage:
    """One call in a message, as the slower of the two loops."""
    order = next(m.text for m in messages if isinstance(m, HumanMessage)).split()[-1]
    places = next_places(messages, [order])
    return calls(places[:1]) if places else AIMessage(re.findall(r"price \d+", messages[-1].text)[0])


REPETITIONS = 5
AGENTS = ("react, one call a message", "react, all calls in a message", "plan_execute")


def measure_plans() -> list[dict[str, Any]]:
    """Three agents with the same task: six orders, three slow or fast calls in a row for each; medians in turn."""
    runs = [{name: measure_plan(name) for name in AGENTS} for _ in range(REPETITIONS)]
    return [{**runs[0][name], "seconds": median(run[name]["seconds"] for run in runs)} for name in AGENTS]


def measure_plan(name: str) -> dict[str, Any]:
    """One run of one of them."""
    read = Read()
    if name == "plan_execute":
        slots = _slot("plan", read.count(plan)), _slot("execute", read.count(execute))
        graph = build_plan_execute(*slots, [LOOK_UP])
    else:
        script = loop(1 if "one" in name else len(ORDERS))
        graph = build_react(_slot("think", read.count(script)), [LOOK_UP], max_calls=99)
    agent = graph.compile(checkpointer=InMemorySaver())
    began = perf_counter()
    outcome = run_thread(agent, "t", "What do the orders cost together?")
    seconds = round(perf_counter() - began, 3)
    counted = {"model_calls": read.calls, "characters_read": read.characters, "right": outcome.answer == "21"}
    return {"agent": name, "seconds": seconds, **counted}


KINDS = ("dates", "names", "sums", "units")
TASKS = [f"{kind} {number}" for number in range(1, 6) for kind in KINDS]


def tries(messages: list[BaseMessage]) -> AIMessage:
    """Gets a task right if its prompt holds the rule for that kind of task, and never otherwise."""
    kind = messages[-1].text.split()[0]
    rules = messages[0].text if isinstance(messages[0], SystemMessage) else ""
    return AIMessage("right" if f"rule of {kind}" in rules else "wrong")


@dataclass
class Reflector:
    """Draws the right lesson from two of three failures, and a useless one from the third."""

    asked: int = 0

    def __call__(self, messages: list[BaseMessage]) -> AIMessage:
        self.asked += 1
        (kind,) = re.findall(r"task: (\w+)", messages[-1].text)
        return AIMessage("Be more careful." if self.asked % 3 == 0 else f"Mind the rule of {kind}.")


def measure_trials() -> list[dict[str, Any]]:
    """Twenty tasks of four kinds, each in a thread of its own, three trials each."""

    def judged(state: Any) -> Evaluation:
        right = state["messages"][-1].text == "right"
        return Evaluation(right, "" if right else "wrong")

    rows = []
    for name, store in (("one trial", None), ("without a store", None), ("with a store", InMemoryStore())):
        slots = _slot("trial", ScriptedModel(tries)), _slot("reflect", ScriptedModel(Reflector()))
        graph = build_reflexion(*slots, [], judged, kind_of=lambda text: text.split()[0],
                                max_trials=1 if name == "one trial" else 3)  # fmt: skip
        agent = graph.compile(checkpointer=InMemorySaver(), store=store)
        used, first, passed = 0, 0, 0
        for task in TASKS:
            run_thread(agent, task, task)
            trials = agent.get_state({"configurable": {"thread_id": task}}).values["trials"]
            used, first, passed = used + len(trials), first + trials[0]["passed"], passed + trials[-1]["passed"]
        share = {"right_at_first": first / len(TASKS), "right_in_the_end": passed / len(TASKS)}
        rows.append({"agent": name, **share, "trials_a_task": used / len(TASKS)})
    return rows


@dataclass
class Guide:
    """Searches, then claims what the passage says; spoils two of three answers, and mends two of three it gets back."""

    answers: int = 0
    objections: int = 0
    spoilt: Counter[str] = field(default_factory=Counter)

    def __call__(self, messages: list[BaseMessage]) -> AIMessage:
        question = [m.text for m in messages if isinstance(m, HumanMessage) and "passages that it cites" not in m.text]
        name = question[-1].split()[-1]
        true = next(text for _, right, text in CLAIMS if right and f"[{name}]" in text)
        if isinstance(messages[-1], ToolMessage):
            self.answers += 1
            return AIMessage(self._spoil(true, self.answers))
        if messages[-1].text in question:
            return AIMessage("", tool_calls=[{"name": "search", "args": {"name": name}, "id": f"c{len(messages)}"}])
        self.objections += 1
        return AIMessage(messages[-2].text if self.objections % 3 == 0 else true)

    def _spoil(self, true: str, number: int) -> str:
        kinds = ("right", "wrong number", "invented")
        self.spoilt[kind := kinds[number % 3]] += 1
        wrong = {
            "wrong number": " It has been so for 77 years [{}].",
            "invented": " A gift shop sells posters nearby [{}].",
        }
        return true + wrong[kind].format(re.findall(r"\[(.+?)\]", true)[0]) if kind in wrong else true


@tool(response_format="content_and_artifact")
def search(name: str) -> tuple[str, list[dict[str, str]]]:
    """Search the documents."""
    return f"[{name}] {PASSAGES[name]}", [{"id": name, "text": PASSAGES[name], "source": name.split("#")[0]}]


def measure_answers() -> list[dict[str, Any]]:
    """Thirty questions; how many answers with a claim of the model's own reach the user, and how many unmarked."""
    rows = []
    for name in ("react", "rag, flag", "rag, send back"):
        guide, tools = Guide(), [with_traits(search, acts=False)]
        slot = _slot("think", ScriptedModel(guide))
        graph = (
            build_react(slot, tools)
            if name == "react"
            else build_rag(slot, tools, on_ungrounded="flag" if name == "rag, flag" else "send_back")
        )
        agent = graph.compile(checkpointer=InMemorySaver())
        spoilt = unmarked = marked_right = 0
        for number in range(30):
            thread = f"t{number}"
            run_thread(agent, thread, f"What does it say in {[*PASSAGES][number % len(PASSAGES)]}")
            messages = agent.get_state({"configurable": {"thread_id": thread}}).values["messages"]
            wrong = "77 years" in messages[-1].text or "gift shop" in messages[-1].text
            flagged = not messages[-1].response_metadata.get(GROUNDING_KEY, {"grounded": True})["grounded"]
            spoilt, unmarked = spoilt + wrong, unmarked + (wrong and not flagged)
            marked_right += flagged and not wrong
            assert passages_in(messages)
        reached = {"spoilt_for_the_user": spoilt, "of_them_unmarked": unmarked, "right_but_marked": marked_right}
        rows.append({"agent": name, "answers": 30, "spoilt": guide.answers - guide.spoilt["right"], **reached})
    return rows


def _slot(node: str, model: ScriptedModel) -> Slot:
    return Slot.fixed(f"bench.{node}", model, f"bench.{node}@0001")


def result(what: str, ratio: float, goal: float) -> dict[str, Any]:
    """A goal, and whether it was met; more is better."""
    return {"what": what, "ratio": round(ratio, 3), "goal": goal, "met": ratio >= goal, "better": "higher"}


def main() -> None:
    """Measure, and print tables or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    plans, trials, answers = measure_plans(), measure_trials(), measure_answers()
    one, every, planned = (row["seconds"] for row in plans)
    results = [
        result("seconds, react with one call a message over plan_execute", one / planned, 3.0),
        result("seconds, react with all calls in a message over plan_execute", every / planned, 1.2),
        result("characters read, react with one call a message over plan_execute",
               plans[0]["characters_read"] / plans[2]["characters_read"], 2.0),
        result("trials a task, reflexion without a store over with one",
               trials[1]["trials_a_task"] / trials[2]["trials_a_task"], 1.2),
        result("spoilt answers that reach the user unmarked, react over rag that sends back (plus one each)",
               (answers[0]["of_them_unmarked"] + 1) / (answers[2]["of_them_unmarked"] + 1), 5.0),
    ]  # fmt: skip
    detail = {"results": results, "plans": plans, "trials": trials, "answers": answers}
    if as_json:
        document = {"name": "agents", "ratio": results[0]["ratio"], "ratio_of": results[0]["what"], "goal": 3.0,
                    "met": all(one["met"] for one in results), "detail": detail}  # fmt: skip
        print(json.dumps(document))
        return
    for name, rows in detail.items():
        table = Table(*rows[0], title=name)
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console().print(table)


if __name__ == "__main__":
    main()
