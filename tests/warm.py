"""Real processes that need not import anything first: they are forked from one that has, and did nothing else.

For tests whose point is what a process does and how it dies. What starting one costs, or what it imports, is tested
with processes of one's own.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "alembic.context",
        "alembic.command",
        "psycopg",
        "psycopg_pool",
        "sqlalchemy.dialects.postgresql.psycopg",
        "sqlalchemy.dialects.sqlite.pysqlite",
        "langchain_core.tools",
        "langgraph.pregel.main",
        "threadmill.checkpoints.store",
        "threadmill.checkpoints.threads",
        "threadmill.graphs.react",
        "threadmill.graphs.run",
        "threadmill.nodes.models.scripted",
        "threadmill.nodes.models.local",
        "threadmill.training.evaluation.run",
        "threadmill.training.export.sft",
        "threadmill.training.shadow",
        "transformers.models.llama.modeling_llama",
    ]
)


@dataclass
class Warm:
    """A process that was started; what the fields and methods do is as in ``subprocess.Popen``."""

    process: Any
    stdin: TextIO
    stdout: TextIO

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise TimeoutError(f"process {self.pid} still runs after {timeout} s")
        return self.process.exitcode


@contextmanager
def started(program: Path | str, *arguments: object) -> Iterator[Warm]:
    """A process that runs ``program``, a file or Python code; it is waited for in the end."""
    theirs_in, ours_out = multiprocessing.Pipe(duplex=False)
    ours_in, theirs_out = multiprocessing.Pipe(duplex=False)
    with Connection(os.dup(2)) as errors:
        process = _start(program, arguments, (theirs_in, theirs_out, errors))
    theirs_in.close()
    theirs_out.close()
    with os.fdopen(os.dup(ours_out.fileno()), "w") as stdin, os.fdopen(os.dup(ours_in.fileno())) as stdout:
        ours_out.close()
        ours_in.close()
        try:
            yield Warm(process, stdin, stdout)
        finally:
            with suppress(BrokenPipeError):  # it has died
                stdin.close()
            process.join()


@dataclass(frozen=True)
class Done:
    """What came of a process."""

    returncode: int
    stdout: str
    stderr: str


def run(program: Path | str, *arguments: object, folder: Path | None = None) -> Done:
    """Run ``program``, a file or Python code, to its end, in ``folder`` or where we are."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        ends = tuple(Connection(os.dup(file.fileno())) for file in (out, errors))
        with open(os.devnull) as nothing, Connection(os.dup(nothing.fileno())) as stdin:
            process = _start(program, arguments, (stdin, *ends), folder)
        process.join()
        for end in ends:
            end.close()
        out.seek(0)
        errors.seek(0)
        return Done(process.exitcode, out.read(), errors.read())


def _start(
    program: Path | str, arguments: tuple[object, ...], ends: tuple[Any, ...], folder: Path | None = None
) -> Any:
    told = (program, [*map(str, arguments)], ends, str(folder or Path.cwd()), dict(os.environ))
    process = FORKS.Process(target=be, args=told)
    process.start()
    return process


def be(
    program: Path | str, arguments: list[str], ends: tuple[Any, ...], folder: str, environment: Mapping[str, str]
) -> None:
    """What a process does that was just forked."""
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin = os.fdopen(0, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if isinstance(program, Path):
        sys.argv = [str(program), *arguments]
        sys.path.insert(0, str(program.parent))
        runpy.run_path(str(program), run_name="__main__")
    else:
        sys.argv = ["-c", *arguments]
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
