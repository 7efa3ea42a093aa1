"""The course of a chat: what is typed is a turn, an answer to an open question, or a command; then the agent runs."""

import json
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from typer import BadParameter

from ..errors import ThreadmillError, UnknownThread
from .chat_answers import HELP, is_edit, read_answer, read_edit
from .chat_commands import COMMANDS, nearest
from .chat_screen import Screen, headline, is_for_user
from .driven import told
from .lost_world import refuse_lost_world
from .place import user

if TYPE_CHECKING:
    from ..checkpoints.store import Store
    from ..graphs.run import Outcome
    from ..graphs.streamed import Event
    from ..training.live import Watched
    from .chat_lines import Lines


@dataclass
class Talk:
    """One person, one agent, one thread at a time."""

    store: "Store"
    agent: str
    watched: "Watched"
    thread: str
    begin: Callable[[str], dict[str, Any]]
    """Settings for the next turn of a thread."""
    screen: Screen
    lines: "Lines"
    at_db: str
    """How the commands that go on with this thread name the database."""
    questions: tuple[dict[str, Any], ...] = ()
    """What the thread waits for."""
    answers: list[dict[str, Any]] = field(default_factory=list)
    """Those given so far: all questions are answered together."""
    failed: bool = False
    """Whether the last run did not come to its end."""

    def go(self) -> None:
        """Talk until the person leaves."""
        self.screen.say(f"{self.watched.graph.name} · thread {self.thread} · /help lists the commands", dim=True)
        self.look()
        try:
            while (line := self._read()) not in (None, "/quit"):
                self._take(line)
        finally:
            self.leave()

    def _take(self, line: str) -> None:
        try:
            self.take(line)
        except BadParameter as error:
            self.screen.say(f"error: {error.format_message()}", fg="red")
        except ThreadmillError as error:
            self.screen.say(f"error: {error}", fg="red")

    def take(self, line: str) -> None:
        """Do what ``line`` says."""
        if self.questions and (answer := self._answer(line)) is not None:
            self._answered(answer)
        elif line.startswith("/"):
            name, _, rest = line[1:].partition(" ")
            if name not in COMMANDS:
                raise UnknownThread(f"there is no command /{name}; {nearest(name)}")
            COMMANDS[name](self, rest.strip())
        elif self.questions:
            self.screen.say(HELP, dim=True)
        elif line:
            self.run(lambda stop: self.watched.stream(self.thread, line, **self.begin(self.thread), stop=stop))

    def run(self, start: Callable[[Flag], "Generator[Event]"]) -> None:
        """Show a run until it ends, asks, or Ctrl-C stops it."""
        from ..graphs.run import Outcome

        stop = Flag()
        self.failed = True
        try:
            refuse_lost_world(self.store, self.thread)
            with _stopped_by_ctrl_c(stop, self.screen), closing(start(stop)) as events:
                for event in events:
                    self.screen.show(event)
                    if isinstance(event, Outcome):
                        self._ended(event)
        except Exception as error:  # of the model, or of a node; what was done so far is kept
            self.screen.say(f"error: {told(error)}", fg="red")
            self._stand()
            self.failed = True
        while self.watched.taken_back:
            self.screen.say(self.watched.taken_back.pop(0), fg="yellow")

    def continue_run(self) -> None:
        """Run on a thread that stopped half-way."""
        self.run(lambda stop: self.watched.stream_on(self.thread, stop=stop))

    def look(self) -> None:
        """See where the thread stands, and say so if anything is open."""
        from ..checkpoints.reading import read_messages

        try:
            last = read_messages(self.store, self.thread)[-2:]
        except UnknownThread:
            last = []
        for message in last:
            self.screen.say(headline(message), dim=True)
        self._stand()

    def leave(self) -> None:
        """Say how to come back, if there is anything to come back to."""
        from ..graphs.run import read_outcome

        try:
            read_outcome(self.watched.graph, self.thread)
        except UnknownThread:
            return
        self.screen.say(f"come back with: threadmill chat {self.agent} --thread {self.thread}{self.at_db}", dim=True)

    def _stand(self) -> None:
        """Find out where the thread stands."""
        from ..graphs.run import read_outcome

        self.questions, self.answers = (), []
        try:
            outcome = read_outcome(self.watched.graph, self.thread)
        except UnknownThread:
            return
        self.screen.show(outcome)
        self._ended(outcome)

    def _ended(self, outcome: "Outcome") -> None:
        self.failed = outcome.status == "failed"
        self.questions, self.answers = outcome.questions, []
        self._ask()

    def _ask(self) -> None:
        if self.questions:
            self.screen.ask(self.questions[len(self.answers)], len(self.answers) + 1, len(self.questions))

    def _answer(self, line: str) -> dict[str, Any] | None:
        """What ``line`` answers to the question that is next; None if it answers nothing."""
        question = self.questions[len(self.answers)]
        if not is_edit(line) or (is_for_user(question) and not line.startswith("/")):
            return read_answer(question, line)
        typed = self.lines.read("args> ", json.dumps(question["args"], ensure_ascii=False))
        return {**read_edit(typed or "", {}), "id": question["id"]}

    def _answered(self, answer: dict[str, Any]) -> None:
        self.answers.append({"by": user(), **answer})
        if len(self.answers) < len(self.questions):
            self._ask()
            return
        given = self.answers
        self.run(lambda stop: self.watched.stream_answers(self.thread, given, stop=stop))

    def _read(self) -> str | None:
        prompt = "> "
        if self.questions:
            prompt = "answer> " if is_for_user(self.questions[len(self.answers)]) else "a/e/r/s> "
        while True:
            try:
                line = self.lines.read(prompt)
                while line and line.endswith("\\"):
                    line = f"{line[:-1]}\n{self.lines.read('… ') or ''}"
                return line
            except KeyboardInterrupt:
                if not self.lines.is_terminal:
                    raise
                self.screen.say("\nCtrl-D or /quit leaves; the thread is kept", dim=True)


@contextmanager
def _stopped_by_ctrl_c(stop: Flag, screen: Screen) -> Iterator[None]:
    """The first Ctrl-C stops the run before its next token or step, the second one leaves."""

    def asked(*_: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        with suppress(RuntimeError):  # something was just being printed
            screen.say("stopping after what runs now; Ctrl-C again leaves at once", dim=True)

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
