"""The helpdesk's tools. Each finds its world through ``config["configurable"]["world"]``, a file path.

A request that the shop refuses raises ``ToolException``: the tool node turns it into an observation, which
starts with "error:" because chat templates do not show the status of a result.
"""

import ast
import operator
import sqlite3
from pathlib import Path
from typing import Annotated

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException, tool
from pydantic import Field

from ....nodes.traits import with_traits
from .database import opened

Amount = Annotated[int, Field(gt=0)]


@tool
def find_orders(email: str, config: RunnableConfig) -> str:
    """List the orders of a customer: item and order number."""
    with opened(_world(config)) as db:
        rows = db.execute("SELECT item, id FROM orders WHERE email = ? ORDER BY rowid", (email,)).fetchall()
    if not rows:
        raise ToolException(f"error: no orders of {email}")
    return ", ".join(f"{item} {order_id}" for item, order_id in rows)


@tool
def get_order(order_id: str, config: RunnableConfig) -> str:
    """Show an order: item, amount, shipping, status, days since delivery, city."""
    with opened(_world(config)) as db:
        order = _order(db, order_id)
    return (
        f"{order_id} item {order['item']} amount {order['amount']} shipping {order['shipping']} "
        f"status {order['status']} days {order['days']} city {order['city']}"
    )


@tool
def cancel_order(order_id: str, config: RunnableConfig) -> str:
    """Cancel an order that has not been shipped."""
    with opened(_world(config)) as db:
        order = _order(db, order_id)
        if order["status"] != "pending":
            raise ToolException(f"error: {order_id} is already {order['status']}")
        db.execute("UPDATE orders SET status = 'cancelled' WHERE id = ?", (order_id,))
    return f"{order_id} is cancelled"


@tool
def refund(order_id: str, amount: Amount, config: RunnableConfig) -> str:
    """Pay back an amount for an order."""
    with opened(_world(config)) as db:
        order = _order(db, order_id)
        paid = db.execute("SELECT sum(amount) FROM refunds WHERE order_id = ?", (order_id,)).fetchone()[0] or 0
        if paid + amount > order["amount"] + order["shipping"]:
            raise ToolException(f"error: {amount} is more than was paid for {order_id}")
        db.execute("INSERT INTO refunds VALUES (?, ?)", (order_id, amount))
    return f"refunded {amount} for {order_id}"


@tool
def change_address(order_id: str, city: str, config: RunnableConfig) -> str:
    """Send an order to another city."""
    with opened(_world(config)) as db:
        order = _order(db, order_id)
        if order["status"] != "pending":
            raise ToolException(f"error: {order_id} is already {order['status']}")
        db.execute("UPDATE orders SET city = ? WHERE id = ?", (city, order_id))
    return f"{order_id} goes to {city}"


@tool
def search_policy(query: str, config: RunnableConfig) -> str:
    """Search the shop's policy notes."""
    words = [word for word in "".join(c if c.isalnum() else " " for c in query).split()]
    if not words:
        raise ToolException("error: the query has no words")
    match = " OR ".join(f'"{word}"' for word in words)
    with opened(_world(config)) as db:
        row = db.execute(
            "SELECT text FROM policies WHERE policies MATCH ? ORDER BY rank, rowid LIMIT 1", (match,)
        ).fetchone()
    if row is None:
        raise ToolException(f"error: no note about {query}")
    return row[0]


@tool
def calculator(expression: str) -> str:
    """Work out a sum such as 12 + 30."""
    try:
        value = _value(ast.parse(expression, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError, RecursionError, MemoryError) as error:
        raise ToolException(f"error: cannot work out {expression[:80]!r}") from error
    return f"{value:g}" if isinstance(value, float) else str(value)


TOOLS: tuple[BaseTool, ...] = (
    with_traits(find_orders, acts=False),
    with_traits(get_order, acts=False),
    cancel_order,
    refund,
    change_address,
    with_traits(search_policy, acts=False),
    with_traits(calculator, acts=False),
)

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def _value(node: ast.expr) -> float | int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    raise ValueError("only numbers and + - * / are allowed")


def _world(config: RunnableConfig) -> Path:
    path = config.get("configurable", {}).get("world")
    if not path:
        raise ToolException("error: this thread has no world; give its path as configurable['world']")
    return Path(path)


def _order(db: sqlite3.Connection, order_id: str) -> sqlite3.Row:
    db.row_factory = sqlite3.Row
    row = db.execute("SELECT * FROM orders WHERE id = ?", (order_id,)).fetchone()
    if row is None:
        raise ToolException(f"error: no order {order_id}")
    return row
