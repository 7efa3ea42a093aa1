"""The dialogs of FunctionChat-Bench as a suite: what to answer in each turn (Lee et al. 2024, Apache-2.0, in Korean).

Four kinds of answers are due: a call; the completion of one, which tells what came of it; a question about what is
missing (slot); and, where no tool helps, words alone (relevance). The benchmark lets a model judge them. Here rules do,
which see less: a completion that is worded badly passes, and so does a question about the wrong thing.
"""

import ast
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from ....checkpoints.importers import functionchat
from ....checkpoints.importers.conversation import Conversation as Chat
from ....errors import BadEvaluation, UnknownSuite
from ...suites import Judged
from .ask_once import Conversation
from .ast_match import Expected, right_args
from .bfcl import check_calls
from .rows import digest_with_checks, read_rows
from .schemas import Tool, make_tools, model_name, schemas_of
from .suite import AnswerSuite, Task
from .words import asks, declines, new_facts, says, stray_numbers, tells

KINDS: Mapping[str, Literal["act", "ask", "refuse"]] = {
    "call": "act",
    "completion": "act",
    "slot": "ask",
    "relevance": "refuse",
}
"""The kinds of answers, each with what is due there."""
Rule = Callable[[str], bool]
"""From the text of an answer: does it do what it should?"""


def make_functionchat(place: str) -> AnswerSuite:
    """The suite of the dialogs in the file ``place``; the tiers are the kinds of answers.

    Raises:
        UnknownSuite: there is no such file, or no dialog in it.
        BadEvaluation: it cannot be read.
    """
    file = Path(place)
    if not file.is_file():
        raise UnknownSuite(f"there is no file {place!r}; name one with dialogs of FunctionChat-Bench")
    tasks: list[Task] = []
    for number, row in read_rows(file):
        try:
            tasks += _tasks(row)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise BadEvaluation(f"{file}, line {number}, is no dialog of FunctionChat-Bench: {error!r}") from error
    if not tasks:
        raise UnknownSuite(f"{place} holds no dialog; name a file with dialogs of FunctionChat-Bench")
    tasks.sort(key=lambda task: list(KINDS).index(task.tier))
    return AnswerSuite("functionchat", tuple(tasks), digest_with_checks([file]))


def check_call(due: Expected, exactly: bool, answer: AIMessage) -> Judged:
    """Is the answer the one call that is due? Texts are compared as ``ast_match`` does, unless ``exactly``."""
    judged = check_calls((due,), answer)
    if exactly and judged.success and answer.tool_calls[0]["args"] != right_args(due):
        return Judged(0, 1)
    return judged


def check_words(rules: Sequence[Rule], answer: AIMessage) -> Judged:
    """Does it answer in words, without a call, and keep every rule?"""
    conditions = 1 + len(rules)
    if answer.tool_calls or answer.invalid_tool_calls or not answer.text.strip():
        return Judged(0, conditions)
    return Judged(1 + sum(rule(answer.text) for rule in rules), conditions)


def _tasks(row: Mapping[str, Any]) -> Iterator[Task]:
    tools = make_tools(row["tools"])
    for turn in row["turns"]:
        kind = turn["type_of_output"]
        if kind not in KINDS:
            raise ValueError(f"turn {turn['turn_num']} asks for {kind!r}; there are {', '.join(KINDS)}")
        id_ = f"functionchat-{row['dialog_num']}-{turn['turn_num']}"
        first, *later = _messages(id_, turn["query"])
        if not isinstance(first, HumanMessage):
            raise ValueError(f"turn {turn['turn_num']} does not begin with a user")
        if kind == "call":
            due = _due(turn, tools)
            check, needed = partial(check_call, due, _is_exact(turn)), ((due.name, right_args(due)),)
        else:
            rules = _rules(kind, turn["ground_truth"]["content"], [first, *later])
            check, needed = partial(check_words, rules), ()
        yield Task(id_, kind, first.text, Conversation(tools, tuple(later)), check, needed, KINDS[kind])


def _messages(id_: str, query: Sequence[Any]) -> Sequence[AnyMessage]:
    chat = Chat(id_)
    chat.is_context = True
    for chat.place, message in enumerate(query):
        functionchat.say(chat, message)
    return chat.messages()  # pyright: ignore[reportReturnType]


def _due(turn: Mapping[str, Any], tools: Sequence[Tool]) -> Expected:
    """The call of the right answer, with what the benchmark accepts besides."""
    (call,) = turn["ground_truth"]["tool_calls"]
    name = model_name(call["function"]["name"])
    schema = schemas_of(tools)[name]
    args: dict[str, list[Any]] = {key: [value] for key, value in json.loads(call["function"]["arguments"]).items()}
    for key, value in _accepted(turn["acceptable_arguments"]).items():
        is_list = schema["properties"].get(key, {}).get("type") == "array"
        more = value if isinstance(value, list) and not is_list else [value]
        args[key] = args.get(key, [""]) + more
    return Expected(name, args, schema)


def _accepted(written: Any) -> Mapping[str, Any]:
    """What is written as an object, of JSON or of Python; a remark says nothing that could be checked."""
    if isinstance(written, Mapping):
        return written
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(written)
        except (TypeError, ValueError, SyntaxError):
            continue
        return value if isinstance(value, Mapping) else {}
    return {}


def _is_exact(turn: Mapping[str, Any]) -> bool:
    return str(turn["acceptable_arguments"]).startswith("Only ground truth")


def _rules(kind: str, told: str, said: Sequence[AnyMessage]) -> list[Rule]:
    """``told`` is the right answer, ``said`` the conversation before it."""
    if kind == "slot":
        return [asks]
    if kind == "relevance":
        return [declines] if declines(told) else []
    results = [message.text for message in said if isinstance(message, ToolMessage)]
    before = "\n".join(_all_of(message) for message in said if not isinstance(message, ToolMessage))
    facts = new_facts(results, before, told)
    sources = [*results, before, told]
    return [
        tells,
        lambda text: all(says(text, fact) for fact in facts),
        lambda text: not stray_numbers(text, sources),
        lambda text: declines(text) == declines(told),
    ]


def _all_of(message: AnyMessage) -> str:
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return "\n".join([message.text, *(json.dumps(call["args"], ensure_ascii=False) for call in calls)])
