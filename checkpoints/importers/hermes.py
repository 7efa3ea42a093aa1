"""Hermes: ShareGPT turns whose texts hold tools, calls and results in tags.

Built from the public documentation at https://huggingface.co/datasets/NousResearch/hermes-function-calling-v1 and
https://github.com/NousResearch/Hermes-Function-Calling, no sample at hand. The tools come from the ``<tools>`` of the
system prompt, else from the row; the prompt keeps what it says beside them. Rows without tags are read as ShareGPT.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import sharegpt
from .hermes_text import is_tagged
from .record import Record

NAME = "hermes"


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` hold turns of ShareGPT with the tags of Hermes?"""
    return sharegpt.has_turns(row) and is_tagged(row["conversations"])


def read(row: dict[str, Any], file: Path) -> Iterable[Record]:
    """The record of a row, or two for a preference.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    return sharegpt.records_of(row, NAME)
