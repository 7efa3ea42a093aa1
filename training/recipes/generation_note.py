"""What is noted of a generation: its episodes, how each tier fared, every reward apart, and what was left out. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..rewards.compose import Scored
from ..rewards.finished import Finished

Ended = Sequence[tuple[Finished, Scored | None]]
"""Episodes with what they earned; None for those that were left out before rewards were given."""


def note_of(ended: Ended, counts: Mapping[str, int]) -> dict[str, Any]:
    """The note of the episodes of one process: sums, so that those of several can be added."""
    tiers: dict[str, dict[str, Any]] = {}
    for finished, scored in ended:
        if scored is None:
            continue
        tier = tiers.setdefault(finished.tier, {"episodes": 0, "successes": 0, "reward": 0.0, "components": Counter()})
        tier["episodes"] += 1
        tier["successes"] += int(bool(finished.conditions) and finished.met == finished.conditions)
        tier["reward"] += scored.total
        for name, value in scored.components.items():
            tier["components"][name] += value
    return {
        "episodes": {finished.thread: scored and round(scored.total, 6) for finished, scored in ended},
        "tasks": list(dict.fromkeys(finished.task for finished, _ in ended)),
        "tiers": tiers,
        "statuses": Counter(finished.status for finished, _ in ended),
        "counts": dict(counts),
    }


def joined(notes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The notes of all processes as one; rewards and components are means from here on."""
    whole: dict[str, Any] = {"episodes": {}, "tasks": [], "statuses": Counter(), "counts": Counter()}
    tiers: dict[str, Counter[str]] = {}
    components: dict[str, Counter[str]] = {}
    for note in notes:
        whole["episodes"].update(note["episodes"])
        whole["tasks"] += note["tasks"]
        whole["statuses"].update(note["statuses"])
        whole["counts"].update(note["counts"])
        for tier, sums in note["tiers"].items():
            tiers.setdefault(tier, Counter()).update({name: sums[name] for name in ("episodes", "successes", "reward")})
            components.setdefault(tier, Counter()).update(sums["components"])
    whole["tiers"] = {
        tier: {
            "episodes": sums["episodes"],
            "successes": sums["successes"],
            "reward": round(sums["reward"] / sums["episodes"], 6),
            "components": {name: round(value / sums["episodes"], 6) for name, value in components[tier].items()},
        }
        for tier, sums in tiers.items()
    }
    return {**whole, "statuses": dict(whole["statuses"]), "counts": dict(whole["counts"])}


def component_means(note: Mapping[str, Any]) -> dict[str, float]:
    """Each reward over all episodes of a joined note."""
    total: Counter[str] = Counter()
    for tier in note["tiers"].values():
        total.update({name: value * tier["episodes"] for name, value in tier["components"].items()})
    episodes = sum(tier["episodes"] for tier in note["tiers"].values())
    return {name: value / episodes for name, value in total.items()}
