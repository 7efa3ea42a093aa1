"""Exports, and dies when so many threads are done: python export_killed.py DATABASE OUT TOKENIZER THREADS KIND."""

import os
import signal
import sys
from pathlib import Path

from threadmill.checkpoints.store import open_store
from threadmill.training.export import export_kto, export_pairs, export_sft, pipeline

database, out, tokenizer, threads, kind = sys.argv[1:]
pipeline.COMMIT_EVERY = 2


def die(done: int, _: int) -> None:
    if done >= int(threads):
        os.kill(os.getpid(), signal.SIGKILL)


with open_store(database) as store:
    export = {"sft": export_sft, "pairs": export_pairs, "kto": export_kto}[kind]
    export(store, Path(out), tokenizer=tokenizer, progress=die)
