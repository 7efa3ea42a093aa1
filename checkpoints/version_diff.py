"""What distinguishes two versions: settings, runs, every tensor, how they were evaluated, what the gate said."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadModelFolder
from .evaluations import RecordedEvaluation, list_evaluations
from .model_files import model_files
from .registry import Version, resolve, verified_folder
from .runs import Run, list_runs
from .store import Store
from .verdicts import Verdict, list_verdicts

SETTINGS = ("config.json", "generation_config.json", "adapter_config.json", "tokenizer_config.json")
"""Files that are compared key by key; of the others only whether they differ is told."""


PART = 1 << 22
"""Numbers of a tensor that are compared at once."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A key that two versions have with different values, or that only one of them has."""

    file: str
    key: str
    """With dots, as in ``rope_parameters.rope_theta``."""
    before: Any
    """None also if there is no such key."""
    after: Any


@dataclass(frozen=True, slots=True)
class TensorChange:
    """How far a tensor of equal shape moved."""

    name: str
    max: float
    """The largest absolute difference of a number."""
    rms: float
    """Root of the mean square of the differences."""


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """What distinguishes ``after`` from ``before``."""

    before: Version
    after: Version
    unread: str | None
    """Why the files were not compared; None if they were."""
    settings: list[Setting]
    files: list[str]
    """Other files that differ or that one of them lacks."""
    runs: dict[str, list[Run]]
    """Version to its runs, oldest first."""
    same_tensors: int
    """How many are equal to the last bit."""
    tensors: list[TensorChange]
    """Those that changed, the one that moved furthest (rms) first."""
    other_shapes: dict[str, tuple[list[int], list[int]]]
    only_before: list[str]
    only_after: list[str]
    evaluations: dict[str, dict[str, RecordedEvaluation]]
    """Suite to version to its newest evaluation that is done."""
    verdicts: list[Verdict]
    """Those in which one was the candidate and the other live, oldest first."""


def diff_versions(store: Store, before: str, after: str) -> VersionDiff:
    """Compare the versions that two SPECs name. Tensors are read one at a time.

    What a clean-up has removed is not compared; the records of it are.

    Raises:
        UnknownSlot, UnknownVersion
        BadModelFolder: the files of one are not those that were registered, or cannot be read.
    """
    one, other = (resolve(store, spec) for spec in (before, after))
    names = (one.name, other.name)
    settings, files, same, changed, shapes, only = [], [], 0, [], {}, ([], [])
    gone = [
        f"the files of {version.name} were removed at {version.gone_at}" for version in (one, other) if version.gone_at
    ]
    if not gone:
        folders = [Path(verified_folder(store, name)) for name in names]
        settings, files = _compare_files(*folders)
        same, changed, shapes, only = _compare_tensors(*folders)
    evaluations: dict[str, dict[str, RecordedEvaluation]] = {}
    for name in names:
        for suite, evaluation in newest_evaluations(store, name).items():
            evaluations.setdefault(suite, {})[name] = evaluation
    every_run = list_runs(store)
    return VersionDiff(
        before=one,
        after=other,
        unread="; ".join(gone) or None,
        settings=settings,
        files=files,
        runs={name: [run for run in every_run if run.version == name] for name in names},
        same_tensors=same,
        tensors=sorted(changed, key=lambda change: (-change.rms, change.name)),
        other_shapes=shapes,
        only_before=only[0],
        only_after=only[1],
        evaluations=dict(sorted(evaluations.items())),
        verdicts=[verdict for verdict in list_verdicts(store) if {verdict.candidate, verdict.live} == {*names}],
    )


def newest_evaluations(store: Store, version: str) -> dict[str, RecordedEvaluation]:
    """Suite to the newest evaluation of ``version`` that is done."""
    done = [one for one in list_evaluations(store, version=version) if one.status == "done"]
    return {one.suite: one for one in reversed(done)}


def _compare_files(before: Path, after: Path) -> tuple[list[Setting], list[str]]:
    """Settings that differ, and the names of other files that do; weights left out."""
    old, new = (
        {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in model_files(folder)
            if not _is_weights(file)
        }
        for folder in (before, after)
    )
    settings: list[Setting] = []
    files: list[str] = []
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        if name not in SETTINGS:
            files.append(name)
            continue
        one, other = (_flat(_settings(content.get(name), name)) for content in (old, new))
        differing = [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
        settings += [Setting(name, key, one.get(key), other.get(key)) for key in differing]
    return settings, files


def _settings(content: bytes | None, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(content or "{}"))
    except (ValueError, TypeError) as error:
        raise BadModelFolder(f"{name} cannot be read: {error}; save the model again") from error


def _flat(settings: Any, above: str = "") -> dict[str, Any]:
    """Nested settings by their keys joined with dots.

    >>> _flat({"a": 1, "b": {"c": [2], "d": {}}})
    {'a': 1, 'b.c': [2], 'b.d': {}}
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        within = isinstance(value, Mapping) and value
        found |= _flat(value, f"{above}{key}.") if within else {f"{above}{key}": value}
    return found


def _compare_tensors(
    before: Path, after: Path
) -> tuple[int, list[TensorChange], dict[str, tuple[list[int], list[int]]], tuple[list[str], list[str]]]:
    """How many are equal, those that moved, those of other shapes, and the names that only one side has."""
    import torch
    from safetensors import safe_open

    places = [_places(folder) for folder in (before, after)]
    same, changed, shapes = 0, [], {}
    for name in sorted({*places[0]} & {*places[1]}):
        tensors = []
        for place in places:
            with safe_open(place[name], "pt") as stored:
                tensors.append(stored.get_tensor(name))
        old, new = tensors
        if old.shape != new.shape:
            shapes[name] = (list(old.shape), list(new.shape))
        elif torch.equal(old, new):
            same += 1
        else:
            changed.append(_moved(name, old.flatten(), new.flatten()))
    only = [*places[0].keys() - places[1].keys()], [*places[1].keys() - places[0].keys()]
    return same, changed, shapes, (sorted(only[0]), sorted(only[1]))


def _moved(name: str, old: Any, new: Any) -> TensorChange:
    """In parts: a large embedding in float64 would need several gigabytes."""
    largest, squares = 0.0, 0.0
    for one, other in zip(old.split(PART), new.split(PART), strict=True):
        apart = other.double() - one.double()
        largest = max(largest, float(apart.abs().max()))
        squares += float(apart.square().sum())
    return TensorChange(name, largest, (squares / len(old)) ** 0.5)


def _places(folder: Path) -> dict[str, str]:
    """Every tensor and the file that holds it."""
    from safetensors import SafetensorError, safe_open

    places: dict[str, str] = {}
    for file in filter(_is_weights, model_files(folder)):
        try:
            with safe_open(str(file), "pt") as stored:
                places |= dict.fromkeys(stored.keys(), str(file))
        except SafetensorError as error:
            raise BadModelFolder(f"{str(file)!r} cannot be read: {error}; save the model again") from error
    return places


def _is_weights(file: Path) -> bool:
    return file.suffix == ".safetensors"
