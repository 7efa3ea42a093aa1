"""A suite for GRPO: a model says a few tokens, and what they happen to be decides what the episode earns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langgraph.graph import END, START, StateGraph
from threadmill.graphs.react import build_react
from threadmill.graphs.state import AgentState
from threadmill.graphs.supervisor import build_supervisor
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.nodes.observe import make_observe
from threadmill.nodes.think import make_think
from threadmill.training.recipes.credited import Credited, Member, credit_groups
from threadmill.training.recipes.group_rows import GroupRow
from threadmill.training.suites import Judged, last_words


@dataclass(frozen=True)
class Chat:
    """A task: say something."""

    id: str
    tier: str
    text: str = "Order?"
    split: str = "train"
    seed: int = 0


def is_even(task: Chat, messages: Sequence[AnyMessage]) -> int:
    """As good as a coin, but the same for the same words."""
    return sum(map(ord, last_words(messages))) % 2


@dataclass
class Chats:
    """Two tiers of tasks of one agent: ``talk`` has one slot; ``duo`` plans first, and has two."""

    name: str = "talk"
    slots: tuple[str, ...] = ("talk.think",)
    earns: Callable[[Chat, Sequence[AnyMessage]], int] = is_even
    breaks: Callable[[Chat, Sequence[AnyMessage]], None] = lambda task, messages: None

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        if self.name == "talk":
            return build_react(slots["talk.think"], [], name="talk")
        graph = StateGraph(AgentState)
        graph.add_node("observe", make_observe(list(slots.values())))
        graph.add_node("plan", make_think(slots["duo.plan"], [], "Plan."))
        graph.add_node("work", make_think(slots["duo.work"], [], "Work."))
        graph.add_edge(START, "observe")
        graph.add_edge("observe", "plan")
        graph.add_edge("plan", "work")
        graph.add_edge("work", END)
        return graph

    def tasks(self, split: str, per_tier: int, seed: int) -> list[Chat]:
        return [Chat(f"{tier}-{at}", tier) for tier in ("easy", "hard") for at in range(per_tier)]

    def start(self, task: Chat, place: Path) -> dict[str, Any]:
        return {}

    def review(self, task: Chat, question: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("nothing is asked")

    def reply(self, task: Chat, text: str) -> str | None:
        return None

    def judge(self, task: Chat, place: Path, messages: Sequence[AnyMessage]) -> Judged:
        self.breaks(task, messages)
        return Judged(self.earns(task, messages), 1)

    def close(self, place: Path) -> None:
        pass

    def needed(self, task: Chat) -> None:
        return None


def duo() -> Chats:
    """The agent with two slots."""
    return Chats("duo", ("duo.plan", "duo.work"))


@dataclass
class Firm(Chats):
    """A script hands the task over to two agents, each with a slot of its own, and repeats what they say."""

    name: str = "firm"
    slots: tuple[str, ...] = ("firm.one.think", "firm.two.think")

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        def lead(messages: Sequence[BaseMessage]) -> AIMessage:
            said = [message.text for message in messages if message.type == "tool"]
            calls = [
                {"name": "hand_off", "args": {"to": to, "task": messages[-1].text}, "id": to} for to in ("one", "two")
            ]
            return AIMessage("\n".join(said)) if said else AIMessage("", tool_calls=calls)

        agents = {name: build_react(slots[f"firm.{name}.think"], [], name=name) for name in ("one", "two")}
        return build_supervisor(Slot.fixed("firm.think", ScriptedModel(lead), "script"), agents, name="firm")


def sample(model: Any, tokenizer: Any, temperature: float, seed: int) -> GroupRow:
    """Two sampled tokens, two given ones, one more sampled."""
    from threadmill.nodes.models.local import LocalChatModel

    chat = LocalChatModel.from_model(model, tokenizer, version="run@0000")
    decoder = chat.voice.decoder
    try:
        prompt = [300, 301, 302]
        first = decoder.submit(prompt, max_new_tokens=2, temperature=temperature, seed=seed).result()
        second = decoder.submit(
            [*prompt, *first.ids, 320, 321], max_new_tokens=1, temperature=temperature, seed=seed + 50
        ).result()
    finally:
        chat.close()
    assert len(first.ids) == 2
    return GroupRow(
        prompt,
        [*first.ids, 320, 321, *second.ids],
        [1, 1, 0, 0, 1],
        [*first.logprobs, 0.0, 0.0, *second.logprobs],
        [0, 0, -1, -1, 1],
        ("run@0000",),
    )


def source_of(groups: Sequence[Sequence[Member]], credit: Any, **wishes: Any) -> Callable[[Any, int], Credited]:
    """A source that gives the same groups for every generation."""
    found = credit_groups(groups, credit, **{"by_sequence": False, **wishes})
    return lambda model, step: found
