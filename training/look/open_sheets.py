"""The sheets of a thread in a database, or of rows of a data set, ready to be shown."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...checkpoints.labels import labels_of
from ...checkpoints.reading import latest_metadata
from ...checkpoints.store import Store
from ...errors import BadDataset, CannotRender, NoToolTemplate
from ..branches import read_branches
from .folder import Folder, Placed, open_folder
from .pieces import Sheet, branch_sheets, row_sheets
from .roles import RoleReader
from .sequences import NotAligned

if TYPE_CHECKING:
    from ...nodes.models.render import Renderer

FIRST = 20
"""Rows to show where none is named."""


def thread_sheets(
    store: Store, thread: str, renderer: "Renderer", reader: RoleReader, *, branches: bool
) -> list[Sheet]:
    """The newest branch of a thread, or all its ``branches``, the newest first.

    Raises:
        UnknownThread
        BadTrace, BadCheckpoint, CannotRender: it cannot be read.
    """
    labels = labels_of(store, [thread]).get(thread, [])
    task = latest_metadata(store, thread).get("task")
    found = read_branches(store, thread, task=task, labels=labels, renderer=renderer)
    shown = found if branches else found[-1:]
    return [sheet for branch in reversed(shown) for sheet in branch_sheets(branch, reader)]


def folder_sheets(path: Path, reader: RoleReader, rows: Collection[int] = (), split: str | None = None) -> list[Sheet]:
    """These ``rows`` of a split, numbered from 1, or the first ones; of the first split if none is named.

    Raises:
        BadDataset: there is no such data set or row, or the row has no tokens.
    """
    folder = open_folder(path)
    wanted = split or next(iter(folder.files), "train")
    sheets: list[Sheet] = []
    last, missing = 0, set(rows)
    for placed in folder.rows():
        if placed.split != wanted:
            continue
        last = placed.number
        if rows and last not in rows:
            continue
        missing.discard(last)
        sheets += _sheets_of(folder, placed, reader)
        if not missing and (rows or last == FIRST):
            break
    if missing or not sheets:
        number = min(missing, default=1)
        raise BadDataset(f"{path} has no {wanted} row {number}; it has {last}, numbered from 1")
    return sheets


def _sheets_of(folder: Folder, placed: Placed, reader: RoleReader) -> list[Sheet]:
    place = f"{folder.path}, {placed.split} row {placed.number}"
    if placed.row is None:
        raise BadDataset(f"{place} cannot be read: {placed.problem}; try `threadmill export check {folder.path}`")
    try:
        sheets = row_sheets(placed.row, placed.number, reader)
    except (NotAligned, CannotRender, NoToolTemplate) as error:
        raise BadDataset(f"{place}: {error}; try `threadmill export check {folder.path}`") from error
    if not sheets:
        raise BadDataset(f"{place} has no tokens, only {', '.join(placed.row)}; preview its thread instead")
    made = (folder.manifest or {}).get("tokenizer")
    own = reader.template.fingerprint if reader.template else None
    if made and made != own:
        note = "it was exported with another tokenizer, so the texts may be wrong: name that one with --tokenizer"
        return [replace(sheet, note=". ".join(filter(None, (note, sheet.note)))) for sheet in sheets]
    return sheets
