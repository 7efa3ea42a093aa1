"""What people add to rows of chats: which task it was, how often it was tried, and what came of it."""

from typing import Any

from .record import BadRow, read_id, read_number


def outcome_of(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record that ``task_id``, ``trial``, ``reward`` and ``success`` of ``row`` fill; others are left.

    >>> outcome_of({"task_id": 7, "reward": "0.5", "success": True})
    {'task': '7', 'reward': 0.5, 'success': 1.0}

    Raises:
        BadRow: one of them is there and is not what it should be.
    """
    found: dict[str, Any] = {}
    if row.get("task_id") is not None:
        found["task"] = read_id(row["task_id"], "task_id")
    if row.get("trial") is not None:
        trial = read_number(row["trial"], "trial")
        if not trial.is_integer():
            raise BadRow(f"trial is no whole number: {row['trial']!r:.100}")
        found["trial"] = int(trial)
    if row.get("reward") is not None:
        found["reward"] = read_number(row["reward"], "reward")
    if row.get("success") is not None:
        found["success"] = read_number(row["success"], "success")
    return found
