"""The single-turn categories of the Berkeley Function Calling Leaderboard as a suite (Patil et al. 2025, Apache-2.0).

The files are those of the leaderboard's repository, or as ``simple_python.jsonl.gz`` beside
``simple_python.answers.jsonl.gz``. Left out: Java and JavaScript, what is executed, and what takes several turns.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, ToolCall

from ....errors import BadEvaluation, UnknownSuite
from ...suites import Judged
from .ask_once import Conversation
from .ast_match import Expected, count_right, right_args
from .rows import digest_with_checks, read_rows
from .schemas import make_tools, model_name, schemas_of
from .suite import AnswerSuite, Task

FILES = {
    "simple": r"simple(_python)?",
    "multiple": "multiple",
    "parallel": "parallel",
    "parallel-multiple": "parallel_multiple",
    "irrelevance": "irrelevance",
}
"""Category to what its file is called."""


def make_bfcl(place: str) -> AnswerSuite:
    """The suite of ``FOLDER``, or of one category: ``FOLDER:parallel``.

    Raises:
        UnknownSuite: there is no such folder, or no file of the category in it.
        BadEvaluation: a file cannot be read.
    """
    head, _, tail = place.rpartition(":")
    folder, wanted = (Path(head), [tail]) if tail in FILES else (Path(place), [*FILES])
    found = {category: _file_named(folder, FILES[category]) for category in wanted}
    present = {category: file for category, file in found.items() if file is not None}
    if not present:
        raise UnknownSuite(
            f"no file of {', '.join(wanted)} is in the folder {str(folder)!r}; it should hold those of the Berkeley "
            f"leaderboard, such as BFCL_v4_simple_python.json; categories: {', '.join(FILES)}"
        )
    answers = {category: _answers(category, file) for category, file in present.items()}
    tasks = tuple(task for category, file in present.items() for task in _tasks(category, file, answers[category]))
    files = [*present.values(), *filter(None, answers.values())]
    return AnswerSuite("bfcl", tasks, digest_with_checks(files))


def check_calls(expected: tuple[Expected, ...], answer: AIMessage) -> Judged:
    """How many of the calls that are due were made; calls too many, and unreadable ones, are conditions not met.

    Where none is due, an answer without a call is right.
    """
    made = len(answer.tool_calls) + len(answer.invalid_tool_calls)
    if not expected:
        return Judged(int(made == 0), 1)
    calls = [ToolCall(name=model_name(call["name"]), args=call["args"], id=None) for call in answer.tool_calls]
    return Judged(count_right(calls, expected), max(made, len(expected)))


def _tasks(category: str, file: Path, answered: Path | None) -> Iterator[Task]:
    answers = {row["id"]: row["ground_truth"] for _, row in read_rows(answered)} if answered else {}
    for number, row in read_rows(file):
        try:
            yield _task(category, row, answers)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise BadEvaluation(f"{file}, line {number}, is no task of {category}: {error!r}") from error


def _task(category: str, row: dict[str, Any], answers: dict[str, Any]) -> Task:
    ((message,),) = row["question"]
    tools = make_tools(row["function"])
    schemas = schemas_of(tools)
    due = [next(iter(call.items())) for call in answers[row["id"]]] if category != "irrelevance" else []
    expected = tuple(Expected(model_name(name), args, schemas[model_name(name)]) for name, args in due)
    return Task(
        id=f"bfcl-{row['id']}",
        tier=category,
        text=message["content"],
        conversation=Conversation(tools),
        check=partial(check_calls, expected),
        needed=tuple((one.name, right_args(one)) for one in expected),
        due="act" if expected else "refuse",
    )


def _answers(category: str, file: Path) -> Path | None:
    stem = FILES[category]
    found = _file_named(file.parent, rf"{stem}\.answers") or _file_named(file.parent / "possible_answer", stem)
    if found is None and category != "irrelevance":
        raise UnknownSuite(f"there are no answers to {file}, neither beside it nor in a folder possible_answer there")
    return found


def _file_named(folder: Path, stem: str) -> Path | None:
    name = re.compile(rf"(BFCL_v\d+_)?{stem}\.jsonl?(\.gz)?")
    return next((file for file in sorted(folder.glob("*")) if name.fullmatch(file.name)), None)
