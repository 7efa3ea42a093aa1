"""A process that serves a slot: new threads one after the other, under watch, until it is told to stop.

``python canary_worker.py URL FOLDER NAME`` writes a line of JSON for every run into FOLDER/NAME.jsonl and ends when
FOLDER/stop is there.
"""

import json
import sys
import time
from pathlib import Path

from langchain_core.tools import tool
from threadmill.checkpoints.store import open_store
from threadmill.graphs import build_react
from threadmill.training.live import Watched
from threadmill.training.shadow import Shadow
from threadmill.training.slots import open_slot


@tool
def look(what: str) -> str:
    """Look something up."""
    return what


def serve(url: str, name: str, folder: Path) -> None:
    with open_store(url) as store, (folder / f"{name}.jsonl").open("w") as log:
        slot = open_slot(store, "desk.think", max_new_tokens=4)
        graph = build_react(slot, [look], name="desk", max_calls=1).compile(checkpointer=store.saver)
        watched = Watched(store, graph, judge=lambda outcome: "")
        with Shadow(store, slot) as shadow:
            for number in range(100_000):
                if (folder / "stop").exists():
                    break
                thread = f"{name}-{number}"
                try:
                    record = {"versions": watched.run(thread, "Hello").versions, "error": None}
                except Exception as error:
                    record = {"versions": watched._versions(thread), "error": f"{type(error).__name__}: {error}"}
                record |= {"thread": thread, "back": list(watched.taken_back)}
                log.write(json.dumps(record) + "\n")
                log.flush()
                time.sleep(0.25)
            shadow.drain()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[3], Path(sys.argv[2]))
