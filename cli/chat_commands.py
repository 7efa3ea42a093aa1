"""The commands of a chat, ``/fork``, ``/undo`` and the others: each gets the talk and what stands behind its name."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ..errors import CannotTravel, UnknownThread
from .place import user

if TYPE_CHECKING:
    from .chat_talk import Talk


@dataclass(frozen=True, slots=True)
class UserTurn:
    """Something that the user said on the thread's present branch."""

    text: str
    at: str | None
    """The checkpoint with which its run began."""
    before: str | None
    """The checkpoint that it was said at; None if it was the first turn, or what went before was pruned."""


def fork(talk: "Talk", rest: str) -> None:
    """/fork [CHECKPOINT]: go on from there, or from before the last turn, on another branch"""
    from ..checkpoints.reading import find_checkpoint
    from ..graphs.travel import fork_thread

    if not rest:
        undo(talk, "")
        return
    at = find_checkpoint(talk.store, talk.thread, rest)
    fork_thread(talk.watched.graph, talk.thread, at, by=user())
    talk.screen.say(f"on another branch, from {at[-8:]}")
    talk.look()


def undo(talk: "Talk", rest: str) -> None:
    """/undo: go back to before the last turn; it stays in the tree, and what tools did stays done"""
    from ..graphs.travel import fork_thread

    turn = last_turn(talk)
    if turn.before is None:
        talk.thread = f"{talk.thread}-{_branch_number(talk)}"
        talk.look()
        talk.screen.say(f"nothing comes before the first turn: the new thread {talk.thread} begins")
        return
    fork_thread(talk.watched.graph, talk.thread, turn.before, by=user())
    talk.screen.say(f"before “{_short(turn.text)}”")
    talk.look()


def retry(talk: "Talk", rest: str) -> None:
    """/retry: let the agent answer the last turn once more, on another branch"""
    from ..graphs.travel import fork_thread

    turn = last_turn(talk)
    if turn.at is None:
        raise CannotTravel("where the last turn began was pruned; say it again")
    fork_thread(talk.watched.graph, talk.thread, turn.at, by=user())
    talk.questions, talk.answers = (), []
    talk.continue_run()


def continue_(talk: "Talk", rest: str) -> None:
    """/continue: go on with a run that was stopped, or that failed"""
    talk.continue_run()


def label(talk: "Talk", rest: str) -> None:
    """/label [message] KIND VALUE: say what came of this branch, or of its last message; success 1, feedback TEXT"""
    from ..checkpoints.labels import Label, add_label
    from ..checkpoints.reading import latest_checkpoint, read_messages
    from .label import _read

    of_message = rest.startswith("message ")
    kind, _, value = rest.removeprefix("message ").strip().partition(" ")
    known, meant = _read(kind or None, value.strip() or None, None)
    leaf = latest_checkpoint(talk.store, talk.thread)
    messages = read_messages(talk.store, talk.thread)
    message = next((one.id for one in reversed(messages) if one.type == "ai"), None)
    if of_message and message is None:
        raise UnknownThread("the agent has said nothing yet")
    place = (None, message) if of_message else (leaf, None)
    add_label(talk.store, Label(talk.thread, *place, known, meant, "person"))
    talk.screen.say(f"{'message' if of_message else 'branch'}: {known} {meant}")


def history(talk: "Talk", rest: str) -> None:
    """/history: what you said on this branch, and the checkpoint before each"""
    for turn in user_turns(talk):
        talk.screen.say(f"{turn.before[-8:] if turn.before else 'begin':<9} {_short(turn.text)}")


def tree(talk: "Talk", rest: str) -> None:
    """/tree: all branches of the thread"""
    from ..checkpoints.branch import read_all_steps
    from ..checkpoints.labels import labels_of
    from ..checkpoints.reading import checkpoint_tree, latest_checkpoint, list_namespaces
    from .tree import print_tree, tree_records

    store, thread = talk.store, talk.thread
    steps = {step.checkpoint: step for step in read_all_steps(store, thread)}
    records = tree_records(checkpoint_tree(store, thread), steps, labels_of(store, [thread]).get(thread, []))
    print_tree(thread, records, latest_checkpoint(store, thread), list_namespaces(store, thread))


def show(talk: "Talk", rest: str) -> None:
    """/show: who said what on this branch, in full"""
    from ..checkpoints.branch import branch_messages, read_steps
    from ..checkpoints.reading import latest_checkpoint, latest_metadata, leaf_checkpoints, read_questions
    from .timeline import print_timeline

    store, thread = talk.store, talk.thread
    print_timeline(
        thread,
        latest_metadata(store, thread),
        branch_messages(store, thread, latest_checkpoint(store, thread)),
        read_steps(store, thread),
        read_questions(store, thread),
        branches=len(leaf_checkpoints(store, thread)),
    )


def model(talk: "Talk", rest: str) -> None:
    """/model SPEC: another model answers the next turn, as with --model"""
    from ..training.live import Watched
    from .agents import open_agent

    if not rest:
        raise UnknownThread("/model needs a SPEC, such as helpdesk.think@live or a folder")
    talk.watched = Watched(talk.store, open_agent(talk.store, talk.agent, model=rest.split()))
    talk.screen.say(f"{rest} answers from the next turn on")


def help_(talk: "Talk", rest: str) -> None:
    """/help: this list"""
    for command in COMMANDS.values():
        usage, _, what = (command.__doc__ or "").partition(": ")
        talk.screen.say(f"{usage:<28} {what}")
    talk.screen.say(f"{'/quit':<28} leave; the thread is kept")


COMMANDS: dict[str, Callable[["Talk", str], None]] = {
    "fork": fork,
    "undo": undo,
    "retry": retry,
    "continue": continue_,
    "label": label,
    "history": history,
    "tree": tree,
    "show": show,
    "model": model,
    "help": help_,
}


def nearest(name: str) -> str:
    """What may have been meant by the command ``name``."""
    close = get_close_matches(name, [*COMMANDS, "quit"], n=1)
    return f"did you mean /{close[0]}?" if close else "/help lists them"


def user_turns(talk: "Talk") -> list[UserTurn]:
    """What the user said on the present branch, in order.

    Raises:
        UnknownThread: nothing was said yet.
    """
    from langchain_core.messages import HumanMessage

    from ..checkpoints.branch import read_steps
    from ..checkpoints.reading import checkpoint_tree

    steps = read_steps(talk.store, talk.thread)
    parents = {node.checkpoint: node.parent for node in checkpoint_tree(talk.store, talk.thread)}
    turns = []
    for step in steps:
        at = parents.get(step.checkpoint)
        said: list[Any] = [message for message in step.added if isinstance(message, HumanMessage)]
        if said:
            turns.append(UserTurn(said[0].text, at, parents.get(at) if at else None))
    return turns


def last_turn(talk: "Talk") -> UserTurn:
    """What the user said last.

    Raises:
        CannotTravel: nothing yet.
    """
    turns = user_turns(talk)
    if not turns:
        raise CannotTravel(f"nothing was said on this branch of {talk.thread} yet")
    return turns[-1]


def _branch_number(talk: "Talk") -> int:
    """The first number that makes a thread's id one that is not taken."""
    from ..checkpoints.reading import latest_checkpoint

    number = 2
    while True:
        try:
            latest_checkpoint(talk.store, f"{talk.thread}-{number}")
        except UnknownThread:
            return number
        number += 1


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:69]}…"
