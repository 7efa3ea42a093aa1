"""The steps of an agent: observe, think, act, tool; each made by a factory.

Imported on first use, as in ``threadmill.graphs``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .act import make_act
    from .approval import Approval, Asked, Rule
    from .attachments import attach
    from .budget import Budget
    from .limits import Limits
    from .memory import Memory, make_remember
    from .models.scripted import ScriptedModel
    from .models.slot import Slot
    from .observe import make_observe
    from .progress import report_progress
    from .think import make_think
    from .tool import make_tool
    from .traits import Traits, with_traits

__all__ = [
    "Approval",
    "Asked",
    "Budget",
    "Limits",
    "Memory",
    "Rule",
    "ScriptedModel",
    "Slot",
    "Traits",
    "attach",
    "make_act",
    "make_observe",
    "make_remember",
    "make_think",
    "make_tool",
    "report_progress",
    "with_traits",
]

_MODULE_OF = {
    "Approval": "approval",
    "Asked": "approval",
    "Budget": "budget",
    "Limits": "limits",
    "Memory": "memory",
    "Rule": "approval",
    "ScriptedModel": "models.scripted",
    "Slot": "models.slot",
    "Traits": "traits",
    "attach": "attachments",
    "make_act": "act",
    "make_observe": "observe",
    "make_remember": "memory",
    "make_think": "think",
    "make_tool": "tool",
    "report_progress": "progress",
    "with_traits": "traits",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
