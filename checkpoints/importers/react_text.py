"""ReAct runs in plain text (Yao et al. 2023): ``Question``, then ``Thought``, ``Action`` and ``Observation`` in turn.

As the logs of Reflexion write them (Shinn et al. 2023, github.com/noahshinn/reflexion): trials, and in each the
correct, the incorrect and the halted runs; a run that halted stands among the incorrect ones too in places, and is one
run. A thought and its action become an answer with a call, the observation its result. The prompt is not in these
files; the tools are those of the paper. ``Answer is CORRECT`` is the judge's word, and becomes the reward.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .calls import Asked
from .conversation import Conversation
from .files import text_of
from .record import BadRow, Record, digest_of, read_id
from .schemas import read_tools

NAME = "react-text"
SUFFIXES = (".txt",)
_ARGUMENT = {"Search": "entity", "Lookup": "keyword", "Finish": "answer"}
_TOLD = {
    "Search": "Search the exact entity on Wikipedia: its first paragraph, or similar entities if there is none.",
    "Lookup": "The next sentence with the keyword in the current passage.",
    "Finish": "Give the answer and finish the task.",
}
_STEP = re.compile(r"^(Thought|Action|Observation) (\d+): ?", re.MULTILINE)
_HEAD = re.compile(r"^(?:BEGIN TRIAL (?P<trial>\d+)|-+ BEGIN (?P<part>\w+) AGENTS -+|Question: )", re.MULTILINE)
_ACTION = re.compile(r"\s*(\w+)\[(.*)\]\s*", re.DOTALL)
_END = re.compile(r"^Correct answer: ?", re.MULTILINE)


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like a run that ``rows`` found in a text?"""
    return isinstance(row.get("text"), str) and row["text"].startswith("Question: ") and "Action 1:" in row["text"]


def rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The runs in a text: each with its line, trial, part and words."""
    text = text_of(file)
    trial, part, line, at = 0, "", 1, 0
    heads = list(_HEAD.finditer(text))
    for place, head in enumerate(heads):
        line, at = line + text.count("\n", at, head.start()), head.start()
        end = heads[place + 1].start() if place + 1 < len(heads) else len(text)
        if head["trial"]:
            trial = int(head["trial"])
        elif head["part"]:
            part = head["part"].lower()
        else:
            yield line, {"trial": trial, "part": part, "text": text[at:end]}


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of one run.

    Raises:
        BadRow: its steps are not thought, action and observation in turn.
    """
    if not fits(row):
        raise BadRow("no text with a question and an action")
    told, *_ = _END.split(row["text"], maxsplit=1)
    question, *steps = _STEP.split(told)
    question = question.removeprefix("Question: ").strip()
    task = f"react-{_words(question)}-{digest_of(question)[:6]}"
    trial = row.get("trial", 0)
    thread = f"{task}-{read_id(trial, 'trial')}"
    chat = Conversation(thread)
    chat.human(question)
    thought = judged = ""
    for place in range(0, len(steps), 3):
        chat.place = place // 3 + 1
        kind, number, text = steps[place], int(steps[place + 1]), steps[place + 2].rstrip("\n")
        if number != place // 9 + 1 or kind != ("Thought", "Action", "Observation")[place // 3 % 3]:
            raise BadRow(f"{kind} {number} is out of turn")
        if kind == "Thought":
            thought = text
        elif kind == "Action":
            chat.ai(thought, [_call(text)])
        else:
            chat.result(text, failed=text.startswith("Invalid Action"))
            judged = text if text.startswith("Answer is ") else ""
    return Record(
        thread=thread,
        agent="react-text",
        task=task,
        trial=trial if isinstance(trial, int) else None,
        messages=chat.messages(),
        reward=float(judged.startswith("Answer is CORRECT")),
        tools=_tools(),
        metadata={} if judged else {"termination_reason": "halted"},
    )


def _call(text: str) -> Asked:
    found = _ACTION.fullmatch(text)
    if found is None:
        return Asked(None, error="the action is not of the form Name[argument]", raw=text)
    name, argument = found.groups()
    return Asked(name, {_ARGUMENT.get(name, "argument"): argument})


def _words(question: str) -> str:
    """The first words of a question, for the name of its thread.

    >>> _words("Which of Jonny Craig and Pete Doherty has been a member of more bands ?")
    'which-of-jonny-craig-and'
    """
    return "-".join(re.findall(r"[a-z0-9]+", question.lower())[:5])


def _tools() -> tuple[dict[str, Any], ...]:
    def schema(argument: str) -> dict[str, Any]:
        return {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}

    return read_tools(
        [
            {"name": name, "description": _TOLD[name], "parameters": schema(argument)}
            for name, argument in _ARGUMENT.items()
        ]
    )
