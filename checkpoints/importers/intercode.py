"""InterCode SQL runs (Yang et al. 2023, github.com/princeton-nlp/intercode): actions, observations, rewards.

Every run of one question starts from the same two messages, so trials of it can be paired. An action
becomes a call of ``execute`` (or of ``submit``), its observation the result, cut at 2,000 characters. What
InterCode refused to run (``valid_action`` false: no SQL in it, or SQL that fails) is a failed call.
"""

import re
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from .record import BadRow, Record, read_id, read_number

NAME = "intercode"
SYSTEM = "Answer the question by running SQL queries against the database, one at a time."
LONGEST = 2000


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like an InterCode SQL run?"""
    return "turn_history" in row and row.get("environment", "ic_sql") == "ic_sql"


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of one run.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    missing = [key for key in ("task_id", "query", "turn_history", "summary") if key not in row]
    if missing:
        raise BadRow(f"no {', '.join(missing)}")
    if not fits(row):
        raise BadRow(f"environment is {row['environment']!r}, not 'ic_sql'")
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
    named = re.search(r"sql\.(.+?)(\.sample)?\.jsonl", file.name)
    model = named.group(1) if named else file.name.partition(".")[0]
    task = f"intercode-sql-{read_id(row['task_id'], 'task_id')}"
    thread = f"{task}-{model}"
    messages: list[BaseMessage] = [
        SystemMessage(SYSTEM, id=f"{thread}:system"),
        HumanMessage(row["query"], id=f"{thread}:query"),
    ]
    valid = turns.get("valid_action", [True] * len(actions))
    if not isinstance(valid, list) or len(valid) != len(actions):
        raise BadRow(f"valid_action is no list of {len(actions)}")
    given: list[tuple[str, float]] = []
    for turn, (action, observation, value) in enumerate(zip(actions, observations, rewards, strict=True)):
        if not isinstance(action, str):
            raise BadRow(f"action {turn} is no text")
        call = _call(action, f"{thread}:{turn}:call")
        messages.append(AIMessage("", id=f"{thread}:{turn}", tool_calls=[call]))
        if not isinstance(observation, str):
            raise BadRow(f"observation {turn} is no text")
        failed = observation.startswith("Error") or not valid[turn]
        messages.append(
            ToolMessage(
                observation[:LONGEST],
                id=f"{thread}:{turn}:result",
                tool_call_id=call["id"] or "",
                name=call["name"],
                status="error" if failed else "success",
                additional_kwargs={"kind": "failed" if failed else "result"},
            )
        )
        given.append((f"{thread}:{turn}", read_number(value, f"reward {turn}")))
    return Record(
        thread=thread,
        agent="intercode-sql",
        task=task,
        trial=0,
        model=model,
        messages=tuple(messages),
        reward=reward,
        turn_rewards=tuple(given),
    )


def _call(action: str, id_: str) -> ToolCall:
    if action.strip().lower() == "submit":
        return ToolCall(name="submit", args={}, id=id_, type="tool_call")
    return ToolCall(name="execute", args={"query": action}, id=id_, type="tool_call")
