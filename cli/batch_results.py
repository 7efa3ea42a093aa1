"""The results of a batch: a file of JSON lines, one for each input, to which only whole lines are added."""

import json
from pathlib import Path
from typing import Any, Self

from ..errors import BadInput
from .batch_input import Input

_BEGIN = '{"id": '
"""How every result begins."""


class Results:
    """The file at ``path``, open for adding; use it in ``with``.

    What is done stays there; the lines of inputs that were not done make room for what comes of them now.

    Raises:
        BadInput: it holds something else.
    """

    def __init__(self, path: Path, inputs: list[Input]) -> None:
        known = {one.thread: one.digest for one in inputs}
        kept: list[str] = []
        self.done: set[str] = set()
        """The threads whose results are there already."""
        for line in _whole_lines(path):
            record = _result(line, path)
            thread, is_done = str(record["thread"]), record["status"] == "done"
            if thread not in known:
                kept.append(line)
            elif is_done and record["input"] == known[thread] and thread not in self.done:
                kept.append(line)
                self.done.add(thread)
        beside = path.with_name(f"{path.name}.tmp")
        try:
            beside.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            beside.replace(path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{str(path)!r} cannot be written: {error}; name another file with --out") from error

    def add(self, record: dict[str, Any]) -> None:
        """Write one line."""
        self._file.write(f"{json.dumps(record, ensure_ascii=True, default=str)}\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _whole_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise BadInput(f"{str(path)!r} cannot be read: {error}; name another file with --out") from error
    *whole, unfinished = text.split("\n")
    if not unfinished.startswith(_BEGIN[: len(unfinished)]):
        _result(unfinished, path)
    return whole  # what follows the last line's end was being written when the run was killed


def _result(line: str, path: Path) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"thread", "status", "input"} <= set(record):
        raise BadInput(
            f"{str(path)!r} holds something else than results of a batch ({line[:60]!r}); name another file with --out"
        )
    return record
