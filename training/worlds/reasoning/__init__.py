"""A world that others wrote: the verifiable tasks of reasoning-gym, played by an agent with a calculator."""

from .tasks import TIERS, Task, make_tasks

__all__ = ["TIERS", "Task", "make_tasks"]
