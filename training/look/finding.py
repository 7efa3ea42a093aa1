"""What a check finds: how bad it is, where, why, and what to do about it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Severity = Literal["error", "warning"]
EXAMPLES = 5
"""How many findings of one kind are kept; all are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    code: str
    """Its kind in a few words, such as ``loss-on-tool``."""
    severity: Severity
    explanation: str
    fix: str
    excerpt: str = ""
    """Lines of equal columns: the text, what is trained of it, a sign below the place."""
    split: str = ""
    row: int | None = None
    """From 1; None if it is about the whole data set."""


@dataclass
class Findings:
    """All that was found: each kind counted, its first examples kept."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    severities: dict[str, Severity] = field(default_factory=dict)

    def add(self, found: Iterable[Finding], split: str = "", row: int | None = None) -> None:
        """Take up what was found, at this row if there is one."""
        for finding in found:
            self.counts[finding.code] += 1
            self.severities[finding.code] = finding.severity
            if self.counts[finding.code] <= EXAMPLES:
                self.kept.append(replace(finding, split=finding.split or split, row=finding.row or row))

    def number(self, severity: Severity) -> int:
        """How many there are of this severity."""
        return sum(count for code, count in self.counts.items() if self.severities[code] == severity)

    def records(self) -> list[dict[str, Any]]:
        """The kept findings, JSON-safe, errors first; each with the ``count`` of its kind."""
        ordered = sorted(
            self.kept, key=lambda finding: (finding.severity, finding.code, finding.split, finding.row or 0)
        )
        return [{**asdict(finding), "count": self.counts[finding.code]} for finding in ordered]
