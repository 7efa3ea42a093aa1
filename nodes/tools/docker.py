"""The sandbox of Docker, where bubblewrap does not work: a container without network that can write nothing but memory.

The image must be there already: a tool does not download one.
"""

import os
import subprocess
from contextlib import suppress
from uuid import uuid4

from ...errors import NoSandbox
from .bounded import run_bounded
from .bubblewrap import NOBODY, user_of
from .sandbox import Language, Ran, Sandbox
from .written import changes, sizes

PROGRAMS = {"python": "python3 -I -B -X utf8", "bash": "bash --noprofile --norc"}
FAILED = 125
"""Docker's own exit status when it started nothing."""
KILL_S = 10


class Docker:
    """Runs code with ``docker run``."""

    def run(self, language: Language, code: str, sandbox: Sandbox) -> Ran:
        """What came of ``code``.

        Raises:
            NoSandbox: Docker is not there, does not answer, or has no such image.
        """
        name = f"threadmill-{uuid4().hex}"
        command = docker_command(language, sandbox, name)
        before = sizes(sandbox.folder)
        code_end = os.memfd_create("threadmill")
        with os.fdopen(os.dup(code_end), "wb") as file:
            file.write(code.encode("utf-8", "surrogatepass"))
        os.lseek(code_end, 0, os.SEEK_SET)

        def kill(process: subprocess.Popen[bytes]) -> None:
            if process.poll() is None:
                with suppress(OSError, subprocess.TimeoutExpired):
                    subprocess.run(["docker", "kill", name], capture_output=True, timeout=KILL_S, check=False)
                process.kill()

        try:
            ended = run_bounded(
                command,
                time_s=sandbox.time_s,
                max_chars=sandbox.output_chars,
                max_bytes=sandbox.disk_mb << 20,
                kill=kill,
                stdin=code_end,
            )
        except FileNotFoundError:
            raise NoSandbox("Docker is not installed: there is no `docker`") from None
        except OSError as error:
            raise NoSandbox(f"Docker cannot be started: {error}") from error
        finally:
            os.close(code_end)
        if ended.status == FAILED:
            missing = f"; try `docker pull {sandbox.image}`" if "No such image" in str(ended.errors) else ""
            raise NoSandbox(f"Docker started nothing: {str(ended.errors).strip()[:300]}{missing}")
        return Ran.of(ended, written=changes(before, sizes(sandbox.folder)))


def docker_command(language: Language, sandbox: Sandbox, name: str) -> list[str]:
    """The command that runs what comes on its standard input, in a container called ``name``.

    Raises:
        NoSandbox: the settings ask for what a container of this image cannot have.
    """
    if sandbox.packages:
        raise NoSandbox("Docker runs an image, which has packages of its own; leave out packages=True")
    user = user_of(sandbox)
    user = os.geteuid() if user is None else user
    size = f"rw,nosuid,nodev,mode=1777,size={sandbox.disk_mb}m,nr_inodes={sandbox.files}"
    command = ["docker", "run", "--rm", "--interactive", "--pull", "never", "--name", name, "--hostname", "sandbox"]
    command += ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    command += ["--user", f"{user}:{NOBODY}", "--pids-limit", str(sandbox.processes), "--cpus", "1"]
    command += ["--memory", f"{sandbox.memory_mb}m", "--memory-swap", f"{sandbox.memory_mb}m"]
    for limit in (f"cpu={sandbox.cpu_s}", f"fsize={sandbox.disk_mb << 20}", "nofile=256", "core=0"):
        command += ["--ulimit", limit]
    command += ["--tmpfs", f"/tmp:{size}", "--tmpfs", f"/dev/shm:{size}"]
    command += (
        ["--mount", f"type=bind,src={sandbox.folder},dst=/work"] if sandbox.folder else ["--tmpfs", f"/work:{size}"]
    )
    for path in sandbox.read_only:
        command += ["--mount", f"type=bind,src={path},dst={path},readonly"]
    command += ["--workdir", "/work", "--env", "HOME=/work", "--env", "LANG=C.UTF-8", "--entrypoint", "/bin/sh"]
    return [*command, sandbox.image, "-c", f"cat >/tmp/code && exec {PROGRAMS[language]} /tmp/code </dev/null"]
