"""Processes that change one registry at the same moment, or die while they do: python registry_processes.py URL…

For each database: five processes promote a version each, having seen 0001 live; one is killed within a promotion, after
its first write; one is killed within a clean-up, before its second file goes. Prints how each of them ended.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from threadmill.checkpoints.clean_up import collect_garbage
from threadmill.checkpoints.postgres import PostgresThreadSaver  # so that the children lose no time with it
from threadmill.checkpoints.registry import promote
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import PromotionConflict

SLOT = "bank.think"
LOADED = PostgresThreadSaver
WON, REFUSED = 0, 3


def at_once(url: str, count: int, act: Callable[[Store, int], int]) -> list[int]:
    """The statuses of ``count`` processes that call ``act`` when all of them have the database open."""
    ready, tell = os.pipe()
    wait, go = os.pipe()
    children = []
    for number in range(count):
        if (child := os.fork()) == 0:
            os.close(go)
            with open_store(url) as store:
                os.write(tell, b"1")
                os.read(wait, 1)  # ends when the parent closes its end
                status = act(store, number)
            os._exit(status)
        children.append(child)
    for _ in children:
        os.read(ready, 1)
    os.close(go)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def compete(store: Store, number: int) -> int:
    try:
        promote(store, SLOT, f"000{number + 2}", because="race", expecting="0001", by=f"process {number}")
    except PromotionConflict:
        return REFUSED
    return WON


def die_promoting(store: Store, number: int) -> int:
    def die(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "aliases" in statement and statement.startswith(("INSERT", "UPDATE")):
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(store.engine, "after_cursor_execute", die)
    promote(store, SLOT, "0001", because="killed")
    return WON


def die_cleaning(store: Store, number: int) -> int:
    removed = []

    def die(name: str, arguments: Any) -> None:
        if name == "os.remove":
            removed.append(arguments)
            if len(removed) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)
    collect_garbage(store, dry_run=False, newest=0)
    return WON


print(
    json.dumps(
        [
            {
                "race": at_once(url, 5, compete),
                "promoting": at_once(url, 1, die_promoting),
                "cleaning": at_once(url, 1, die_cleaning),
            }
            for url in sys.argv[1:]
        ]
    )
)
