"""Sheets as one HTML file that needs nothing else: no network, no font, no script of others.

All text in it was written by models, tools and strangers. It is escaped, characters that reorder a page are
written out, and the page's policy lets the browser run the one script whose digest it names.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import groupby

from .pieces import MEANING, Piece, Sheet
from .texts import TokenTexts, is_half, is_hidden

TRAINED = ("sampled", "human")
_STEPS = (-0.05, -0.2, -0.5, -1.0, -1.7, -2.7, -4.0)
"""Logprobs between which the colour of a token changes."""


def render_page(title: str, sheets: Sequence[Sheet], texts: TokenTexts) -> str:
    """The page, with a section for each sheet in their order."""
    style, script = (
        files("threadmill.training.look").joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    alone = " hidden" if len(sheets) == 1 else ""
    legend = "".join(
        f'<li><b class="{kind}">abc</b><span data-kind="{kind}">{meaning}</span></li>'
        for kind, meaning in MEANING.items()
        if any(piece.kind == kind for sheet in sheets for piece in sheet.pieces)
    )
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title><style>{style}</style></head><body>",
            f'<header><div class="top"><h1>{_text(title)}</h1><div class="tools">',
            f'<button id="before" title="k"{alone}>↑ previous</button>',
            f'<button id="after" title="j"{alone}>↓ next</button>',
            '<button id="logprobs" aria-pressed="false" title="l">logprobs</button>',
            '<button id="special" aria-pressed="true" title="s">special tokens</button>',
            '<button id="scheme">light / dark</button></div></div>',
            f'<ul class="legend">{legend}<li class="scale">sure <i></i> surprised (p &lt; 2 %)</li></ul></header>',
            f'<div class="page{" single" if len(sheets) == 1 else ""}"><nav aria-label="rows">',
            *(_link(number, sheet) for number, sheet in enumerate(sheets)),
            "</nav><main>",
            *(part for number, sheet in enumerate(sheets) for part in _section(number, sheet, texts)),
            f'</main></div><div id="about" role="tooltip"></div><script>{script}</script></body></html>\n',
        )
    )


def _link(number: int, sheet: Sheet) -> str:
    return f'<a href="#s{number}">{_text(sheet.title)}<small>{_share(sheet)}</small></a>'


def _share(sheet: Sheet) -> str:
    seen = [piece for piece in sheet.pieces if piece.kind != "rejected"]
    total = sum(len(piece.ids) for piece in seen)
    trained = sum(len(piece.ids) for piece in seen if piece.kind in TRAINED)
    return f"{total:,} tokens · {trained / max(total, 1):.0%} trained"


def _section(number: int, sheet: Sheet, texts: TokenTexts) -> Iterator[str]:
    facts = {"": _share(sheet), **sheet.facts}
    versions = dict.fromkeys(piece.version for piece in sheet.pieces if piece.version)
    if versions:
        facts["version"] = ", ".join(versions)
    yield f'<section id="s{number}"><h2>{_text(sheet.title)}</h2><dl class="facts">'
    yield from (f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items())
    yield "</dl>"
    if sheet.note:
        yield f'<p class="note">{_text(sheet.note)}</p>'
    bands = (
        (kind, sum(len(piece.ids) for piece in group))
        for kind, group in groupby(sheet.pieces, key=lambda piece: piece.kind)
    )
    strip = "".join(f'<span class="{kind}" style="flex:{count}"></span>' for kind, count in bands)
    yield f'<div class="strip" aria-hidden="true">{strip}</div>'
    at = 0
    for message in _messages(sheet.pieces):
        yield f'<div class="message"><div class="who">{_text(_who(message))}<small>{at:,}</small></div>'
        yield '<div class="text">'
        for piece in message:
            yield from _piece(piece, at, texts)
            at += 0 if piece.kind == "rejected" else len(piece.ids)
        yield "</div></div>"
    yield "</section>"


def _messages(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    current: list[Piece] = []
    for piece in pieces:
        if piece.opens and current:
            yield current
            current = []
        current.append(piece)
    if current:
        yield current


def _who(message: Sequence[Piece]) -> str:
    kinds = {piece.kind for piece in message}
    if kinds == {"rejected"}:
        return "proposed"
    role = next((piece.role for piece in message if piece.role), "context")
    return "human edit" if "human" in kinds and "sampled" not in kinds else role


def _piece(piece: Piece, at: int, texts: TokenTexts) -> Iterator[str]:
    about = f' data-version="{_text(piece.version)}"' if piece.version else ""
    about += f' data-message="{_text(piece.message)}"' if piece.message else ""
    yield f'<span class="k {piece.kind}" data-kind="{piece.kind}" n="{at}"{about}>'
    logprobs = piece.logprobs or (None,) * len(piece.ids)
    for token, text, logprob in zip(piece.ids, texts.each(piece.ids), logprobs, strict=True):
        names = ["s"] * (token in texts.special) + ["e"] * (not text)
        known = ""
        if logprob is not None:
            known = f' p="{logprob:.4g}"'
            names.append(f"q{sum(logprob < step for step in _STEPS)}")
        yield f'<i t="{token}"{known}{_class(names)}>{_text(text, lines=True)}</i>'
    yield "</span>"


def _class(names: Sequence[str]) -> str:
    return f' class="{" ".join(names)}"' if names else ""


def _text(text: str, *, lines: bool = False) -> str:
    """``text`` for HTML, hidden characters written out; with ``lines`` a sign in front of each line break."""
    if text.isprintable() or text == "":
        return escape(text)
    return "".join(_sign(sign, lines) for sign in text)


def _sign(sign: str, lines: bool) -> str:
    if sign == "\n" and lines:
        return '<span class="n"></span>\n'
    if is_half(sign):
        return "\ufffd"
    if is_hidden(sign):
        return f'<span class="h">{ord(sign):02X}</span>' if lines else f"⟨{ord(sign):02X}⟩"
    return escape(sign)
