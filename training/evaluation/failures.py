"""Why episodes fail: a short list of kinds, and what of an episode belongs to each. Pure."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong in an episode."""

    kind: str
    thread: str
    message: str | None
    """Id of the message where it shows; None if no single one does."""
    tool: str | None
    text: str

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)
