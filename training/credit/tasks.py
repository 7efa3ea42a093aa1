"""Find the tasks that threads played, by the ids that they carry."""

import re
from collections.abc import Iterable
from typing import Any

from ...errors import UnknownSuite
from ..suites import Suite

_ID = re.compile(r"(?:.*-)?(train|heldout)-([0-9]+)-(.+)-([0-9]{4,})")


def find_tasks(suite: Suite, ids: Iterable[str]) -> dict[str, Any]:
    """Id to the task of ``suite``; ids say split, seed, tier and number, as in ``train-0-simple-0007``.

    A suite that is a list of tasks, as those in files are, has it as ``everything``; its ids may be of any form.

    Raises:
        UnknownSuite: an id is of another form, or the suite has no such task.
    """
    listed = {task.id: task for task in getattr(suite, "everything", ())}
    if listed:
        asked = set(ids)
        if missing := sorted(asked - listed.keys()):
            raise UnknownSuite(
                f"suite {suite.name!r} has no task {missing[0]!r}; a task whose line has changed is another one"
            )
        return {task: listed[task] for task in asked}
    wanted: dict[tuple[str, int], dict[str, int]] = {}
    for task in ids:
        parts = _ID.fullmatch(task)
        if parts is None:
            raise UnknownSuite(
                f"{task!r} is no id of a suite's task, such as train-0-simple-0007; give the tasks of such threads "
                "from Python, to threadmill.training.credit.forking.value_steps"
            )
        split, seed, _, number = parts.groups()
        wanted.setdefault((split, int(seed)), {})[task] = int(number)
    found: dict[str, Any] = {}
    for (split, seed), numbers in wanted.items():
        tasks = {task.id: task for task in suite.tasks(split, max(numbers.values()) + 1, seed)}
        missing = [task for task in numbers if task not in tasks]
        if missing:
            raise UnknownSuite(
                f"suite {suite.name!r} has no task {missing[0]!r}; name the suite that the thread played"
            )
        found |= {task: tasks[task] for task in numbers}
    return found
