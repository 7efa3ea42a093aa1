"""The sandbox of bubblewrap: namespaces of its own for users, processes, mounts and network, and nothing in them.

The code sees ``/usr`` and the interpreter, both read-only, and three small writable places that live in memory. It has
no network but its own loopback, no capabilities, and cannot make further namespaces.
Started by root, it is run by a user who owns nothing: root's own user would own the kernel's settings even in there,
and no limit on processes would hold.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...errors import NoSandbox
from .bounded import Ended, in_memory, run_bounded
from .sandbox import Language, Ran, Sandbox
from .sandboxed_processes import end_sandbox, too_much, wait_for_end
from .system_calls import system_call_filter
from .written import changes, sizes

NOBODY = 65534
FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""What may lie beside ``/usr``, or be a link into it."""
ETC = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/work",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class Bubblewrap:
    """Runs code with ``bwrap``."""

    def run(self, language: Language, code: str, sandbox: Sandbox) -> Ran:
        """What came of ``code``.

        Raises:
            NoSandbox: bubblewrap is not there, or could not set the sandbox up.
        """
        if (bwrap := shutil.which("bwrap")) is None:
            raise NoSandbox("bubblewrap is not installed: there is no `bwrap`")
        user = user_of(sandbox)
        before = sizes(sandbox.folder)
        program, more = python_of(sandbox, user) if language == "python" else (["bash", "--noprofile", "--norc"], [])
        options = mounts(sandbox, more)
        notes, notes_end = os.pipe()
        code_end = in_memory(code.encode("utf-8", "surrogatepass"))
        passed = [code_end, notes_end]
        options += ["--ro-bind-data", str(code_end), "/code", "--remount-ro", "/", "--chdir", "/work"]
        if (refused := system_call_filter()) is not None:
            passed.append(in_memory(refused))
            options += ["--seccomp", str(passed[-1])]
        options_end = in_memory(b"".join(os.fsencode(option) + b"\0" for option in options))
        # In a file, because the command line can be read in the sandbox, and says what lies where on this machine.
        command = [bwrap, "--args", str(options_end), "--json-status-fd", str(notes_end), "--"]
        command += [*limits(sandbox), *program, "/code"]
        as_user = {} if user is None else {"user": user, "group": user, "extra_groups": ()}
        try:
            ended = run_bounded(
                command,
                time_s=sandbox.time_s,
                max_chars=sandbox.output_chars,
                max_bytes=sandbox.disk_mb << 20,
                kill=end_sandbox,
                watch=lambda ended: too_much(_first_process(ended), sandbox),
                notes=notes,
                pass_fds=(options_end, *passed),
                stdin=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath)},
                **as_user,
            )
        except OSError as error:
            raise NoSandbox(f"bubblewrap cannot be started: {error}") from error
        finally:
            os.close(notes)
        wait_for_end(_first_process(ended))
        if not ended.stopped and b"exit-code" not in ended.notes:
            raise NoSandbox(f"bubblewrap could not set the sandbox up: {str(ended.errors).strip()[-300:]}")
        return Ran.of(ended, written=changes(before, sizes(sandbox.folder)))


def user_of(sandbox: Sandbox) -> int | None:
    """Who runs the sandbox: None for whoever we are, unless that is root.

    Raises:
        NoSandbox: it would have to be root, because the folder is root's.
    """
    if os.geteuid() != 0:
        return None
    if sandbox.folder is None:
        return NOBODY
    if (owner := os.stat(sandbox.folder).st_uid) == 0:
        raise NoSandbox(
            f"{sandbox.folder} belongs to root, and no sandbox runs as root; "
            f"give it to somebody else, as with `chown {NOBODY} {sandbox.folder}`"
        )
    return owner


def mounts(sandbox: Sandbox, more: list[str]) -> list[str]:
    """The options of ``bwrap`` that make the sandbox; ``more`` is to be read in it besides what the settings say.

    Raises:
        NoSandbox: two things would have to be at the same place.
    """
    size = ["--size", str(sandbox.disk_mb << 20), "--tmpfs"]
    options = ["--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    options += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        options += ["--setenv", name, value]
    options += ["--ro-bind", "/usr", "/usr"]
    for folder in FOLDERS:
        if os.path.islink(folder):
            options += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            options += ["--ro-bind", folder, folder]
    for path in ETC:
        options += ["--ro-bind-try", path, path]
    options += ["--proc", "/proc", "--remount-ro", "/proc"]
    options += ["--dev", "/dev", *size, "/dev/shm", "--remount-ro", "/dev"]
    options += [*size, "/tmp"]
    options += ["--bind", str(sandbox.folder), "/work"] if sandbox.folder else [*size, "/work"]
    for path in (*more, *map(str, sandbox.read_only)):  # they may lie below /tmp
        if sandbox.folder and path.startswith("/work/"):
            raise NoSandbox(f"{path} cannot be mounted below /work, where {sandbox.folder} is")
        options += ["--ro-bind", path, path]
    return options


def limits(sandbox: Sandbox) -> list[str]:
    """The command that runs another within limits. Inside, because there the processes of the sandbox alone count."""
    return [
        "prlimit",
        f"--cpu={sandbox.cpu_s}:{sandbox.cpu_s + 1}",
        f"--as={sandbox.memory_mb << 20}",
        f"--nproc={sandbox.processes}",
        f"--fsize={sandbox.disk_mb << 20}",
        "--nofile=256",
        "--core=0",
        "--memlock=0",
        "--msgqueue=0",
        "--",
    ]


def python_of(sandbox: Sandbox, user: int | None) -> tuple[list[str], list[str]]:
    """How Python is started, and the folders that it needs mounted.

    Raises:
        NoSandbox: ``user`` can read none.
    """
    flags = ["-I", "-B", "-X", "utf8"]
    own = sys.executable if sandbox.packages else os.path.realpath(sys.executable)
    folders = {sys.base_prefix, sys.prefix} if sandbox.packages else {sys.base_prefix}
    folders = {os.path.realpath(folder) for folder in folders}
    folders = sorted(folder for folder in folders if folder not in ("/", "/usr") and not folder.startswith("/usr/"))
    if user is None or all(_may_enter(user, folder) for folder in folders):
        return [own, *flags], folders
    if not sandbox.packages and os.path.exists("/usr/bin/python3"):
        return ["/usr/bin/python3", *flags], []
    raise NoSandbox(
        f"the sandbox of root runs as user {user}, who cannot read {' or '.join(folders)}, where Python lies; "
        "run Threadmill as a plain user, or install Python and packages where all can read them"
    )


def _may_enter(user: int, folder: str) -> bool:
    for step in (Path(folder), *Path(folder).parents):
        known = step.stat()
        allowed = stat.S_IXUSR if known.st_uid == user else stat.S_IXOTH
        if not known.st_mode & allowed:
            return False
    return True


def _first_process(ended: Ended) -> int | None:
    line, found, _ = ended.notes.partition(b"}")
    known: dict[str, Any] = json.loads(line + found) if found else {}
    return known.get("child-pid")
