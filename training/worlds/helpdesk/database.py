"""One helpdesk world: a shop's customers, orders and policy notes in an SQLite file of its own."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .names import AMOUNTS, CITIES, ITEMS, ORDERS, SHIPPING, emails

REFUND_DAYS = 30
"""Refunds are allowed up to and including this many days; the policy notes say so."""

SCHEMA = """
CREATE TABLE customers (email TEXT PRIMARY KEY);
CREATE TABLE orders (
  id TEXT PRIMARY KEY, email TEXT NOT NULL REFERENCES customers, item TEXT NOT NULL, amount INTEGER NOT NULL,
  shipping INTEGER NOT NULL, status TEXT NOT NULL, days INTEGER NOT NULL, city TEXT NOT NULL);
CREATE TABLE refunds (order_id TEXT NOT NULL REFERENCES orders, amount INTEGER NOT NULL);
CREATE VIRTUAL TABLE policies USING fts5(text, tokenize = 'porter');
"""


@dataclass(frozen=True, slots=True)
class Order:
    """One row of ``orders``; ``days`` since delivery (or since ordering, if not delivered yet)."""

    id: str
    email: str
    item: str
    amount: int
    shipping: int
    status: str
    days: int
    city: str


@dataclass(frozen=True)
class World:
    """What a seed decides: the rows, before they are written anywhere."""

    orders: tuple[Order, ...]
    policies: dict[str, str]
    """Topic to the text of its note."""
    numbers: dict[str, int]
    """Topic to the number that its note states."""


@dataclass(frozen=True)
class EndState:
    """What success is judged by: order id to (status, city), and all refunds, sorted."""

    orders: dict[str, tuple[str, str]]
    refunds: tuple[tuple[str, int], ...]


def make_world(split: str, seed: int) -> World:
    """The world of ``seed``; worlds of different splits share no customer."""
    rng = random.Random(f"helpdesk/{split}/{seed}")
    customers = rng.sample(emails(split), 4)
    ids = iter(rng.sample(ORDERS, 16))
    orders = []
    for email in customers:
        for item in rng.sample(ITEMS, rng.choice((2, 3))):
            status = rng.choice(("pending", "pending", "shipped", "delivered", "delivered"))
            orders.append(
                Order(
                    next(ids),
                    email,
                    item,
                    rng.choice(AMOUNTS),
                    rng.choice(SHIPPING),
                    status,
                    rng.randint(1, 60),
                    rng.choice(CITIES),
                )
            )
    rng.shuffle(orders)
    numbers = {
        "warranty": rng.randint(6, 60),
        "express": rng.choice(range(5, 105, 5)),
        "gift": rng.choice(range(5, 105, 5)),
        "pickup": rng.randint(2, 30),
    }
    policies = {
        "warranty": f"the warranty lasts {numbers['warranty']} months",
        "express": f"express shipping costs {numbers['express']}",
        "gift": f"gift wrapping costs {numbers['gift']}",
        "pickup": f"pickup orders are held for {numbers['pickup']} days",
        "refund": f"refunds are possible within {REFUND_DAYS} days",
    }
    return World(tuple(orders), policies, numbers)


def write_world(world: World, path: Path) -> None:
    """Create the SQLite file of ``world`` at ``path``, replacing what is there."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=OFF")  # a world half written is written anew
        connection.executescript(f"BEGIN;{SCHEMA}")
        customers = sorted({order.email for order in world.orders})
        connection.executemany("INSERT INTO customers VALUES (?)", [(email,) for email in customers])
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(o.id, o.email, o.item, o.amount, o.shipping, o.status, o.days, o.city) for o in world.orders],
        )
        connection.executemany("INSERT INTO policies (text) VALUES (?)", [(text,) for text in world.policies.values()])
        connection.commit()
    finally:
        connection.close()


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that commits on success and is always closed."""
    if not path.exists():
        raise FileNotFoundError(f"the world {str(path)!r} does not exist; it is made when an episode starts")
    connection = sqlite3.connect(path, timeout=30)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def read_end_state(path: Path) -> EndState:
    """The part of the database that tasks can change."""
    with opened(path) as db:
        orders = {row[0]: (row[1], row[2]) for row in db.execute("SELECT id, status, city FROM orders")}
        refunds = tuple(sorted((row[0], row[1]) for row in db.execute("SELECT order_id, amount FROM refunds")))
    return EndState(orders, refunds)


def initial_state(world: World) -> EndState:
    """The end state of an episode in which nothing happened."""
    return EndState({order.id: (order.status, order.city) for order in world.orders}, ())
