"""τ²-bench results (Barres et al. 2025, github.com/sierra-research/tau2-bench): one document with all simulations.

The messages begin with a greeting that no model produced; it is given, not trained. What the user does with tools of
its own was never shown to the agent: it is noted on what the user says next. The policy is told as the system prompt;
the instructions that tau2 puts around it are not in the file. Tools are taken from a ``tools.json`` beside the file
where it has none itself. ``errors`` on an answer are attempts that the harness refused before it; they are kept.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .calls import Asked, read_call
from .conversation import Conversation
from .notes import note, note_spelled_calls
from .record import BadRow, Record, read_id, read_number, short_name
from .schemas import read_tools, tools_beside

NAME = "tau2"
ERRORS_KEY = "errors"
USER_CALLS_KEY = "user_calls"
"""In ``additional_kwargs`` of what a user says: the calls it made before, with their results."""
KEPT = ("termination_reason", "seed", "duration")


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like a file of τ²-bench results?"""
    return "simulations" in row and isinstance(row.get("info"), dict)


def read(row: dict[str, Any], file: Path) -> Iterator[Record | BadRow]:
    """The record of each simulation.

    Raises:
        BadRow: the document lacks what all simulations need.
    """
    info, simulations = row.get("info"), row.get("simulations")
    if not isinstance(simulations, list) or not isinstance(info, dict):
        raise BadRow("no info or no list of simulations")
    world, agent = (_object(info.get(key)) for key in ("environment_info", "agent_info"))
    tools = read_tools(world["tool_defs"]) if isinstance(world.get("tool_defs"), list) else tools_beside(file)
    for place, simulation in enumerate(simulations):
        try:
            yield _simulation(simulation, world, agent, tools)
        except BadRow as error:
            yield BadRow(f"simulation {place}: {error}")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _simulation(
    run: Any, world: Mapping[str, Any], agent: Mapping[str, Any], tools: tuple[dict[str, Any], ...]
) -> Record:
    if not isinstance(run, dict) or not isinstance(run.get("messages"), list):
        raise BadRow("it has no messages")
    domain = read_id(world.get("domain_name", "unknown"), "domain_name")
    model = agent.get("llm")
    if model is not None and not isinstance(model, str):
        raise BadRow(f"llm is no text: {model!r:.100}")
    task = f"tau2-{domain}-{read_id(run.get('task_id'), 'task_id')}"
    trial = read_number(run.get("trial", 0) or 0, "trial")
    if not trial.is_integer():
        raise BadRow(f"trial is no whole number: {run['trial']!r}")
    named = [short_name(model)] if model else []
    chat = Conversation("-".join([task, *named, str(int(trial))]))
    if isinstance(world.get("policy"), str) and world["policy"]:
        chat.system(world["policy"])
    notes = _say_all(chat, run["messages"])
    outcome = run.get("reward_info")
    reward = outcome.get("reward") if isinstance(outcome, dict) else None
    return Record(
        thread=chat.thread,
        agent=f"tau2-{domain}",
        task=task,
        trial=int(trial),
        model=model,
        messages=note_spelled_calls(note(message, notes.get(str(message.id), {})) for message in chat.messages()),
        reward=None if reward is None else read_number(reward, "reward"),
        tools=tools,
        metadata={key: run[key] for key in KEPT if isinstance(run.get(key), (str, int, float))}
        | ({"simulation": run["id"]} if isinstance(run.get("id"), str) else {}),
    )


def _say_all(chat: Conversation, messages: list[Any]) -> dict[str, dict[str, Any]]:
    """Say all of ``messages``; what is to be noted on some of them, by their ids."""
    notes: dict[str, dict[str, Any]] = {}
    by_user: list[dict[str, Any]] = []
    heard: str | None = None
    for place, message in enumerate(_flat(messages)):
        chat.place = place
        role, content, calls = message.get("role"), message.get("content"), _calls(message, place)
        if role == "tool" and message.get("requestor") == "user":
            waiting = next((call for call in by_user if "result" not in call), None)
            if waiting is None:
                raise BadRow(f"message {place} is a result for the user, who called nothing")
            waiting["result"], waiting["failed"] = chat.text(content), bool(message.get("error"))
        elif role == "tool":
            chat.result(content, id_=message.get("id"), failed=bool(message.get("error")))
        elif role == "user":
            by_user += [{"name": call.name, "args": call.args} for call in calls]
            if content:
                chat.human(content)
                heard = chat.last_id()
                if by_user:
                    notes[heard], by_user = {USER_CALLS_KEY: by_user}, []
        elif role == "assistant":
            greets = place == 0 and not calls and not message.get("usage") and not message.get("raw_data")
            chat.ai(content, calls, reasoning=message.get("reasoning"), trained=not greets)
            if message.get("errors"):
                notes[chat.last_id()] = {ERRORS_KEY: message["errors"]}
        elif role == "system":
            chat.system(content)
        else:
            raise BadRow(f"message {place} has the unknown role {role!r}")
    if by_user and heard is not None:
        earlier = notes.get(heard, {}).get(USER_CALLS_KEY, [])
        notes[heard] = {USER_CALLS_KEY: earlier + by_user}
    return notes


def _flat(messages: list[Any]) -> Iterator[dict[str, Any]]:
    """The messages one by one; results of parallel calls may come in one."""
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            raise BadRow(f"message {place} is no object")
        together = message.get("tool_messages")
        if isinstance(together, list):
            yield from _flat(together)
        else:
            yield message


def _calls(message: dict[str, Any], place: int) -> list[Asked]:
    asked = message.get("tool_calls") or []
    if not isinstance(asked, list) or not all(isinstance(call, dict) for call in asked):
        raise BadRow(f"the tool_calls of message {place} are no list of objects")
    return [read_call(call.get("name"), call.get("arguments"), call.get("id")) for call in asked]
