"""What a version remembers about how it was made."""

from importlib.metadata import version
from typing import Any

from .report import TrainingReport

LIBRARIES = ("torch", "transformers", "trl", "peft")


def lineage_of(*reports: TrainingReport) -> dict[str, Any]:
    """The runs that led to a version, oldest first, with data digests, seeds and library versions."""
    runs = []
    for report in reports:
        config = {key: value for key, value in report.config.items() if key != "out"}
        runs.append({"recipe": report.method, "steps": report.steps, **config})
    return {"runs": runs, "libraries": {name: version(name) for name in LIBRARIES}}
