"""Processes that serve a slot: new threads one after the other, under watch, until they are told to stop.

``python canary_worker.py URL FOLDER NAME NAME``: imports everything once and forks a process for each name, which
writes a line of JSON for every run into FOLDER/NAME.jsonl and ends when FOLDER/stop is there. Exits with 0 if all did.
"""

import json
import os
import sys
import time
import traceback
from importlib import import_module
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


def main() -> None:
    import_module("threadmill.nodes.models.local")
    import_module("transformers.models.llama.modeling_llama")
    url, folder, *names = sys.argv[1:]
    pids = []
    for name in names:
        pids.append(os.fork())
        if not pids[-1]:
            code = 1
            try:
                serve(url, name, Path(folder))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))


if __name__ == "__main__":
    main()
