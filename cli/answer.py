"""``threadmill threads approve · edit · reject · respond · answer``: answer what a paused thread asks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .driven import driven, tell_changes
from .lost_world import refuse_lost_world
from .place import DEFAULT_DB, AsJson, By, Database, Model, ThreadId, at_db, user

if TYPE_CHECKING:
    from ..graphs.run import Outcome

CallId = Annotated[str | None, typer.Option("--call", help="The call that is meant, to be sure.")]


def approve(
    thread: ThreadId,
    call: CallId = None,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Agree to what a paused thread asks, and run it on.

    Example: threadmill threads approve helpdesk-1a2b3c4d
    """
    _answer_all(thread, {"type": "approve"}, call, by, model, db, as_json)


def edit(
    thread: ThreadId,
    args: Annotated[str, typer.Option(help="A JSON object of the arguments to change.")],
    call: CallId = None,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Change the arguments of the call that is asked about, and run the thread on.

    Example: threadmill threads edit helpdesk-1a2b3c4d --args '{"amount": 60}'
    """
    changed = read_json(args, "--args")
    if not isinstance(changed, dict):
        raise typer.BadParameter(f"{args!r} is no JSON object", param_hint="--args")
    _answer_all(thread, {"type": "edit", "args": changed}, call, by, model, db, as_json)


def reject(
    thread: ThreadId,
    reason: Annotated[str, typer.Option(help="Told to the model.")],
    call: CallId = None,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Refuse the call that is asked about, and run the thread on.

    Example: threadmill threads reject helpdesk-1a2b3c4d --reason "too late for a refund"
    """
    _answer_all(thread, {"type": "reject", "text": reason}, call, by, model, db, as_json)


def respond(
    thread: ThreadId,
    text: Annotated[str, typer.Option(help="What the tool would have said.")],
    call: CallId = None,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Answer in the tool's place, and run the thread on.

    Example: threadmill threads respond helpdesk-1a2b3c4d --text "refunded by hand"
    """
    _answer_all(thread, {"type": "respond", "text": text}, call, by, model, db, as_json)


def answer(
    thread: ThreadId,
    answers: Annotated[str, typer.Argument(help="A JSON list, a file with one, or - to read it from stdin.")],
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Answer several questions, each in its own way, and run the thread on.

    Each answer has the question's id and a type: approve, edit (with args), reject or respond (with text).

    Example: threadmill threads answer helpdesk-1a2b3c4d '[{"id": "c1", "type": "approve"}]'
    """
    text = _read_answers(answers)
    given = read_json(text, "ANSWERS")
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise typer.BadParameter(f"{text[:80]!r} is no JSON list of objects", param_hint="ANSWERS")
    _resume(thread, lambda questions: [{"by": by or user(), **one} for one in given], model, db, as_json)


def _read_answers(answers: str) -> str:
    if answers == "-":
        return typer.get_text_stream("stdin").read()
    if answers.lstrip().startswith(("[", "{")):
        return answers
    try:
        return Path(answers).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{answers!r} is neither JSON nor a file: {error}", param_hint="ANSWERS") from error


def read_json(text: str, name: str) -> Any:
    """``text`` as JSON; wrong usage of the option or argument ``name`` if it is none."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}", param_hint=name) from error


def make_answers(
    thread: str, questions: list[dict[str, Any]], answer: dict[str, Any], call: str | None, by: str
) -> list[dict[str, Any]]:
    """The answers that ``answer`` means; an edit's arguments are laid over those proposed.

    Raises:
        NotPaused: nothing is asked. BadAnswer: ``call`` is not asked about, or is needed.
    """
    from ..errors import BadAnswer, NotPaused

    if not questions:
        raise NotPaused(f"thread {thread!r} asks nothing; see `threadmill threads show {thread}`")
    ids = [str(question.get("id", "")) for question in questions]
    if call is not None and call not in ids:
        raise BadAnswer(f"thread {thread!r} does not ask about the call {call!r}; it asks about {', '.join(ids)}")
    if len(questions) > 1 and (call is not None or answer["type"] in ("edit", "respond")):
        raise BadAnswer(
            f"thread {thread!r} asks about {len(questions)} calls ({', '.join(ids)}), which are answered together; "
            f"approve or reject all, or answer each with `threadmill threads answer {thread} ANSWERS`"
        )
    made = []
    for question in questions:
        whole = {**answer, "id": question.get("id", ""), "by": by}
        if "args" in answer:
            whole["args"] = {**question.get("args", {}), **answer["args"]}
        made.append(whole)
    return made


def _answer_all(
    thread: str,
    answer: dict[str, Any],
    call: str | None,
    by: str | None,
    model: str | None,
    db: str,
    as_json: bool,
) -> None:
    """Give one answer to the question about ``call``, or to every question if there is no ``call``."""
    who = by or user()
    _resume(thread, lambda questions: make_answers(thread, questions, answer, call, who), model, db, as_json)


def _resume(thread: str, answers: Any, model: str | None, db: str, as_json: bool) -> None:
    from ..checkpoints.reading import latest_metadata, read_questions
    from ..checkpoints.store import open_store
    from ..training.live import Watched
    from .agents import agent_to_open, open_agent

    with open_store(db, create=False) as store:
        metadata = latest_metadata(store, thread)
        refuse_lost_world(store, thread)
        given = answers(read_questions(store, thread))
        agent = open_agent(store, agent_to_open(metadata), model=model)
        watched = Watched(store, agent)
        tell_changes(agent, metadata)
        with driven(agent, thread, db, as_json, watched.taken_back):
            outcome = watched.answer(thread, given)
    tell_outcome(outcome, as_json, db)


def tell_outcome(outcome: "Outcome", as_json: bool, db: str) -> None:
    """Print where a thread stands: the agent's answer, or what it asks now."""
    from .timeline import question_lines, visible

    if as_json:
        record = {
            "thread": outcome.thread,
            "status": outcome.status,
            "answer": outcome.answer,
            "questions": list(outcome.questions),
        }
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    typer.echo(f"{outcome.thread} · {outcome.status}")
    if outcome.answer:
        typer.echo(visible(outcome.answer))
    for line in question_lines(outcome.thread, outcome.questions, at_db(db)):
        typer.echo(visible(line))
