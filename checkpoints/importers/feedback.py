"""What people and evaluators said of a LangSmith run, as kinds and values of labels."""

from collections.abc import Iterator
from typing import Any

from ..labels import NUMERIC, Kind
from .record import read_number

THUMBS = {"user_score", "user_feedback", "feedback", "thumbs", "thumb", "thumbs_up"}


def labels_in(run: dict[str, Any]) -> Iterator[tuple[Kind, float | str]]:
    """The labels of a run.

    Feedback that is named reward or success is one, thumbs of a user are 1 and 0 or -1, everything else says its name
    in the value.

    >>> list(labels_in({"feedback_stats": {"reward": {"n": 1, "avg": 0.5}, "tone": {"n": 2, "avg": 1.0}}}))
    [('reward', 0.5), ('feedback', 'tone: 1.0')]
    """
    given = run.get("feedback")
    if isinstance(given, list) and given:
        for one in given:
            if isinstance(one, dict) and isinstance(one.get("key"), str):
                told = one.get("score") if one.get("score") is not None else one.get("value")
                yield from _label(one["key"], told, one.get("comment"))
        return
    stats = run.get("feedback_stats")
    for key, told in stats.items() if isinstance(stats, dict) else ():
        if isinstance(told, dict):
            values = told.get("values")
            average = told.get("avg")
            spoken = ", ".join(map(str, values)) if isinstance(values, dict) else None
            yield from _label(str(key), average if average is not None else spoken, None)


def _label(key: str, told: Any, comment: Any) -> Iterator[tuple[Kind, float | str]]:
    if key in NUMERIC and isinstance(told, (int, float)):
        yield ("reward" if key == "reward" else "success"), read_number(told, key)
        return
    if key.lower().replace("-", "_") in THUMBS and isinstance(told, (int, float)) and told in (1, 0, -1):
        yield "feedback", float(told)
        told = None
    said = [str(part) for part in (told, comment) if part not in (None, "")]
    if said:
        yield "feedback", f"{key}: {'; '.join(said)}"
