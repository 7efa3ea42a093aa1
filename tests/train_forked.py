"""Runs ``threadmill train`` in processes of their own, kills some, and notes how each ended (test_harness_killed).

They are forked from this process, which has imported what training needs, because importing takes longer than training.
"""

import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import torch
from threadmill.cli.main import main


def train(*arguments: str) -> int:
    """The command in this process; its exit code."""
    sys.argv = ["threadmill", "train", "sft", *arguments]
    try:
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


class Run:
    """A command that is running."""

    def __init__(self, name: str, *arguments: str, more_bytes: int = 0, **variables: object) -> None:
        self.name = name
        self.pid = os.fork()
        if not self.pid:
            os.environ.update({key: str(value) for key, value in variables.items()})
            for number, kind in ((1, "out"), (2, "err")):
                os.dup2(os.open(f"{name}.{kind}", os.O_CREAT | os.O_WRONLY), number)
            if more_bytes:
                used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used + more_bytes, used + more_bytes))
            code = 1
            try:
                code = train(*arguments)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def send(self, number: int, after: Path) -> "Run":
        """Send a signal as soon as there is a file ``after``."""
        while not after.exists():
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.001)
        os.kill(self.pid, number)
        return self

    def end(self) -> None:
        """Wait for it, and note its exit code."""
        _, status = os.waitpid(self.pid, 0)
        codes[self.name] = os.waitstatus_to_exitcode(status)


torch.set_num_threads(1)
codes: dict[str, int] = {}
base, work = sys.argv[1], Path(".k.trainer")
few = ["--base", base, "--data", "sft", "--epochs", "5", "--batch-size", "2", "--learning-rate", "1e-2", "--json"]
long = [*few, "--save-every", "2"]

codes["whole"] = train(*few, "--out", "w")  # in this process: the others begin with all that it has imported
Run("killed", *long, "--out", "k").send(signal.SIGKILL, work / "checkpoint-4" / "complete.json").end()
Run("ended", *long, "--out", "k").end()

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
group = {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
tracked = [*few, "--out", "t", "--track", "tensorboard,trackio"]
ranks = [Run(f"rank{i}", *tracked, RANK=i, LOCAL_RANK=i, **group) for i in range(2)]
for rank in ranks:
    rank.end()

huge = ["--batch-size", "200", "--tokens-at-once", "1000000"]
Run("memory", "--base", base, "--data", "long", *huge, "--out", "m", more_bytes=150_000_000).end()
print(json.dumps(codes))
