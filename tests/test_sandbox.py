"""Python and bash in a sandbox: what they can do, and every way out that we could think of."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from langchain_core.tools import ToolException
from threadmill.errors import BadConfig, NoSandbox
from threadmill.nodes.tools import docker
from threadmill.nodes.tools.bubblewrap import python_of, user_of
from threadmill.nodes.tools.docker import Docker, docker_command
from threadmill.nodes.tools.sandbox import Sandbox, find_sandbox
from threadmill.nodes.tools.sandboxed import make_bash, make_python
from threadmill.nodes.traits import traits_of


@cache
def _why_no_docker() -> str:
    """Why no container can be started here, or nothing. A container that starts and fails is no reason."""
    try:
        Docker().run("python", "", Sandbox())
    except NoSandbox as reason:
        return str(reason).splitlines()[0]
    return ""


@pytest.fixture
def only_docker(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No bubblewrap, and a Docker that answers."""
    if why := _why_no_docker():
        pytest.skip(why)
    path = tmp_path_factory.mktemp("path")
    (path / "docker").symlink_to(str(shutil.which("docker")))
    monkeypatch.setenv("PATH", str(path))
    find_sandbox.cache_clear()
    yield
    find_sandbox.cache_clear()


@pytest.fixture(params=["bubblewrap", "docker"])
def box(request: pytest.FixtureRequest) -> str:
    """The kind of sandbox that is found here: each in turn, where it works."""
    if request.param == "docker":
        request.getfixturevalue("only_docker")
    elif shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    return request.param


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the sandbox may write to, also where the tests are run by root."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            os.chown(name, 65534, 65534)
        yield Path(name)


@pytest.mark.usefixtures("box")
def test_python_and_bash_say_what_they_printed_and_how_they_ended() -> None:
    python, bash = make_python(), make_bash()
    failed = python.invoke({"code": "print(6 * 7)\nraise SystemExit('no')"})
    assert failed == "exit status 1\noutput:\n42\nerrors:\nno"
    assert bash.invoke({"script": "echo $((6 * 7)) | tee here; cat"}) == "exit status 0\noutput:\n42"
    assert "/work; files there are gone after the call" in bash.description
    assert (traits_of(python).acts, traits_of(python).trusted) == (False, False)


@pytest.mark.usefixtures("box")
def test_files_in_a_folder_are_kept_and_told(folder: Path) -> None:
    (folder / "old").write_text("old")
    (folder / "gone").write_text("gone")
    bash = make_bash(folder=folder)
    assert traits_of(bash).acts
    told = bash.invoke({"script": "echo new > new; rm gone; mkdir -p a; echo $'\\e' > a/$'x\\ny'"})
    assert told.endswith("files in /work:\na (0 bytes)\n'a/x\\ny' (2 bytes)\nnew (4 bytes)\ngone (gone)")
    assert bash.invoke({"script": "cat old new; ls gone"}).endswith(
        "output:\noldnew\nerrors:\nls: cannot access 'gone': No such file or directory"
    )


ESCAPES = r"""
import ctypes, fcntl, json, multiprocessing, os, pathlib, socket, subprocess, threading
tried = {}
def attempt(name, way):
    try:
        got = way()
        tried[name] = "closed" if got in (-1, "refused") else got
    except OSError:
        tried[name] = "closed"
def sh(line):
    ran = subprocess.run(line, shell=True, capture_output=True, text=True)
    return ran.stdout if ran.returncode == 0 else "refused"
def connect(family, kind, address):
    with socket.socket(family, kind) as one:
        one.settimeout(0.2)
        one.connect(address)
        one.send(b"out")
        return one.recv(9)
libc = ctypes.CDLL(None, use_errno=True)
attempt("shadow", lambda: open("/etc/shadow").read())
attempt("passwd", lambda: open("/etc/passwd").read())
attempt("name servers", lambda: [line for line in open("/etc/resolv.conf") if line[0] not in "#o\n"])
attempt("home", lambda: os.listdir(HOME))
attempt("repository", lambda: os.listdir(REPOSITORY))
attempt("secret file", lambda: open(SECRET).read())
os.symlink(SECRET, "/work/link")
attempt("link to it", lambda: open("/work/link").read())
attempt("root of the first process", lambda: open("/proc/1/root" + SECRET).read())
attempt("its working folder", lambda: open("/proc/1/cwd/../../.." + SECRET).read())
environments = ""
for process in pathlib.Path("/proc").glob("[0-9]*/environ"):
    try:
        environments += process.read_text()
    except OSError:
        pass
tried["secrets in environments"] = (environments + str(os.environ)).count("TOKEN")
tried["command lines"] = [path.read_text().split("\0")[0] for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")]
tried["file descriptors"] = [n for n in range(3, 256) if os.path.lexists(f"/proc/self/fd/{n}")]
attempt("tcp", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", PORT)))
attempt("udp", lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", PORT)))
attempt("outside", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("1.1.1.1", 80)))
attempt("abstract socket", lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + ABSTRACT))
attempt("vsock", lambda: connect(40, socket.SOCK_STREAM, (2, 1)))
attempt("kernel crypto", lambda: socket.socket(38, socket.SOCK_SEQPACKET, 0))
attempt("packets", lambda: socket.socket(17, socket.SOCK_DGRAM, 0))
attempt("keyring", lambda: libc.syscall({"x86_64": 250, "aarch64": 219}[os.uname().machine], 0, -3, 1))
attempt("io_uring", lambda: libc.syscall(425, 1, 0))
attempt("type into the terminal", lambda: fcntl.ioctl(0, 0x5412, b"x"))
attempt("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
for place in ("/x", "/usr/x", "/etc/x", "/dev/x", "/proc/x", "/sys/x", "/proc/self/oom_score_adj",
              "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/code", "/usr/bin/python3"):
    attempt("write " + place, lambda: open(place, "w").write("1"))
attempt("kill the parent", lambda: os.kill(PARENT, 0))
attempt("kill all", lambda: os.kill(-1, 0))
attempt("trace the first process", lambda: libc.ptrace(16, 1, 0, 0))
attempt("become root", lambda: os.setuid(0))
attempt("device", lambda: os.mknod("/work/disk", 0o60600, os.makedev(254, 0)))
attempt("chroot", lambda: os.chroot("/work"))
attempt("mount", lambda: libc.mount(b"none", b"/work", b"tmpfs", 0, 0))
attempt("unmount", lambda: libc.umount2(b"/proc", 2))
attempt("new user namespace", lambda: libc.unshare(0x10000000))
attempt("new mount namespace", lambda: libc.unshare(0x00020000))
attempt("host's namespace", lambda: libc.setns(os.open("/proc/1/ns/mnt", 0), 0))
attempt("bwrap in it", lambda: sh("bwrap --unshare-user --ro-bind / / true"))
attempt("setuid programs", lambda: sh("su -c id; sudo id; passwd"))
open("/work/own", "w").close()
attempt("a program that makes others us", lambda: os.chmod("/work/own", 0o4755))
attempt("one made so", lambda: os.open("/work/made", os.O_CREAT, 0o4755))
attempt("terminal", lambda: open("/dev/tty").read())
attempt("raise a limit", lambda: sh("ulimit -u 4000"))
attempt("core dumps", lambda: int(sh("ulimit -H -c")))
attempt("preloading", lambda: sh("LD_PRELOAD=/work/none LD_LIBRARY_PATH=/work id -u 2>/dev/null"))
status = dict(line.split()[:2] for line in open("/proc/self/status") if len(line.split()) > 1)
tried["privileges"] = [status["CapEff:"], status["CapBnd:"], status["NoNewPrivs:"], status["Seccomp:"]]
tried["interfaces"] = [name for _, name in socket.if_nameindex()]
threading.Thread(target=print).start()
tried["threads and processes"] = multiprocessing.Pool(2).map(abs, [-1])
print(json.dumps(tried))
"""


def test_no_way_out_is_open(box: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "TOKEN")
    secret = tmp_path / "secret"
    secret.write_text("TOKEN")
    secret.chmod(0o644)
    abstract = f"threadmill-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        unix.bind("\0" + abstract)
        unix.listen()
        known = {
            "HOME": os.path.expanduser("~"),
            "REPOSITORY": str(Path(__file__).parent.parent),
            "SECRET": str(secret),
            "PORT": port,
            "ABSTRACT": abstract,
            "PARENT": os.getpid(),
        }
        told = make_python(time_s=10).invoke({"code": "".join(f"{k} = {v!r}\n" for k, v in known.items()) + ESCAPES})
        udp.settimeout(0)
        with pytest.raises(BlockingIOError):
            udp.recv(9)
    (python, *_), _ = python_of(Sandbox(), user_of(Sandbox()))
    tried = json.loads(told.partition("output:\n")[2])
    user = 65534
    known = {"command lines": [shutil.which("bwrap"), python]}
    if box == "docker":  # the image's own, and its own processes
        assert "/root" in tried.pop("passwd")
        assert tried.pop("name servers") == ["nameserver 192.0.2.1\n"]
        user = os.geteuid() or user
        known = {
            "command lines": ["/sbin/docker-init", "timeout", "python3"],
            "kill all": None,
            "write /proc/self/oom_score_adj": 1,
        }
    assert {name: got for name, got in tried.items() if got != "closed"} == known | {
        "secrets in environments": 0,
        "file descriptors": [],
        "core dumps": 0,
        "preloading": f"{user}\n",
        "privileges": ["0000000000000000", "0000000000000000", "1", "2"],
        "interfaces": ["lo"],
        "threads and processes": [1],
    }
    assert list(tried.values()).count("closed") == {"bubblewrap": 48, "docker": 44}[box]


def _alive(word: str) -> list[int]:
    """The processes of this machine that have ``word`` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [int(path.parent.name)] if word in path.read_text() else []
        except OSError:
            continue
    return found


def test_bombs_end_and_leave_nothing_alive(box: str) -> None:
    word = f"0.{os.getpid()}"
    limits = {"memory_mb": 200, "processes": 30, "disk_mb": 8, "files": 300}
    bomb = f"bomb() {{ bomb | bomb & sleep 8{word}; }}; bomb; while :; do :; done"
    assert "still running after 0.3 s" in make_bash(time_s=0.3, **limits).invoke({"script": bomb})
    bash = make_bash(**limits)
    for bomb, end in {
        f"setsid sleep 7{word} & (sleep 7{word} & disown) & echo done": "exit status 0",
        "yes": "printed more than 8 MB",
        "head -c 20M /dev/zero >a; head -c 20M /dev/zero >/tmp/a; du -sm /work /tmp | cut -f1": "output:\n8\n8",
        "while :; do : >$((n++)) || break; done; sleep 1": {
            "bubblewrap": "more than 300 files in /work",
            "docker": "299: No space left on device",
        }[box],
    }.items():
        assert end in bash.invoke({"script": bomb}), bomb
    assert _alive(word) == []
    python = make_python(time_s=5, memory_mb=100)
    assert "MemoryError" in python.invoke({"code": "bytearray(200 << 20)"})
    many = "import os, time\nfor n in 1, 2: os.fork()\nheld = b'x' * (40 << 20)\ntime.sleep(5)"
    assert "its processes together used more than 100 MB of memory" in python.invoke({"code": many})


def test_each_process_has_limits(box: str) -> None:
    bash = make_bash(cpu_s=3, memory_mb=200, processes=30, disk_mb=8)
    many = {"bubblewrap": "ulimit -v; ulimit -u", "docker": "ulimit -d; cat /sys/fs/cgroup/{,pids/}pids.max"}[box]
    told = bash.invoke({"script": f"ulimit -t; ulimit -Ht; ulimit -f; ulimit -n; ulimit -c; {many} 2>/dev/null"})
    # In a container two of ours count too.
    assert told.endswith(f"output:\n3\n4\n8192\n256\n0\n204800\n{30 if box == 'bubblewrap' else 32}")


@pytest.mark.usefixtures("box")
def test_a_folder_cannot_be_filled_and_links_in_it_lead_nowhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("TOKEN")
    bash = make_bash(folder=folder, time_s=5, disk_mb=4)
    told = bash.invoke({"script": f"ln -s {tmp_path} out; cat out/secret; echo lost > out/new"})
    assert "TOKEN" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]
    assert "/work holds more than 4 MB" in bash.invoke(
        {"script": "for n in 1 2 3; do head -c 3M /dev/zero > $n; done; sleep 5"}
    )


def test_without_a_sandbox_nothing_is_built_and_nothing_runs(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    python = make_python(time_s=3) if shutil.which("bwrap") else None
    monkeypatch.setenv("PATH", "/none")
    with pytest.raises(NoSandbox, match=r"there is no `bwrap`; Docker is not installed.*apt install bubblewrap"):
        make_bash(time_s=3.5)
    if python is not None:
        with pytest.raises(ToolException, match="nothing ran: bubblewrap is not installed"):
            python.invoke({"code": f"open({str(folder / 'bare')!r}, 'w')"})
    assert list(folder.iterdir()) == []
    monkeypatch.setenv("PATH", str(folder))
    folder.chmod(0o755)
    (folder / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
    (folder / "bwrap").chmod(0o755)
    with pytest.raises(NoSandbox, match=r"could not set the sandbox up"):
        make_bash(time_s=3.5)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="memory_mb=0"):
        make_python(memory_mb=0)
    with pytest.raises(BadConfig, match="none is no folder"):
        make_python(folder=tmp_path / "none")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's own folders are refused")
def test_root_never_runs_code_as_root(tmp_path: Path) -> None:
    with pytest.raises(NoSandbox, match="belongs to root, and no sandbox runs as root"):
        make_bash(folder=tmp_path)


def test_dockers_command_has_no_network_and_writes_to_memory_alone() -> None:
    command = " ".join(docker_command("python", Sandbox(read_only=["/opt", '/a,"b']), "box", 9))
    assert command.startswith("create --interactive --init --rm --name box --hostname sandbox --pull never")
    for option in (
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--log-driver none",
        "--pids-limit 66",
        "--memory 1024m --memory-swap 1024m",
        "size=64m,nr_inodes=2000",
        "--mount type=bind,src=/opt,dst=/opt,readonly",
        '--mount type=bind,"src=/a,""b","dst=/a,""b",readonly',
        "--env https_proxy=",
        "--entrypoint timeout -- python:3.11-slim -s KILL 30 python3 -I -B -X utf8 -c",
    ):
        assert f"{option} " in command
    assert "--user 0:" not in command


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_what_runs_in_a_container_before_the_code_gives_up_system_calls() -> None:
    """Run alone in the other sandbox, which has the same places, and one filter of its own."""
    code = "grep Seccomp_filters /proc/self/status; cat; ls /proc/self/fd | wc -w\n"
    begin, settings = docker_command("bash", Sandbox(), "box", len(code))[-2:]
    ours = f"""
import subprocess, sys
subprocess.run(["grep", "Seccomp_filters", "/proc/self/status"])
subprocess.run([sys.executable, "-I", "-c", {begin!r}, {settings!r}], input={code + "left"!r}, text=True)
"""
    told = make_python().invoke({"code": ours}).split()
    assert told[:4] == ["exit", "status", "0", "output:"]
    assert (told[4], int(told[7]) - int(told[5])) == ("Seccomp_filters:", 1)
    assert told[8:] == ["4"]  # input, output, errors, and the folder that `ls` reads


def test_an_exit_status_is_the_codes_own_and_not_dockers(only_docker: None) -> None:
    ran = Docker().run("bash", "echo out; echo err >&2; exit 125", Sandbox())
    assert (ran.status, ran.output, ran.errors) == (125, "out\n", "err\n")


def test_a_container_that_nobody_reads_from_ends_and_is_removed(
    only_docker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if we had died: nothing is sent to it, and nobody kills it."""
    name = f"threadmill-test-{os.getpid()}"
    monkeypatch.setattr(docker, "ANSWER_S", 2)
    for command in docker_command("bash", Sandbox(time_s=1), name, 9), ["start", name]:
        subprocess.run(["docker", *command], check=True, capture_output=True)
    left = ["docker", "ps", "--all", "--quiet", "--filter", f"name={name}"]
    assert subprocess.check_output(left)
    end = time.monotonic() + 20
    while subprocess.check_output(left) and time.monotonic() < end:
        time.sleep(0.2)
    assert subprocess.check_output(left) == b""


def test_an_image_that_could_be_written_to_is_refused(only_docker: None) -> None:
    name = f"threadmill-test-{os.getpid()}"
    for command in (
        ["create", "--pull", "never", "--name", name, Sandbox().image, "true"],
        ["commit", "--change", "VOLUME /tmp/data", name, name],
        ["rm", name],
    ):
        subprocess.run(["docker", *command], check=True, capture_output=True)
    try:
        with pytest.raises(NoSandbox, match="/tmp/data is writable in the container"):
            make_bash(image=name)
    finally:
        subprocess.run(["docker", "rmi", "--force", name], check=True, capture_output=True)
