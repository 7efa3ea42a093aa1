"""A sandbox for code that a model wrote: what it may use, what came of a run, and which kind of sandbox works here.

Code never runs bare. Where neither bubblewrap nor Docker works, a tool that needs a sandbox cannot be built.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from ...errors import BadConfig, NoSandbox
from .bounded import Ended

Language = Literal["python", "bash"]
TRIAL_S = 20
"""Seconds for a trial at least: a short time for the code is no reason to find no sandbox on a busy machine."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What code may use: seconds, megabytes, processes, files.

    Its only writable places are ``/work``, where it starts, ``/tmp`` and ``/dev/shm``. ``folder`` is a folder of this
    machine that becomes ``/work`` and is kept; without it ``/work`` is empty at the start and gone at the end.
    """

    time_s: float = 20
    """Seconds on the clock, after which everything that was started is killed."""
    cpu_s: int = 10
    """Seconds of processor time of each process."""
    memory_mb: int = 1024
    """Memory of each process, and of all of them together; files outside of ``folder`` count apart, see ``disk_mb``."""
    processes: int = 64
    """Processes and threads at the same time."""
    disk_mb: int = 64
    """Size of each of the writable places, of any one file, and of what is printed."""
    files: int = 2000
    """Files and folders in each of the writable places."""
    output_chars: int = 10_000
    """Characters that are kept of the output, and as many of the errors: from the beginning and from the end."""
    folder: str | Path | None = None
    """Mounted writable as ``/work`` and kept from call to call."""
    read_only: Sequence[str | Path] = ()
    """Files and folders of this machine that can be read at the same path."""
    packages: bool = False
    """Whether Python sees the packages that are installed beside Threadmill."""
    image: str = "python:3.11-slim"
    """The image that Docker runs; it needs bash and python3."""

    def __post_init__(self) -> None:
        for name in ("time_s", "cpu_s", "memory_mb", "processes", "disk_mb", "files", "output_chars"):
            if not (value := getattr(self, name)) > 0:
                raise BadConfig(f"a sandbox with {name}={value!r} can run nothing; give a number above 0")
        object.__setattr__(self, "read_only", tuple(str(Path(path).resolve()) for path in self.read_only))
        if self.folder is not None:
            object.__setattr__(self, "folder", str(Path(self.folder).resolve()))
            if not Path(str(self.folder)).is_dir():
                raise BadConfig(f"{self.folder} is no folder that a sandbox could write to; make it first")


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run."""

    status: int | None
    """The exit status; None if the run was stopped."""
    output: str
    errors: str
    seconds: float
    stopped: str = ""
    """Why the run was stopped, or nothing."""
    written: tuple[str, ...] = ()
    """Files in ``Sandbox.folder`` that are new or changed, and those that are gone."""

    @classmethod
    def of(cls, ended: Ended, written: tuple[str, ...]) -> "Ran":
        """A process that has ended, and what it wrote."""
        return cls(ended.status, str(ended.output), str(ended.errors), ended.seconds, ended.stopped, written)


class Box(Protocol):
    """A kind of sandbox."""

    def run(self, language: Language, code: str, sandbox: Sandbox) -> Ran:
        """What came of ``code``; everything that it started is dead.

        Raises:
            NoSandbox: the sandbox could not be set up; nothing ran.
        """
        ...


@lru_cache(maxsize=64)
def find_sandbox(sandbox: Sandbox, language: Language) -> Box:
    """The kind of sandbox that works here with these settings; each is tried.

    Raises:
        NoSandbox: none does; it says why, and how to get one.
    """
    from .bubblewrap import Bubblewrap
    from .docker import Docker

    reasons = []
    for box in (Bubblewrap(), Docker()):
        try:
            ran = box.run(language, "", replace(sandbox, time_s=max(TRIAL_S, sandbox.time_s)))
        except NoSandbox as reason:
            reasons.append(str(reason))
            continue
        if ran.status == 0:
            return box
        reasons.append(f"{type(box).__name__} cannot start {language}: {ran.stopped or ran.errors.strip()[-300:]}")
    raise NoSandbox(
        "no sandbox works here, and code of a model never runs without one. "
        + "; ".join(reasons)
        + ". Get bubblewrap 0.8 or later (`apt install bubblewrap`, `dnf install bubblewrap`) on a kernel that allows "
        "user namespaces, or a running Docker; docs/sandbox.md says what each needs"
    )
