"""Files that go with what a user says: images and PDFs as content blocks, text files as marked text.

A model that reads only text gets text files alone; of the others the chat template says that it cannot show them.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from mimetypes import guess_type
from os import PathLike
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage

from ..errors import CannotAttach
from .hidden_text import show_hidden
from .marking import mark_as_data

MOST_BYTES = 10_000_000
"""Of one file that is no text."""
MOST_CHARS = 200_000
"""Of one text file."""
BEGINNINGS = {
    "image/png": rb"\x89PNG",
    "image/jpeg": rb"\xff\xd8",
    "image/gif": rb"GIF8",
    "image/webp": rb"RIFF....WEBP",
    "application/pdf": rb"%PDF",
}
"""How files of each kind begin: a server that gets others refuses the whole conversation, now and ever after."""


def attach(text: str, paths: Sequence[str | PathLike[str]]) -> HumanMessage:
    """What the user says, with the files at ``paths`` in their order.

    Raises:
        CannotAttach: there is no such file, it is too large, or of a kind that no model reads.
    """
    blocks = [_block(Path(path)) for path in paths]
    if all(block["type"] == "text" for block in blocks):
        return HumanMessage("\n\n".join([text, *(block["text"] for block in blocks)]))
    return HumanMessage([{"type": "text", "text": text}, *blocks])


def _block(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CannotAttach(f"there is no file {str(path)!r} to attach; look at its name")
    size, kind = path.stat().st_size, guess_type(path.name)[0] or ""
    if size > MOST_BYTES:
        raise CannotAttach(
            f"{str(path)!r} has {size} bytes, more than the {MOST_BYTES} that may be attached; shrink it"
        )
    content = path.read_bytes()
    if kind not in BEGINNINGS:
        return {"type": "text", "text": _as_text(path, content)}
    if not re.match(BEGINNINGS[kind], content, re.DOTALL):
        raise CannotAttach(f"{str(path)!r} is called {kind} and begins as none; look what it is, and rename it")
    block = {"base64": b64encode(content).decode(), "mime_type": kind}
    if kind == "application/pdf":
        return {"type": "file", **block, "filename": path.name}
    return {"type": "image", **block}


def _as_text(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
        if "\0" in text:
            raise UnicodeError("it holds the byte 0")
    except UnicodeError as error:
        raise CannotAttach(
            f"{str(path)!r} is no text ({error}), and no PNG, JPEG, GIF, WebP or PDF; convert it to one of them"
        ) from error
    if len(text) > MOST_CHARS:
        raise CannotAttach(
            f"{str(path)!r} has {len(text)} characters, more than the {MOST_CHARS} that may be attached; cut it, or "
            "let a tool read it"
        )
    name = " ".join(show_hidden(path.name).split())  # in one line: it stands outside of the marks
    return f"{name}:\n{mark_as_data(text, path.name, 'a file')}"
