"""A world so small that the value of every state can be computed: a counter, and a policy of known probabilities.

The agent is the ReAct loop with one tool that moves the counter in a file. It may speak three times. A counter of 2 in
the end is worth 1, a counter of 1 half.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from threadmill.graphs.react import build_react
from threadmill.nodes.models.slot import Slot
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.suites import Judged

SLOT = "counter.think"
CALLS = 3
"""The agent speaks at most so often."""
ACTIONS = ("up", "down", "stop")
POLICY = {0: (0.6, 0.1, 0.3), 1: (0.5, 0.2, 0.3), 2: (0.2, 0.2, 0.6)}
"""Counter (below 0 as 0, above 2 as 2) to the probabilities of the actions."""


def chances(counter: int) -> tuple[float, ...]:
    return POLICY[max(0, min(2, counter))]


def met(counter: int) -> int:
    """Of two conditions: above 0, and exactly 2; nothing for more than 2."""
    return {1: 1, 2: 2}.get(counter, 0)


def exact_value(counter: int, spoken: int = 0) -> float:
    """The expected reward where the agent has spoken ``spoken`` times."""
    if spoken == CALLS:
        return met(counter) / 2
    up, down, stop = chances(counter)
    return (
        up * exact_value(counter + 1, spoken + 1)
        + down * exact_value(counter - 1, spoken + 1)
        + stop * met(counter) / 2
    )


def episodes(counter: int = 0, spoken: int = 0) -> list[tuple[float, tuple[tuple[int, str], ...], float]]:
    """Every way that an episode can go: its probability, its (counter, action) by turn, and its reward."""
    if spoken == CALLS:
        return [(1.0, (), met(counter) / 2)]
    found = []
    for action, chance in zip(ACTIONS, chances(counter), strict=True):
        after = {"up": counter + 1, "down": counter - 1, "stop": counter}[action]
        rest = [(1.0, (), met(counter) / 2)] if action == "stop" else episodes(after, spoken + 1)
        found += [(chance * p, ((counter, action), *steps), reward) for p, steps, reward in rest]
    return found


class RandomPolicy(BaseChatModel):
    """Draws an action with the call's seed; its messages carry one token each way."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> "RandomPolicy":
        return self

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        counter = counter_of(messages)
        action = random.Random(kwargs["seed"]).choices(ACTIONS, chances(counter))[0]
        calls = [{"name": "move", "args": {"by": action}, "id": "c"}] if action != "stop" else []
        spoken = [at for at, message in enumerate(messages) if isinstance(message, AIMessage)]
        new = messages[spoken[-1] + 1 if spoken else 0 :]
        trace = Trace(
            version="counter.think@0001",
            prompt_ids=tuple(token_of(message) for message in new),
            sampled_ids=(20 + ACTIONS.index(action),),
            logprobs=(log(chances(counter)[ACTIONS.index(action)]),),
        )
        said = AIMessage(action, tool_calls=calls, response_metadata={"trace": write_trace(trace)})
        return ChatResult(generations=[ChatGeneration(message=said)])

    @property
    def _llm_type(self) -> str:
        return "random"


def counter_of(messages: list[BaseMessage]) -> int:
    results = [message for message in messages if isinstance(message, ToolMessage)]
    return int(results[-1].text.removeprefix("at ")) if results else 0


def token_of(message: BaseMessage) -> int:
    """1 for the task, 10 and more for a result: which counter it shows."""
    return 10 + int(message.text.removeprefix("at ")) if isinstance(message, ToolMessage) else 1


@tool
def move(by: str, config: RunnableConfig) -> str:
    """Move the counter up or down."""
    world = Path(config["configurable"]["world"])
    counter = int(world.read_text()) + {"up": 1, "down": -1}[by]
    world.write_text(str(counter))
    return f"at {counter}"


@dataclass(frozen=True)
class CounterTask:
    id: str = "count-1"
    tier: str = "only"
    text: str = "bring the counter to 2"
    split: str = "train"
    seed: int = 0


@dataclass(frozen=True)
class CounterSuite:
    """One task; ``tools`` may be others than ``move``."""

    name: str = "counter"
    slots: tuple[str, ...] = (SLOT,)
    tools: tuple[Any, ...] = field(default=(move,))

    def build(self, slots: Mapping[str, Slot]) -> Any:
        return build_react(slots[SLOT], self.tools, name=self.name, max_calls=CALLS, timeout_s=None)

    def tasks(self, split: str, per_tier: int, seed: int) -> list[CounterTask]:
        return [CounterTask(f"{split}-{seed}-only-{index:04d}") for index in range(per_tier)]

    def start(self, task: CounterTask, place: Path) -> dict[str, Any]:
        place.write_text("0")
        return {"world": str(place)}

    def review(self, task: CounterTask, question: dict[str, Any]) -> dict[str, Any]:
        return {"id": question["id"], "type": "approve"}

    def reply(self, task: CounterTask, text: str) -> str | None:
        return None

    def judge(self, task: CounterTask, place: Path, messages: Any) -> Judged:
        return Judged(met(int(place.read_text())), 2)

    def close(self, place: Path) -> None:
        place.unlink(missing_ok=True)

    def needed(self, task: CounterTask) -> None:
        return None


def fixed_slot(model: BaseChatModel | None = None) -> dict[str, Slot]:
    return {SLOT: Slot.fixed(SLOT, model or RandomPolicy(), "counter.think@0001")}


def seed_of(wanted: list[str]) -> int:
    """The first seed with which the policy says this."""
    for seed in range(0, 10_000, 10):
        counter, found = 0, list[str]()
        for turn in range(CALLS):
            found += random.Random(seed + turn).choices(ACTIONS, chances(counter))
            counter += {"up": 1, "down": -1, "stop": 0}[found[-1]]
            if found[-1] == "stop":
                break
        if found == wanted:
            return seed
    raise AssertionError(f"no seed makes {wanted}")


def play(
    store: Any, suite: CounterSuite, thread: str, place: Path, *, seed: int, task: CounterTask | None = None
) -> float:
    """Play the task once as the thread ``thread``, labelled as a rollout would; its reward."""
    from threadmill.checkpoints.labels import Label, add_labels
    from threadmill.graphs.run import run_thread

    task = task or CounterTask()
    graph = suite.build(fixed_slot()).compile(checkpointer=store.saver)
    configurable = {**suite.start(task, place), "seed": seed}
    run_thread(graph, thread, task.text, metadata={"task": task.id}, configurable=configurable)
    judged = suite.judge(task, place, [])
    suite.close(place)
    labels = [("reward", judged.reward), ("success", float(judged.success))]
    add_labels(store, [Label(thread, None, None, kind, value, "counter.check") for kind, value in labels])
    return judged.reward
