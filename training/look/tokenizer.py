"""A tokenizer to look with: from a folder or the hub, with or without a chat template."""

from pathlib import Path
from typing import Any

from ...errors import BadModelFolder


def open_tokenizer(spec: str | Path, template: Path | None = None) -> Any:
    """The tokenizer in a folder or on the hub, with the chat template of the file ``template`` if one is given.

    Raises:
        BadModelFolder: there is none.
    """
    from transformers import AutoTokenizer

    try:
        opened = AutoTokenizer.from_pretrained(str(spec))
        if template is not None:
            opened.chat_template = template.read_text(encoding="utf-8")
        return opened
    except (OSError, ValueError, KeyError) as error:
        raise BadModelFolder(
            f"no tokenizer can be opened at {str(template or spec)!r}: {error}; give a folder with tokenizer.json"
        ) from error
