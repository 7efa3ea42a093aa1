"""``threadmill export preview``, ``stats`` and ``check``: look at threads and data sets before training on them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .look_print import print_report, print_stats
from .place import DEFAULT_DB, AsJson, Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..training.look.pieces import Sheet
    from ..training.look.roles import RoleReader
    from ..training.look.seen import Seen

app = typer.Typer(no_args_is_help=True, help="Look at threads and data sets.")

TokenizerSpec = Annotated[
    str | None,
    typer.Option("--tokenizer", "--model", help="The tokenizer's folder or hub name, or seed (the default)."),
]
Family = Annotated[str | None, typer.Option(help="How the model writes calls, if its template does not tell.")]
Template = Annotated[Path | None, typer.Option(help="A chat template in place of the tokenizer's.")]
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
    template: Template = None,
    family: Family = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Show a thread or rows of a data set token by token, coloured by who wrote them and what is trained.

    Example: threadmill export preview data/sft --row 3 --html row3.html
    """
    from ..training.look.open_sheets import folder_sheets, thread_sheets
    from ..training.look.roles import RoleReader
    from .export_options import tokenizer_named

    spec = tokenizer_named(tokenizer)
    if row or Path(source).exists():
        from ..training.look.tokenizer import open_tokenizer

        reader = RoleReader(open_tokenizer(spec, template), family)
        sheets = folder_sheets(Path(source), reader, row or ([] if html else [1]), split)
    else:
        from ..checkpoints.store import open_store
        from ..training.export import open_renderer

        renderer = open_renderer(spec, family, template)
        reader = RoleReader(renderer.tokenizer, family)
        with open_store(db, create=False, read_only=True) as store:
            sheets = thread_sheets(store, source, renderer, reader, branches=branches or html is not None)
    if not sheets:
        typer.echo(f"{source} has no tokens to show: no model speaks in it", err=True)
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

        console = Console(highlight=False)
        colours = console.color_system is not None and not console.no_color
        text = render_sheets(sheets, reader.texts, logprobs=logprobs, colours=colours)
        console.print(text, soft_wrap=True)


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


@app.command("stats")
def stats_command(
    data: Annotated[Path | None, typer.Argument(help="A data set; without one, the threads of --db.")] = None,
    acting: Annotated[
        list[str] | None, typer.Option(help="A tool that changes something; repeatable. Without, names decide.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Where the picture goes.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Of threads: a condition, e.g. agent=helpdesk.")] = None,
    tokenizer: TokenizerSpec = None,
    template: Template = None,
    family: Family = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Show what is in a data set or in threads: lengths, tools, tiers, outcomes, and whether successes act at all.

    Example: threadmill export stats data/sft --acting refund --acting cancel_order --png stats.png
    """
    from ..training.look.stats import Stats

    given: Any = (tokenizer, family, template)
    seen = _rows_seen(data, given) if data is not None else _branches_seen(db, where or [], given)
    stats = Stats.of(seen, acting or ())
    title = str(data) if data is not None else db
    if png is not None:
        from ..training.look.stats_picture import draw_stats

        draw_stats(png, stats, title)
    if as_json:
        typer.echo(json.dumps(stats.to_dict() | {"png": png and str(png)}))
    else:
        print_stats(stats, title)


@app.command("check")
def check_command(
    data: Annotated[Path, typer.Argument(help="The folder or the file of a data set, ours or not.")],
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", "--model", help="The tokenizer's folder or hub name, or seed.")
    ] = None,
    template: Template = None,
    family: Family = None,
    as_json: AsJson = False,
) -> None:
    """Check a data set, ours or not: masks, ends of turns, prefixes, duplicates, leaks. Errors make it exit with 1.

    Example: threadmill export check data/sft --tokenizer Qwen/Qwen3-0.6B
    """
    from ..training.look.check import check_folder

    report = check_folder(data, _reader_for(data, tokenizer, family, template))
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        print_report(report)
    if report.errors:
        raise typer.Exit(1)


def _reader_for(data: Path, tokenizer: str | None, family: str | None, template: Path | None) -> "RoleReader | None":
    """The reader of the tokenizer that was named; of the seed's, if the data set was exported with that."""
    from ..training.look.folder import open_folder
    from ..training.look.roles import RoleReader
    from ..training.look.tokenizer import open_tokenizer
    from .export_options import tokenizer_named

    if tokenizer is not None:
        return RoleReader(open_tokenizer(tokenizer_named(tokenizer), template), family)
    made = (open_folder(data).manifest or {}).get("tokenizer")
    if not made:
        return None
    reader = RoleReader(open_tokenizer(tokenizer_named(None), template), family)
    return reader if reader.template is not None and reader.template.fingerprint == made else None


def _rows_seen(data: Path, given: Any) -> "Iterator[Seen]":
    from ..training.look.chats import NoMessages
    from ..training.look.folder import open_folder
    from ..training.look.seen import row_seen
    from ..training.look.sequences import NotAligned

    reader = _reader_for(data, *given) if given[0] is not None else None
    bad = 0
    for placed in open_folder(data).rows():
        try:
            if placed.row is not None:
                yield row_seen(placed.row, placed.split, reader)
                continue
        except (NotAligned, NoMessages):
            pass
        bad += 1
    if bad:
        typer.echo(f"{bad} rows cannot be read; try `threadmill export check {data}`", err=True)


def _branches_seen(db: str, where: list[str], given: Any) -> "Iterator[Seen]":
    from ..checkpoints.store import open_store
    from ..checkpoints.where import find_heads, parse_where
    from ..training.branches import stream_branches
    from ..training.export import open_renderer
    from ..training.look.seen import branch_seen
    from .progress import progress_bar

    renderer = open_renderer(*given) if given[0] is not None else None
    bad = 0
    with open_store(db, create=False, read_only=True) as store, progress_bar("export stats") as progress:
        heads = find_heads(store, parse_where(where))
        for done, read in enumerate(stream_branches(store, heads, renderer=renderer), 1):
            bad += read.error is not None
            for branch in read.branches:
                yield from branch_seen(branch)
            progress(done, len(heads))
    if bad:
        typer.echo(f"{bad} threads cannot be read", err=True)
