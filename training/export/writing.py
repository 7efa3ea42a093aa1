"""What can go wrong while a data set is written, in words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import BadDataset, StoreFull, ThreadmillError


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Tell errors of the disk, and of the work file beside ``out``, as our own.

    Raises:
        BadDataset: ``out`` cannot be written.
        StoreFull: there is no room for it.
    """
    try:
        yield
    except ThreadmillError:  # some are OSErrors, too
        raise
    except (OSError, sqlite3.Error) as error:
        if "disk is full" in str(error) or "No space left" in str(error):
            raise StoreFull(f"no room for {out}: {error}; what was done is kept, make room and export again") from error
        raise BadDataset(f"{out} cannot be written: {error}; choose another folder") from error
