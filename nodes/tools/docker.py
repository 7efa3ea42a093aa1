"""The sandbox of Docker, where bubblewrap does not work: a container without network that can write nothing but memory.

The container is started first and waits for its code, so that what Docker has to say is never taken for the code's.
Nobody kills a container whose client has died: it looks at the clock itself, and Docker removes it when it ends.
The image must be there already: a tool does not download one.
"""

import csv
import io
import json
import os
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from uuid import uuid4

from ...errors import NoSandbox
from .bounded import in_memory, run_bounded
from .bubblewrap import ENVIRONMENT, NOBODY, user_of
from .sandbox import Language, Ran, Sandbox
from .system_calls import ARCHITECTURES, system_call_filter
from .written import changes, sizes, too_full

PROGRAMS = {"python": ["python3", "-I", "-B", "-X", "utf8"], "bash": ["bash", "--noprofile", "--norc"]}
ANSWER_S = 10
"""Seconds that Docker may take for an answer."""
OUR_PROCESSES = 2
"""In each container: one that reaps the others, and one that looks at the clock."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Set by Docker's client where its own settings name a proxy, and with the password in it."""
NOBODYS_ADDRESS = "192.0.2.1"
KILLED = 128 + 9


class Docker:
    """Runs code in a container."""

    def run(self, language: Language, code: str, sandbox: Sandbox) -> Ran:
        """What came of ``code``.

        Raises:
            NoSandbox: Docker is not there, does not answer, has no such image, or does not limit a container.
        """
        content = code.encode("utf-8", "surrogatepass") + b"\n"  # never empty: the container waits for it
        name = f"threadmill-{uuid4().hex}"
        command = docker_command(language, sandbox, name, len(content))
        before, begun = sizes(sandbox.folder), time()
        with _container(command, name, sandbox.image):
            content_end = in_memory(content)
            try:
                ended = run_bounded(
                    ["docker", "attach", name],
                    time_s=sandbox.time_s,
                    max_chars=sandbox.output_chars,
                    max_bytes=sandbox.disk_mb << 20,
                    # Our end alone, and first: Docker ends no container before its output is read.
                    kill=subprocess.Popen.kill,
                    watch=lambda ended: too_full(sandbox.folder, max_files=sandbox.files, max_mb=sandbox.disk_mb),
                    stdin=content_end,
                )
            finally:
                os.close(content_end)
        # The kernel kills one process, which need not be the first: the others may have waited for it in vain.
        if (ended.stopped or ended.status == KILLED) and _lacked_memory(name, begun):
            ended.status = None
            ended.stopped = f"its processes together used more than {sandbox.memory_mb} MB of memory"
        return Ran.of(ended, written=changes(before, sizes(sandbox.folder)))


@contextmanager
def _container(command: list[str], name: str, image: str) -> Iterator[None]:
    """A container that runs, and does not any more afterwards.

    Raises:
        NoSandbox: it does not run, or not within its limits.
    """
    try:
        made = _docker(*command)
        if "discarded" in made.stderr:  # a limit: Docker warns of it, and goes on without
            raise NoSandbox(f"Docker cannot limit a container here: {made.stderr.strip()[:300]}")
        # Not `run --detach`: its containers drop whoever reads from them as soon as the input is at its end.
        if made.returncode or (made := _docker("start", name)).returncode:
            missing = f"; try `docker pull {image}`" if "No such image" in made.stderr else ""
            raise NoSandbox(f"Docker started nothing: {made.stderr.strip()[:300]}{missing}")
        yield
    finally:
        with suppress(NoSandbox):
            _docker("rm", "--force", "--volumes", name)


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of Docker's client.

    Raises:
        NoSandbox: there is no client, or no answer.
    """
    try:
        return subprocess.run(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ANSWER_S,
            check=False,
        )
    except FileNotFoundError:
        raise NoSandbox("Docker is not installed: there is no `docker`") from None
    except subprocess.TimeoutExpired:
        raise NoSandbox(f"Docker did not answer `docker {arguments[0]}` within {ANSWER_S} s") from None
    except OSError as error:
        raise NoSandbox(f"Docker cannot be started: {error}") from error


def _lacked_memory(name: str, begun: float) -> bool:
    """Whether the kernel killed in the container because its memory was full."""
    when = ("--since", f"{begun - 1:.3f}", "--until", f"{time():.3f}")
    with suppress(NoSandbox):
        return bool(_docker("events", *when, "--filter", f"container={name}", "--filter", "event=oom").stdout)
    return False


def docker_command(language: Language, sandbox: Sandbox, name: str, size: int) -> list[str]:
    """What Docker is told to make a container called ``name`` that waits for ``size`` bytes of code.

    Raises:
        NoSandbox: the settings ask for what a container of this image cannot have.
    """
    if sandbox.packages:
        raise NoSandbox("Docker runs an image, which has packages of its own; leave out packages=True")
    user = user_of(sandbox)
    user = os.geteuid() if user is None else user
    # The owner too: where the image has such a folder, runc takes over the mode of that one.
    room = f"rw,nosuid,nodev,exec,mode=1777,uid={user},gid={NOBODY},size={sandbox.disk_mb}m,nr_inodes={sandbox.files}"
    command = ["create", "--interactive", "--init", "--rm", "--name", name, "--hostname", "sandbox"]
    command += ["--pull", "never", "--log-driver", "none", "--no-healthcheck"]
    command += ["--dns", NOBODYS_ADDRESS, "--dns-search", "."]  # or it gets a copy of this machine's /etc/resolv.conf
    command += ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    command += ["--user", f"{user}:{NOBODY}", "--cpus", "1", "--pids-limit", str(sandbox.processes + OUR_PROCESSES)]
    command += ["--memory", f"{sandbox.memory_mb}m", "--memory-swap", f"{sandbox.memory_mb}m"]
    limits = (f"cpu={sandbox.cpu_s}:{sandbox.cpu_s + 1}", f"data={sandbox.memory_mb << 20}")
    for limit in (*limits, f"fsize={sandbox.disk_mb << 20}", "nofile=256", "core=0", "memlock=0", "msgqueue=0"):
        command += ["--ulimit", limit]
    command += ["--tmpfs", f"/tmp:{room}", "--tmpfs", f"/dev/shm:{room}"]
    command += _bound(sandbox.folder, "/work") if sandbox.folder else ["--tmpfs", f"/work:{room}"]
    for path in map(str, sandbox.read_only):
        if sandbox.folder and path.startswith("/work/"):
            raise NoSandbox(f"{path} cannot be mounted below /work, where {sandbox.folder} is")
        command += _bound(path, path, "readonly")
    own = {name: value for name, value in ENVIRONMENT.items() if name != "PATH"}
    for variable, value in (own | dict.fromkeys((*PROXIES, *map(str.lower, PROXIES)), "")).items():
        command += ["--env", f"{variable}={value}"]
    filters = {machine: b64encode(system_call_filter(machine) or b"").decode() for machine in ARCHITECTURES}
    begin = Path(__file__).with_name("in_container.py").read_text()
    command += ["--workdir", "/work", "--entrypoint", "timeout", "--", sandbox.image]
    command += ["-s", "KILL", f"{sandbox.time_s + ANSWER_S:.0f}", *PROGRAMS["python"]]
    return [*command, "-c", begin, json.dumps([PROGRAMS[language], size, filters])]


def _bound(path: str | Path, place: str, *more: str) -> list[str]:
    """The option that mounts ``path`` at ``place``; Docker reads it as a line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(["type=bind", f"src={path}", f"dst={place}", *more])
    return ["--mount", line.getvalue()]
