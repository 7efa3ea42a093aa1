"""The helpdesk: a shop's customers, orders and policy notes, tools to work on them, and tasks in four tiers."""

from .tasks import TIERS, Task, make_tasks

__all__ = ["TIERS", "Task", "make_tasks"]
