"""InterCode runs in SQL and Bash (Yang et al. 2023, github.com/princeton-nlp/intercode): actions, results, rewards.

Every run of one question starts from the same two messages, so trials of it can be paired. An action
becomes a call of ``execute`` (or of ``submit``), its observation the result, cut at 2,000 characters. What
InterCode refused to run (``valid_action`` false: no command in it, or one that fails) is a failed call. The files hold
neither the prompt nor tools: those here say what the action was. A row is a run, or an object with all runs of a file,
as InterCode writes it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from .record import CUT_KEY, BadRow, Record, read_id, read_number
from .schemas import read_tools

NAME = "intercode"
LONGEST = 2000
_LANGUAGE = {"ic_sql": "sql", "ic_bash": "bash"}
_ARGUMENT = {"sql": "query", "bash": "command"}
_SYSTEM = {
    "sql": "Answer the question by running SQL queries against the database, one at a time.",
    "bash": "Do what is asked by running Bash commands, one at a time.",
}
_TOLD = {"sql": "Run an SQL query against the database.", "bash": "Run a Bash command."}


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like an InterCode run, or like all of a file?"""
    return _is_run(row) or _is_file(row)


def read(row: dict[str, Any], file: Path) -> Record | Iterator[Record | BadRow]:
    """The record of a run, or those of all runs of a file.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    return _runs(row, file) if _is_file(row) else _run(row, file)


def _is_run(row: Any) -> bool:
    return isinstance(row, dict) and "turn_history" in row and row.get("environment", "ic_sql") in list(_LANGUAGE)


def _is_file(row: dict[str, Any]) -> bool:
    return bool(row) and all(key.isdigit() for key in row) and any(_is_run(run) for run in row.values())


def _runs(row: dict[str, Any], file: Path) -> Iterator[Record | BadRow]:
    for key, run in row.items():
        try:
            if not isinstance(run, dict):
                raise BadRow("it is no object")
            yield _run(run, file)
        except BadRow as error:
            yield BadRow(f"run {key}: {error}")


def _run(row: dict[str, Any], file: Path) -> Record:
    missing = [key for key in ("task_id", "query", "turn_history", "summary") if key not in row]
    if missing:
        raise BadRow(f"no {', '.join(missing)}")
    if not _is_run(row):
        raise BadRow(f"environment is {row['environment']!r}, not {' or '.join(map(repr, _LANGUAGE))}")
    language = _LANGUAGE[row.get("environment", "ic_sql")]
    turns = row["turn_history"]
    try:
        actions, observations, rewards = turns["actions"], turns["observations"], turns["rewards"]
        reward = read_number(row["summary"]["max_reward"], "max_reward")
    except (KeyError, TypeError) as error:
        raise BadRow(f"turn_history or summary cannot be read: {error!r}") from error
    if not isinstance(row["query"], str):
        raise BadRow(f"query is no text: {row['query']!r}")
    if not all(isinstance(turn, list) for turn in (actions, observations, rewards)) or not actions:
        raise BadRow("turn_history holds no lists of actions, observations and rewards")
    if not len(actions) == len(observations) == len(rewards):
        raise BadRow(
            f"{len(actions)} actions, {len(observations)} observations and {len(rewards)} rewards do not fit together"
        )
    model = model_of(file)
    task = "-".join(["intercode", *_place(language, row, file), read_id(row["task_id"], "task_id")])
    thread = f"{task}-{model}"
    messages: list[BaseMessage] = [
        SystemMessage(_SYSTEM[language], id=f"{thread}:system"),
        HumanMessage(row["query"], id=f"{thread}:query"),
    ]
    valid = turns.get("valid_action", [True] * len(actions))
    if not isinstance(valid, list) or len(valid) != len(actions):
        raise BadRow(f"valid_action is no list of {len(actions)}")
    given: list[tuple[str, float]] = []
    for turn, (action, observation, value) in enumerate(zip(actions, observations, rewards, strict=True)):
        if not isinstance(action, str):
            raise BadRow(f"action {turn} is no text")
        call = _call(action, language, f"{thread}:{turn}:call")
        messages.append(AIMessage("", id=f"{thread}:{turn}", tool_calls=[call]))
        if not isinstance(observation, str):
            raise BadRow(f"observation {turn} is no text")
        failed = observation.startswith("Error") or not valid[turn]
        kind: dict[str, Any] = {"kind": "failed" if failed else "result"}
        messages.append(
            ToolMessage(
                observation[:LONGEST],
                id=f"{thread}:{turn}:result",
                tool_call_id=call["id"] or "",
                name=call["name"],
                status="error" if failed else "success",
                additional_kwargs=kind | ({CUT_KEY: len(observation)} if len(observation) > LONGEST else {}),
            )
        )
        given.append((f"{thread}:{turn}", read_number(value, f"reward {turn}")))
    return Record(
        thread=thread,
        agent=f"intercode-{language}",
        task=task,
        trial=0,
        model=model,
        messages=tuple(messages),
        reward=reward,
        turn_rewards=tuple(given),
        tools=_tools(language),
    )


def model_of(file: Path) -> str:
    """The model that the name of ``file`` names, or else the name.

    >>> [model_of(Path(name)) for name in ("sql.gpt-4.jsonl.gz", "ic_bash_multiturn_gpt-4_10_turns_fs_1.json")]
    ['gpt-4', 'gpt-4']
    >>> model_of(Path("ic_sql_multiturn_gpt-3.5_10_turns_handicap.json"))
    'multiturn_gpt-3.5_10_turns_handicap'
    """
    stem = re.sub(r"(\.jsonl|\.json)?(\.gz)?$", "", file.name)
    named = re.fullmatch(r".*(?:sql|bash)\.(.+?)(?:\.fs\d+)?(?:\.sample)?", stem)
    named = named or re.fullmatch(r"ic_(?:sql|bash)_multiturn_(.+?)_10_turns(?:_fs_\d+)?", stem)
    return named.group(1) if named else re.sub(r"^ic_(?:sql|bash)_|_fs_\d+$", "", stem)


def _place(language: str, row: dict[str, Any], file: Path) -> list[str]:
    """Language, and for Bash the file system that the questions are about: their numbers begin anew in each."""
    place = re.search(r"fs_?(\d+)", f"{row.get('dataset')} {file.name}") if language == "bash" else None
    return [language, *([f"fs{place.group(1)}"] if place else [])]


def _call(action: str, language: str, id_: str) -> ToolCall:
    if action.strip().lower() == "submit":
        return ToolCall(name="submit", args={}, id=id_, type="tool_call")
    return ToolCall(name="execute", args={_ARGUMENT[language]: action}, id=id_, type="tool_call")


def _tools(language: str) -> tuple[dict[str, Any], ...]:
    argument = _ARGUMENT[language]
    schema = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    execute = {"name": "execute", "description": _TOLD[language], "parameters": schema}
    return read_tools([execute, {"name": "submit", "description": "Hand in what is there."}])
