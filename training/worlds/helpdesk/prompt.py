"""The helpdesk agent's system prompt and its rule about when a human is asked."""

from typing import Any

AGENT = "helpdesk"
SLOT = "helpdesk.think"
SYSTEM = "You are the help desk of a shop. Refund within 30 days."
REFUND_LIMIT = 100
"""Refunds above this amount pause the thread until a human answers."""


def ask_above_limit(tool: str, args: dict[str, Any]) -> str | None:
    """Why a human must be asked about this call, or None."""
    if tool == "refund" and args["amount"] > REFUND_LIMIT:
        return f"refund above {REFUND_LIMIT}"
    return None
