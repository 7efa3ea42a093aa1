"""A tokenizer to look with: from a folder or the hub, with or without a chat template."""

from pathlib import Path
from typing import Any

from ...errors import BadModelFolder


def open_tokenizer(spec: str | Path) -> Any:
    """The tokenizer in a folder or on the hub.

    Raises:
        BadModelFolder: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(spec))
    except (OSError, ValueError, KeyError) as error:
        raise BadModelFolder(
            f"no tokenizer can be opened at {str(spec)!r}: {error}; give a folder with tokenizer.json"
        ) from error
