"""Whatever agent a thread is of, its rows hold what its models saw, and train all that they said exactly once."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph.state import StateGraph
from langgraph.store.memory import InMemoryStore
from pydantic import PrivateAttr
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.checkpoints.store import Store, open_store
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
from threadmill.nodes import Limits, ScriptedModel, Slot
from threadmill.nodes.budget import Budget
from threadmill.nodes.memory import Memory
from threadmill.nodes.models.react_chat import ReactChatModel
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import TRACE_KEY, Trace, write_trace
from threadmill.nodes.pages import handle_of
from threadmill.nodes.traits import with_traits
from threadmill.training.chats.rows import Format
from threadmill.training.dataset import iterate_rows, read_manifest
from threadmill.training.export import export_chats, export_groups, export_kto, export_pairs, export_sft
from threadmill.training.look.check import check_folder
from threadmill.training.look.roles import RoleReader
from threadmill.training.selection.settings import Selection

Ids = tuple[int, ...]
Script = Callable[[list[BaseMessage]], AIMessage]


@dataclass
class Ear:
    """What every model of an agent was shown, and what it said, token for token; ``traced`` models record it."""

    renderer: Renderer
    traced: bool
    end: str
    """The last words."""
    heard: list[tuple[Ids, Ids]] = field(default_factory=list)

    def slot(self, name: str, script: Script) -> Slot:
        model = HeardModel(replies=script)
        model._ear, model._version = self, f"{name}@0001"
        return Slot.fixed(name, model, f"{name}@0001")


class HeardModel(ScriptedModel):
    """A scripted model with the tokens of a real one."""

    _ear: Ear = PrivateAttr()
    _version: str = PrivateAttr("")

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(one) for one in tools])

    def count_tokens(self, messages: Sequence[BaseMessage], tools: Sequence[Any] = ()) -> int:
        return sum(len(message.text.split()) for message in messages)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        made = super()._generate(messages, *args, **kwargs)
        reply, tools, ear = made.generations[0].message, kwargs.get("tools"), self._ear
        row = ear.renderer.training_rows([*messages, reply], tools)[-1]
        said = row.ids[row.turns[-1].low : row.turns[-1].high]
        prompt = ear.renderer.prompt(messages, tools)
        ear.heard.append((prompt.full_ids, said))
        if ear.traced:
            before = len(prompt.full_ids) - len(prompt.delta_ids)
            noted = {"restart": prompt.restart, "digest": prompt.digest, "before": before}
            trace = Trace(self._version, prompt.delta_ids, said, (-1.0,) * len(said), **noted)
            reply.response_metadata[TRACE_KEY] = write_trace(trace)
        return made


def call(name: str, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"{name}1"}])


def results(messages: Sequence[BaseMessage]) -> list[ToolMessage]:
    return [message for message in messages if isinstance(message, ToolMessage)]


@tool
def price(item: str) -> str:
    """What an item costs."""
    return f"{item} costs 3.\nOr 4."


PRICE = with_traits(price, acts=False)


def look_then_tell(ear: Ear) -> Script:
    return lambda messages: AIMessage(ear.end) if results(messages[-1:]) else call("price", item="tea")


def plain(ear: Ear, **options: Any) -> StateGraph[Any]:
    return build_react(ear.slot("shop.think", look_then_tell(ear)), [PRICE], name="shop", mark=True, **options)


def paged(ear: Ear) -> StateGraph[Any]:
    def read_on(messages: list[BaseMessage]) -> AIMessage:
        told = results(messages)
        if len(told) == 1:
            return call("more", handle=handle_of(told[0].id or ""), page=2)
        return AIMessage(ear.end) if told else call("price", item="tea")

    return build_react(ear.slot("shop.think", read_on), [PRICE], name="shop", mark=True, max_chars=20)


def repaired(ear: Ear) -> StateGraph[Any]:
    def mistake(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage(ear.end) if results(messages) else call("price", item=int(ear.end[-2]))

    return build_react(ear.slot("shop.think", mistake), [PRICE], name="shop", limits=Limits())


def stopped(ear: Ear) -> StateGraph[Any]:
    slot = ear.slot("shop.think", lambda messages: call(f"prize{len(messages)}", item=ear.end))
    return build_react(slot, [PRICE], name="shop", limits=Limits(invalid=1))


def first(kind: Any) -> Callable[[Ear], StateGraph[Any]]:
    def build(ear: Ear) -> StateGraph[Any]:
        def think(messages: list[BaseMessage]) -> AIMessage:
            due = isinstance(messages[-1], HumanMessage if kind == "plan" else ToolMessage)
            return AIMessage("First the price.") if due else act(messages)

        def act(messages: list[BaseMessage]) -> AIMessage:
            return AIMessage(ear.end) if results(messages) else call("price", item="tea")

        return build_react(ear.slot("shop.think", think), [PRICE], name="shop", first=kind)

    return build


def fallen_back(ear: Ear) -> StateGraph[Any]:
    def fail(messages: list[BaseMessage]) -> AIMessage:
        raise ConnectionError("no line")

    away = ear.slot("shop.think", fail)
    return build_react(away, [PRICE], name="shop", fallbacks=[ear.slot("shop.spare", look_then_tell(ear))])


def in_text(ear: Ear) -> StateGraph[Any]:
    def say(messages: list[BaseMessage]) -> AIMessage:
        known = any("Observation: " in message.text for message in messages[1:])
        return AIMessage(
            f"Final Answer: {ear.end}" if known else 'Thought: Look.\nAction: price\nAction Input: {"item": "tea"}'
        )

    slot = Slot.fixed("shop.think", ReactChatModel(inner=ScriptedModel(say)), "api:text")
    return build_react(slot, [PRICE], name="shop")


def planning(ear: Ear) -> StateGraph[Any]:
    def plan(messages: list[BaseMessage]) -> AIMessage:
        steps = [{"id": "a", "task": "Find tea"}, {"id": "b", "task": "Find cake", "after": ["a"]}]
        return AIMessage(ear.end) if results(messages) else call("plan", steps=steps)

    slots = ear.slot("shop.plan", plan), ear.slot("shop.execute", look_then_tell(ear))
    return build_plan_execute(*slots, [PRICE], name="shop")


def reflecting(ear: Ear) -> StateGraph[Any]:
    def passes(state: Any) -> Evaluation:
        return Evaluation(len(state["trials"]) > 0, "too short")

    slots = (
        ear.slot("shop.trial", look_then_tell(ear)),
        ear.slot("shop.reflect", lambda messages: AIMessage("Say more.")),
    )
    return build_reflexion(*slots, [PRICE], passes, name="shop")


def citing(ear: Ear) -> StateGraph[Any]:
    @tool(response_format="content_and_artifact")
    def search(query: str) -> tuple[str, list[dict[str, str]]]:
        """Search."""
        return "[g#1] Tea costs 3.", [{"id": "g#1", "text": "Tea costs 3.", "source": "g"}]

    def say(messages: list[BaseMessage]) -> AIMessage:
        asked = sum(isinstance(message, HumanMessage) for message in messages)
        if not results(messages):
            return call("search", query="tea")
        return AIMessage("Tea costs 9 [g#1]." if asked == 1 else "Tea costs 3 [g#1].")

    return build_rag(ear.slot("shop.think", say), [with_traits(search, acts=False)], name="shop")


def leading(ear: Ear) -> StateGraph[Any]:
    def lead(messages: list[BaseMessage]) -> AIMessage:
        if results(messages):
            return AIMessage(ear.end)
        tasks = [{"to": "stock", "task": "Count tea"}, {"to": "billing", "task": "Price of tea"}]
        calls = [{"name": "hand_off", "args": args, "id": f"h{place}"} for place, args in enumerate(tasks)]
        return AIMessage("", tool_calls=calls)

    agents = {
        name: build_react(ear.slot(f"firm.{name}.think", look_then_tell(ear)), [PRICE], name=name)
        for name in ("stock", "billing")
    }
    return build_supervisor(ear.slot("firm.think", lead), agents, name="shop")


def by_schema(ear: Ear) -> StateGraph[Any]:
    def say(messages: list[BaseMessage]) -> AIMessage:
        if not results(messages):
            return call("price", item="tea")
        tried = sum(isinstance(message, AIMessage) for message in messages) > 1
        return AIMessage('{"price": 3}' if tried else "It costs 3.")

    schema = {"title": "Price", "type": "object", "properties": {"price": {"type": "integer"}}, "required": ["price"]}
    return build_structured(ear.slot("shop.think", say), schema, [PRICE], name="shop")


def asking(ear: Ear) -> StateGraph[Any]:
    def say(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage(ear.end) if results(messages) else call("ask_user", question="Which one?")

    return build_ask(ear.slot("shop.think", say), [PRICE], name="shop")


def trimmed(ear: Ear) -> StateGraph[Any]:
    short = ear.slot("shop.summary", lambda messages: AIMessage("They asked for tea."))
    return plain(ear, budget=Budget(tokens=90, trim_to=0.5, summarise=short), memory=Memory(("m",)))


AGENTS = {
    "marked": plain, "paged": paged, "repaired": repaired, "stopped": stopped, "plan first": first("plan"),
    "reflect first": first("reflect"), "fallback": fallen_back, "react-text": in_text, "plan_execute": planning,
    "reflexion": reflecting, "rag": citing, "supervisor": leading, "structured": by_schema, "ask": asking,
    "trimmed": trimmed,
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/runs.db") as opened:
        yield opened


@pytest.fixture(params=[True, False], ids=["recorded", "rendered"])
def ears(request: pytest.FixtureRequest, store: Store, tiny_tokenizer: Any) -> dict[str, list[Ear]]:
    """Two threads of every agent, of which the second went well."""
    ends = ("It costs 0.", "It costs 1.")
    found = {name: [Ear(Renderer(tiny_tokenizer), request.param, end) for end in ends] for name in AGENTS}
    for name, build in AGENTS.items():
        for number, ear in enumerate(found[name]):
            talk(store, build, ear, name, f"{name}{number}")
            add_labels(store, [Label(f"{name}{number}", None, None, "success", float(number), "test")])
    return found


def talk(store: Store, build: Callable[[Ear], StateGraph[Any]], ear: Ear, task: str, thread: str) -> None:
    memories = InMemoryStore()
    memories.put(("m",), "1", {"text": "Likes tea."})
    graph = build(ear).compile(checkpointer=store.saver, store=memories)
    for text in [f"What is tea? ({task})", *["And what is tea now, tell me?"] * (2 if build is trimmed else 0)]:
        outcome = run_thread(graph, thread, text, metadata={"task": task})
        for question in outcome.questions:
            answer_thread(graph, thread, [{"id": question["id"], "type": "respond", "text": "The green one."}])


NO_ROWS = {
    "sft": set(),
    "kto": set(),
    "groups": set(),
    # Where observations differ there is no pair, and marks are never the same twice.
    "pairs": {"reflexion", "trimmed", "marked", "paged", "plan_execute", "rag", "supervisor", "structured"},
}
"""Kind of data set to the agents whose threads give it no row."""
REPEATED, TRIMMED = "every answer is trained in another row", "the context was trimmed on the way"
LEFT_OUT: dict[Format, dict[str, int]] = {
    "openai": {REPEATED: 2, TRIMMED: 2},
    "anthropic": {REPEATED: 2, TRIMMED: 2, "two answers in a row": 4},
    "sharegpt": {REPEATED: 2, TRIMMED: 2, "two answers in a row": 4},
}
"""Format of chats to the threads that it cannot tell."""


def test_rows_hold_what_was_seen_and_train_what_was_said_once(
    store: Store, tmp_path: Path, tiny_tokenizer: Any, ears: Mapping[str, list[Ear]]
) -> None:
    kept: Any = {"selection": Selection()}
    rows: dict[str, list[Any]] = {}
    for kind, export in (("sft", export_sft), ("pairs", export_pairs), ("kto", export_kto), ("groups", export_groups)):
        manifest = export(store, tmp_path / kind, tokenizer=tiny_tokenizer, **kept)
        rows[kind] = list(iterate_rows(tmp_path / kind, manifest))
    assert {kind: AGENTS.keys() - {row["task"] for row in found} for kind, found in rows.items()} == NO_ROWS
    for chat, reasons in LEFT_OUT.items():
        manifest = export_chats(store, tmp_path / chat, chat=chat, thinking="drop", **kept)
        assert (chat, manifest["left_out"]) == (chat, reasons)
    reader = RoleReader(tiny_tokenizer)
    for kind in (*NO_ROWS, *LEFT_OUT):
        assert (kind, check_folder(tmp_path / kind, reader).findings.records()) == (kind, [])

    for name, both in ears.items():
        own = [row for row in rows["sft"] if row["task"] == name]
        traced = both[0].traced and name != "react-text"
        assert (name, {row["tokens"] for row in own}) == (name, {"recorded" if traced else "rendered"})
        trained = Counter(span for row in own for span in trained_spans(row))
        heard = Counter(one for ear in both for one in ear.heard)
        if name == "react-text":  # the model saw text, the one to train sees its own template
            assert sum(trained.values()) == 4
        elif name == "repaired":  # the wrong call is not trained, or as it was put right
            assert heard - trained == Counter(ear.heard[0] for ear in both)
            assert {prompt for prompt, _ in trained - heard} == (set() if traced else {both[0].heard[0][0]})
        else:
            assert (name, trained) == (name, heard)


def test_two_agents_of_one_thread_are_told_apart_by_their_slots(
    store: Store, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    ear = Ear(Renderer(tiny_tokenizer), True, "It costs 3.")
    talk(store, leading, ear, "tea", "t")
    where = {"billing": ["slot=firm.billing.think"], "all": ["node=think"]}
    for name, conditions in where.items():
        export_sft(store, tmp_path / name, tokenizer=tiny_tokenizer, where=conditions, selection=Selection())
    tasks = {
        name: sorted(
            text
            for row in iterate_rows(tmp_path / name, read_manifest(tmp_path / name))
            for text in ("What is tea?", "Count tea", "Price of tea")
            if f"user\n{text}" in tiny_tokenizer.decode(row["input_ids"])
        )
        for name in where
    }
    assert tasks == {"billing": ["Price of tea"], "all": ["Count tea", "Price of tea", "What is tea?"]}
    talk(store, trimmed, ear, "tea", "w")
    export_sft(store, tmp_path / "words", tokenizer=tiny_tokenizer, where=["slot=shop.summary"], selection=Selection())
    said = {
        tiny_tokenizer.decode(row["input_ids"])
        for row in iterate_rows(tmp_path / "words", read_manifest(tmp_path / "words"))
    }
    assert said
    assert all("You keep the minutes" in one and "They asked for tea." in one for one in said)
    talk(store, leading, ear, "tea", "u")
    add_labels(store, [Label(thread, None, None, "reward", reward, "check") for thread, reward in (("t", 1), ("u", 0))])
    manifest = export_groups(
        store, tmp_path / "groups", tokenizer=tiny_tokenizer, where=where["billing"], selection=Selection()
    )
    rows = list(iterate_rows(tmp_path / "groups", manifest))
    assert [
        (row["thread"], row["parts"], "Price of tea" in tiny_tokenizer.decode(row["input_ids"])) for row in rows
    ] == [
        ("t", 1, True),
        ("u", 1, True),
    ]


def trained_spans(row: Any) -> Iterator[tuple[Ids, Ids]]:
    """What stands before each trained span of a row, and the span."""
    ids, labels = tuple(row["input_ids"]), [*row["labels"], -100]
    low = None
    for place, label in enumerate(labels):
        if label != -100 and low is None:
            low = place
        elif label == -100 and low is not None:
            yield ids[:low], ids[low:place]
            low = None
