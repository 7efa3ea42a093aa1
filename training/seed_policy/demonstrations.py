"""Demonstrations as token rows for the seed policy: the expert's, or a fallible demonstrator's."""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from transformers import PreTrainedTokenizerFast

from ..worlds.helpdesk.database import make_world, write_world
from ..worlds.helpdesk.expert import demonstrate, mistakes_for
from ..worlds.helpdesk.prompt import SYSTEM
from ..worlds.helpdesk.tasks import KINDS, TIERS, Task, city, make_task, policy, status, total
from ..worlds.helpdesk.tools import TOOLS

TOOL_SCHEMAS: list[Any] = [convert_to_openai_tool(tool) for tool in TOOLS]
PRETRAINING_SEED = 7
"""Seed of the tasks that the seed policy learnt from; runs and evaluations use others."""

EXTRA = 600_000_000
"""Task numbers from here on are those of ``focus``."""


@dataclass(frozen=True, slots=True)
class Row:
    """One demonstration: token ids, and 1 where the assistant speaks."""

    ids: list[int]
    mask: list[int]


def demonstrations(
    tokenizer: PreTrainedTokenizerFast,
    *,
    start: int,
    mistake_rates: Mapping[str, float],
    seed: int,
    focus: Sequence[str] = (),
    again_rate: float = 0.0,
) -> Iterator[Row]:
    """Endless rows, tiers in rotation, from task number ``start`` on.

    ``mistake_rates``: tier to the share of episodes in which the demonstrator errs. ``focus``: kinds of
    tasks of which one more is shown in every rotation. ``again_rate``: share of episodes in which the
    customer asks a second question.
    """
    rng = random.Random(seed)
    index = start
    extra = [
        (tier, number, len(kinds))
        for tier, kinds in KINDS.items()
        for number, kind in enumerate(kinds)
        if kind.__name__ in focus
    ]
    while True:
        chosen = [(tier, index) for tier in TIERS]
        chosen += [(tier, EXTRA + index * count + number) for tier, number, count in extra]
        for tier, task in chosen:
            mistake = rng.random() < mistake_rates.get(tier, 0.0)
            again = rng.random() < again_rate
            messages = episode(tier, task, mistake=mistake, seed=rng.randrange(2**31), again=again)
            yield encode(tokenizer, messages)
        index += 1


def episode(tier: str, index: int, *, mistake: bool, seed: int, again: bool = False) -> list[BaseMessage]:
    """The messages of one demonstration on a training task; ``again``: with a second question after it."""
    task = make_task("train", tier, index, PRETRAINING_SEED)
    rng = random.Random(seed)
    chosen = rng.choice(mistakes_for(task)) if mistake else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "world.db"
        world = make_world(task.split, task.seed)
        write_world(world, path)
        messages = demonstrate(task, path, mistake=chosen, seed=seed)
        if again:
            kind = rng.choice((status, city, policy, total))
            question = Task(task.id, "simple", kind.__name__, split=task.split, seed=task.seed, **kind(rng, world))
            messages += demonstrate(question, path, seed=seed)
        return messages


def as_chat(messages: list[BaseMessage]) -> list[dict[str, Any]]:
    """The messages in the form that chat templates take, system prompt first."""
    chat: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
    for message in messages:
        if message.type == "human":
            chat.append({"role": "user", "content": message.text})
        elif isinstance(message, ToolMessage):
            chat.append({"role": "tool", "content": message.text})
        else:
            calls = [
                {"type": "function", "function": {"name": call["name"], "arguments": call["args"]}}
                for call in getattr(message, "tool_calls", [])
            ]
            chat.append({"role": "assistant", "content": message.text, "tool_calls": calls})
    return chat


def encode(tokenizer: PreTrainedTokenizerFast, messages: list[BaseMessage]) -> Row:
    """Render with the template and its generation markers."""
    out: Any = tokenizer.apply_chat_template(
        as_chat(messages), tools=TOOL_SCHEMAS, return_assistant_tokens_mask=True, return_dict=True
    )
    return Row(list(out["input_ids"]), list(out["assistant_masks"]))
