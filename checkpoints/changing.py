"""One transaction at a time over versions, aliases and pins, and word of it to the processes that follow an alias."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.orm import Session

from .store import Store

CHANNEL = "threadmill_alias"
"""Where PostgreSQL says that an alias, a pin or a canary of a slot changed; the message is the slot."""


@contextmanager
def changing(store: Store) -> Iterator[Session]:
    """One transaction that holds the write lock from its first read, so that no one else moves in between."""
    with Session(store.engine) as session, session.begin():
        if store.engine.dialect.name == "sqlite":
            session.execute(text("BEGIN IMMEDIATE"))  # by itself SQLite would begin at the first write
        else:
            session.execute(text("LOCK TABLE versions, aliases, alias_history IN EXCLUSIVE MODE"))
        yield session


def tell_followers(session: Session, slot: str) -> None:
    """Wake who listens for ``slot`` when the transaction commits; SQLite has no such call, there they look again."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_notify(:channel, :slot)"), {"channel": CHANNEL, "slot": slot})
