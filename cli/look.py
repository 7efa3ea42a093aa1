"""``threadmill export preview``, ``stats`` and ``check``: look at threads and data sets before training on them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, AsJson, Database

if TYPE_CHECKING:
    from ..training.look.pieces import Sheet
    from ..training.look.roles import RoleReader

app = typer.Typer(no_args_is_help=True, help="Look at threads and data sets.")

TokenizerSpec = Annotated[
    str | None,
    typer.Option("--tokenizer", "--model", help="The tokenizer's folder or hub name (default: the seed's)."),
]
Split = Annotated[str | None, typer.Option(help="train or test (default: the first that there is).")]


@app.command("preview")
def preview_command(
    source: Annotated[str, typer.Argument(help="A thread, or the folder of a data set.")],
    row: Annotated[list[int] | None, typer.Option(min=1, help="Of a data set: this row, from 1; repeatable.")] = None,
    split: Split = None,
    branches: Annotated[
        bool, typer.Option("--branches", help="Of a thread: all branches, not the newest only.")
    ] = False,
    logprobs: Annotated[bool, typer.Option("--logprobs", help="The logprob behind every sampled token.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page for the browser; one file, no network.")] = None,
    tokenizer: TokenizerSpec = None,
    family: Annotated[str | None, typer.Option(help="How the model writes calls, if not in its template.")] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Show a thread or rows of a data set token by token, coloured by who wrote them and what is trained.

    Example: threadmill export preview data/sft --row 3 --html row3.html
    """
    from ..training.look.roles import RoleReader
    from ..training.slots import SEED_POLICY

    given = tokenizer or str(SEED_POLICY)
    if row or Path(source).is_dir():
        from ..training.look.tokenizer import open_tokenizer

        reader = RoleReader(open_tokenizer(given))
        sheets = _row_sheets(Path(source), row or [1], split, reader)
    else:
        sheets, reader = _thread_sheets(source, given, family, db, everything=branches or html is not None)
    if html is not None:
        from ..training.look.page import render_page

        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(render_page(f"Threadmill · {source}", sheets, reader.texts), encoding="utf-8")
        if not as_json:
            typer.echo(f"{html}: {len(sheets)} to look at", err=True)
    if as_json:
        typer.echo(json.dumps({"sheets": [_record(sheet, reader) for sheet in sheets], "html": html and str(html)}))
    elif html is None:
        from rich.console import Console

        from ..training.look.terminal import render_sheets

        Console(highlight=False).print(render_sheets(sheets, reader.texts, logprobs=logprobs), soft_wrap=True)


def _thread_sheets(
    thread: str, tokenizer: str, family: str | None, db: str, *, everything: bool
) -> "tuple[list[Sheet], RoleReader]":
    from ..checkpoints.labels import labels_of
    from ..checkpoints.reading import latest_metadata
    from ..checkpoints.store import open_store
    from ..training.branches import read_branches
    from ..training.export import open_renderer
    from ..training.look.pieces import branch_sheets
    from ..training.look.roles import RoleReader

    renderer = open_renderer(tokenizer, family)
    reader = RoleReader(renderer.tokenizer)
    with open_store(db, create=False, read_only=True) as store:
        labels = labels_of(store, [thread]).get(thread, [])
        task = (latest_metadata(store, thread) or {}).get("task")
        branches = read_branches(store, thread, task=task, labels=labels, renderer=renderer)
    shown = branches if everything else branches[-1:]
    return [sheet for branch in reversed(shown) for sheet in branch_sheets(branch, reader)], reader


def _row_sheets(folder: Path, numbers: list[int], split: str | None, reader: "RoleReader") -> "list[Sheet]":
    from ..errors import BadDataset
    from ..training.look.folder import open_folder
    from ..training.look.pieces import row_sheets
    from ..training.look.sequences import NotAligned

    data = open_folder(folder)
    sheets: list[Sheet] = []
    for number in numbers:
        row = data.row(number, split)
        try:
            found = row_sheets(row, number, reader)
        except NotAligned as error:
            raise BadDataset(f"{folder}, row {number}: {error}; try `threadmill export check {folder}`") from error
        if not found:
            columns = ", ".join(row)
            raise BadDataset(f"{folder}, row {number} has no tokens, only {columns}; preview its thread instead")
        sheets += found
    return sheets


def _record(sheet: "Sheet", reader: "RoleReader") -> dict[str, Any]:
    pieces = [
        {
            "kind": piece.kind,
            "role": piece.role,
            "text": "".join(reader.texts.each(piece.ids)),
            "ids": piece.ids,
            "logprobs": piece.logprobs,
            "message": piece.message,
            "version": piece.version,
        }
        for piece in sheet.pieces
    ]
    return {"title": sheet.title, "facts": sheet.facts, "note": sheet.note, "pieces": pieces}
