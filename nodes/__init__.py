"""The steps of an agent: observe, think, act, tool; each made by a factory.

Imported on first use, as in ``threadmill.graphs``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .act import Asked, make_act
    from .models.scripted import ScriptedModel
    from .models.slot import Slot
    from .observe import make_observe
    from .think import make_think
    from .tool import make_tool

__all__ = ["Asked", "ScriptedModel", "Slot", "make_act", "make_observe", "make_think", "make_tool"]

_MODULE_OF = {
    "Asked": "act",
    "ScriptedModel": "models.scripted",
    "Slot": "models.slot",
    "make_act": "act",
    "make_observe": "observe",
    "make_think": "think",
    "make_tool": "tool",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
