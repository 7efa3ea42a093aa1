"""The files of a benchmark: JSON, one row a line, as it is or compressed."""

import gzip
import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from ....errors import BadEvaluation


def read_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers, from 1, and rows.

    Raises:
        BadEvaluation: the file, or a line of it, cannot be read.
    """
    number = 0
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for number, line in enumerate(content.decode().split("\n"), 1):
            if line.strip():
                yield number, json.loads(line)
    except (OSError, EOFError, ValueError) as error:
        place = f"{file}, line {number}," if number else str(file)
        raise BadEvaluation(f"{place} cannot be read: {error}") from error


def digest_with_checks(files: Iterable[Path]) -> str:
    """Twelve hexadecimal digits that change with the content of ``files`` and with the checks of this package."""
    checks = sorted(Path(__file__).parent.glob("*.py"))
    return sha256(b"".join(sha256(file.read_bytes()).digest() for file in [*files, *checks])).hexdigest()[:12]
