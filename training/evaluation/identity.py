"""What makes two evaluations the same one: equal weights, agent, suite and settings. Digests, nothing else."""

import inspect
import re
from collections.abc import Mapping
from hashlib import sha256
from json import dumps
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

from ...checkpoints.digest import digest_folder
from ...checkpoints.model_files import base_of, folders_of
from ...checkpoints.registry import resolve
from ...checkpoints.store import Store
from ...errors import UnknownSlot, UnknownVersion
from ..slots import read_spec
from ..suites import Suite

PREFIX = re.compile(r"eval-[0-9a-f]{8}-")
"""What the ids of an evaluation's threads begin with, those included that it did not come to record."""


def fixed_versions(store: Store, suite: Suite, versions: Mapping[str, str]) -> dict[str, str]:
    """Each slot of ``suite`` with what answers in it: an alias becomes the version that it names at this moment.

    A slot that ``versions`` leaves out has its live version, or the seed policy if it has none.

    Raises:
        UnknownSlot: ``versions`` names a slot that the suite's agent has not, or a version in none that is registered.
        UnknownVersion, BadModelSpec
    """
    for name in versions:
        if name not in suite.slots:
            raise UnknownSlot(f"the agent of {suite.name!r} has no slot {name!r}; it has {', '.join(suite.slots)}")
    return {name: _fixed(store, name, versions.get(name)) for name in suite.slots}


def thread_prefix(suite: Suite, versions: Mapping[str, str], graph: str, settings: Mapping[str, Any]) -> str:
    """What the ids of the threads begin with; ``settings`` are those that an episode depends on.

    Equal weights and arguments give equal prefixes, so that threads are read back. Weights are known by the number of
    a registered version, or by the content of a folder. Nobody knows what an address serves tomorrow, or a hub name:
    each evaluation of one gets threads of its own.
    """
    weights = {slot: _weights(version) for slot, version in versions.items()}
    if None in weights.values():
        return f"eval-{uuid4().hex[:8]}-"
    return f"eval-{digest_of(suite_digest(suite), weights, graph, dict(settings))[:8]}-"


def suite_digest(suite: Suite) -> str:
    """Twelve hexadecimal digits that change with the code of ``suite`` and with its plain settings, lists and tables.

    Its code is the file that it is written in, and the others beside it if that is a package. A suite that is read
    from data has an attribute ``digest`` instead, which says what its tasks and checks are.
    """
    written = getattr(suite, "digest", "") or code_of(type(suite))
    plain = {name: value for name, value in getattr(suite, "__dict__", {}).items() if _is_plain(value)}
    return digest_of(suite.name, written, plain)[:12]


def digest_of(*parts: Any) -> str:
    """The SHA-256 of ``parts`` as JSON."""
    return sha256(dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


_PLAIN = (str, int, float, bool, type(None), Path)


def _is_plain(value: Any) -> bool:
    """Whether ``value`` is written the same wherever it is equal: plain, or made of what is."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_plain(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return isinstance(value, _PLAIN)


def code_of(written: type | ModuleType) -> list[str]:
    """Digests of the file that something is written in, and of the others beside it if that is a package."""
    try:
        source = Path(inspect.getfile(written))
        files = sorted(source.parent.glob("*.py")) if (source.parent / "__init__.py").is_file() else [source]
        return [sha256(file.read_bytes()).hexdigest() for file in files]
    except (TypeError, OSError):  # typed in at a prompt: nobody can tell whether it changed
        return [uuid4().hex]


def _weights(version: str) -> str | None:
    """What names the weights of ``version`` for good; None if nothing does."""
    read = read_spec(version)
    if read.kind == "version":
        return version
    folder = Path(read.place)
    if read.kind != "folder" or not folder.is_dir():
        return None
    line = folders_of(folder)
    if base_of(line[-1]) is not None:  # a hub name
        return None
    return " on ".join(digest_folder(one).digest for one in line)


def _fixed(store: Store, slot: str, spec: str | None) -> str:
    if spec is None:
        try:
            return resolve(store, f"{slot}@live").name
        except (UnknownSlot, UnknownVersion):
            return "seed"
    return resolve(store, spec).name if read_spec(spec).kind == "version" else spec
