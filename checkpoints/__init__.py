"""Where threads, labels and versions are kept, and how to look at them.

Imported on first use, so that `threadmill --help` loads neither LangGraph nor SQLAlchemy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .labels import Label, add_label, labels_of
    from .reading import read_messages, read_questions
    from .store import Store, open_store
    from .threads import list_threads

__all__ = [
    "Label",
    "Store",
    "add_label",
    "labels_of",
    "list_threads",
    "open_store",
    "read_messages",
    "read_questions",
]

_MODULE_OF = (
    dict.fromkeys(("Label", "add_label", "labels_of"), "labels")
    | dict.fromkeys(("Store", "open_store"), "store")
    | dict.fromkeys(("read_messages", "read_questions"), "reading")
    | {"list_threads": "threads"}
)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
