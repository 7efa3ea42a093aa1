"""Runs in a container before the code of a model does: it takes the code, gives up system calls, and becomes the code.

Nothing imports it. Its text is handed to the Python of the image, so it uses the standard library alone. It ends with
a reason where the container is not as closed as it was asked to be, or does not let the code work.
"""

import base64
import ctypes
import json
import os
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
OURS, KERNELS = ("/work", "/tmp"), ("/dev/", "/proc/", "/sys/")
"""Where mounts may be writable: our own two, and all below the kernel's, where nobody but root may write."""


class _Filter(ctypes.Structure):
    _fields_ = (("steps", ctypes.c_ushort), ("begin", ctypes.c_char_p))


def become(program: list[str], size: int, filters: dict[str, str]) -> None:
    """Become ``program``, on the ``size`` bytes that come on the standard input."""
    with open("/tmp/code", "wb") as file:
        file.write(sys.stdin.buffer.read(size))
    if not os.access("/work", os.W_OK):
        sys.exit(f"user {os.getuid()} of the container cannot write to /work")
    with open("/proc/self/mounts") as mounts:
        for _, place, _, options, *_ in map(str.split, mounts):
            writable = options.split(",")[0] == "rw"
            if writable and place not in OURS and not f"{place}/".startswith(KERNELS):
                sys.exit(f"{place} is writable in the container: a VOLUME of the image, or mounted below a folder")
    if known := filters.get(os.uname().machine):
        steps = base64.b64decode(known)
        loaded = ctypes.byref(_Filter(len(steps) // 8, steps))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, loaded, 0, 0):
            sys.exit(f"the container does not take a filter of system calls: {os.strerror(ctypes.get_errno())}")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execvp(program[0], [*program, "/tmp/code"])


if __name__ == "__main__":
    become(*json.loads(sys.argv[1]))
