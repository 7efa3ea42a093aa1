"""Which system calls code in a sandbox may not make, as the filter (seccomp) that bubblewrap hands to the kernel.

Namespaces keep code from what is outside; this keeps it from parts of the kernel that it has no use for, and in which
ways out were found: tracing, mounting, further namespaces, keyrings, BPF, io_uring. And from kinds of sockets that no
network namespace holds: a virtual machine's line to its host (vsock) among them.
"""

import platform
import struct
from collections.abc import Iterable
from errno import ENOSYS, EPERM

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The machines whose numbers are known here; on others there is no filter."""
# name: number on x86_64, number on aarch64 (None: it has none)
REFUSED: dict[str, tuple[int, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "unshare": (272, 97),
    "setns": (308, 268),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "modify_ldt": (154, None),
    "ioperm": (173, None),
    "iopl": (172, None),
}
CLONE, IOCTL, SOCKET = (56, 220), (16, 29), (41, 198)
UNREADABLE = {"clone3": (435, 435), "openat2": (437, 437)}
"""Their flags lie where no filter can read them. Who meets ENOSYS falls back on the older ones."""
MODES: dict[str, tuple[int | None, int | None, int]] = {
    "chmod": (90, None, 1),
    "fchmod": (91, 52, 1),
    "fchmodat": (268, 53, 2),
    "fchmodat2": (452, 452, 2),
    "creat": (85, None, 1),
    "mknod": (133, None, 1),
    "mknodat": (259, 33, 2),
}
"""What sets the mode of a file, and by which argument."""
OPENS: dict[str, tuple[int | None, int | None, int]] = {"open": (2, None, 1), "openat": (257, 56, 2)}
"""What opens a file, and which argument are the flags; the next is the mode of a file that it makes."""
MAKES_FILE = 0o20000100
"""O_CREAT, O_TMPFILE."""
SETS_USER = 0o6000
"""A program with this mode in a folder that is kept would run with the rights of whoever owns the folder."""
NEW_NAMESPACES = 0x7E020080
"""The flags of ``clone`` that make one."""
TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI, TIOCLINUX: ways to type into the terminal of whoever started us."""
SOCKETS = (1, 2, 10, 16)
"""Unix, IPv4, IPv6, netlink: all of them live in the network namespace."""

ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, tuple(range(16, 64, 8))
X32 = 0x40000000


def system_call_filter(machine: str = platform.machine()) -> bytes | None:
    """The filter for ``machine``; None where its system calls are not known here."""
    if machine not in ARCHITECTURES:
        return None
    column = list(ARCHITECTURES).index(machine)
    refuse, allow = _step(RETURN, REFUSE | EPERM), _step(RETURN, ALLOW)
    steps = [_step(LOAD, ARCHITECTURE), _step(EQUAL, ARCHITECTURES[machine], 1, 0), _step(RETURN, KILL)]
    steps += [_step(LOAD, NUMBER), _step(AT_LEAST, X32, 0, 1), refuse]
    for numbers in REFUSED.values():
        if (number := numbers[column]) is not None:
            steps += [_step(EQUAL, number, 0, 1), refuse]
    for numbers in UNREADABLE.values():
        steps += [_step(EQUAL, numbers[column], 0, 1), _step(RETURN, REFUSE | ENOSYS)]
    steps += _on(CLONE[column], 0, [_step(ANY_BIT, NEW_NAMESPACES, 0, 1), refuse, allow])
    steps += _on(IOCTL[column], 1, [*_each(TERMINAL_INPUT, refuse), allow])
    steps += _on(SOCKET[column], 0, [*_each(SOCKETS, allow), refuse])
    no_program_of_others = [_step(ANY_BIT, SETS_USER, 0, 1), refuse, allow]
    for *numbers, mode in MODES.values():
        steps += _on(numbers[column], mode, no_program_of_others)
    for *numbers, flags in OPENS.values():
        makes = [_step(ANY_BIT, MAKES_FILE, 1, 0), allow, _step(LOAD, ARGUMENTS[flags + 1])]
        steps += _on(numbers[column], flags, [*makes, *no_program_of_others])
    return b"".join([*steps, allow])


def _on(number: int | None, argument: int, steps: list[bytes]) -> list[bytes]:
    """``steps`` on an argument of the system call ``number``, if there is such a call; each way through them ends."""
    if number is None:
        return []
    return [_step(EQUAL, number, 0, len(steps) + 1), _step(LOAD, ARGUMENTS[argument]), *steps]


def _each(values: Iterable[int], outcome: bytes) -> list[bytes]:
    return [step for value in values for step in (_step(EQUAL, value, 0, 1), outcome)]


def _step(code: int, operand: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, operand)
