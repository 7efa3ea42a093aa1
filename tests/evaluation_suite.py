"""A suite for evaluations: sums, worked out by a script that knows what each version gets wrong.

The models of its slots are opened, as evaluations do, but never asked: the script answers in their place. Every answer
is noted in the file ``spoken`` beside this suite's ``place``. Run as a program it evaluates and waits to be killed.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langgraph.graph import StateGraph
from threadmill.graphs.react import build_react
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.suites import Judged, last_words


@dataclass(frozen=True)
class Sum:
    """A task: add two numbers."""

    id: str
    tier: str
    text: str
    due: str
    split: str = "heldout"
    seed: int = 0


@dataclass
class Sums:
    """``says(version, text)`` is what a version answers."""

    spoken: Path
    says: Callable[[str, str], str]
    name: str = "sums"
    slots: tuple[str, ...] = ("sums.think",)

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        slot = slots[self.slots[-1]]
        version = slot.version_now()

        def answers(messages: list[BaseMessage]) -> AIMessage:
            text = messages[-1].text
            with self.spoken.open("a") as file:
                file.write(f"{version} {text}\n")
            return AIMessage(self.says(version, text))

        return build_react(Slot.fixed(slot.name, ScriptedModel(answers), version), [], name="sums")

    def tasks(self, split: str, per_tier: int, seed: int) -> list[Sum]:
        easy = [Sum(f"{split}-easy-{at}", "easy", f"{at}+1", str(at + 1)) for at in range(per_tier)]
        return easy + [Sum(f"{split}-hard-{at}", "hard", f"{at}+10", str(at + 10)) for at in range(per_tier)]

    def start(self, task: Sum, place: Path) -> dict[str, Any]:
        return {}

    def review(self, task: Sum, question: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError(question)

    def reply(self, task: Sum, text: str) -> None:
        return None

    def judge(self, task: Sum, place: Path, messages: Sequence[AnyMessage]) -> Judged:
        return Judged(int(last_words(messages) == task.due), 1, expected=task.due)

    def close(self, place: Path) -> None:
        return

    def needed(self, task: Sum) -> tuple[tuple[str, dict[str, Any]], ...]:
        return ()


def adds(version: str, text: str) -> str:
    """Always right."""
    left, right = text.split("+")
    return str(int(left) + int(right))


def adds_one_digit(version: str, text: str) -> str:
    """Wrong wherever a number has two digits."""
    return adds(version, text) if len(text) == 3 else "many"


def make_suite() -> Sums:
    """As a file of one's own is named on the command line; a folder called ``weak`` cannot do hard sums."""
    return Sums(Path("spoken"), lambda version, text: (adds_one_digit if "weak" in version else adds)(version, text))


def main(url: str, spoken: str) -> None:
    """Crash, answer twice, then wait for ever.

    The second answer waits for a record: what ended before it is taken in before it, however busy the machine is.
    """
    from threadmill.checkpoints.evaluations import list_evaluations, trials_of
    from threadmill.checkpoints.store import open_store
    from threadmill.training.evaluation.run import evaluate

    def says(version: str, text: str) -> str:
        if len(Path(spoken).read_text().splitlines()) > 3:
            time.sleep(600)
        while text == "2+1" and not trials_of(store, list_evaluations(store)[0].id):
            time.sleep(0.1)
        if text == "0+1":
            raise ValueError("no nought")
        return adds(version, text)

    with open_store(url) as store:
        evaluate(store, Sums(Path(spoken), says), {}, tasks_per_tier=3, k=1, seed=0, workers=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
