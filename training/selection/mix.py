"""A mix of behaviours: as many rows as can be had with given shares."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor

from ...errors import BadSelection
from .behaviour import BEHAVIOURS
from .entry import Entry, shuffled

EXAMPLE = "success=0.4,recovery=0.3,refusal|clarification=0.3"


def read_mix(text: str) -> dict[str, float]:
    """A mix as people write it.

    >>> read_mix("success=0.4, recovery=0.3, refusal|clarification=0.3")
    {'success': 0.4, 'recovery': 0.3, 'refusal|clarification': 0.3}

    Raises:
        BadSelection: it is not of this form.
    """
    mix: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (word.strip() for word in part.partition("="))
        try:
            value = float(share)
        except ValueError:
            raise BadSelection(f"{part.strip()!r} is no share of a mix; write {EXAMPLE}") from None
        if name in mix:
            raise BadSelection(f"the mix has {name} twice; name it once")
        mix[name] = value
    check_mix(mix)
    return mix


def check_mix(mix: Mapping[str, float]) -> None:
    """Nothing, if every behaviour is known and named once, and the shares sum to 1.

    Raises:
        BadSelection
    """
    named = [name for key in mix for name in key.split("|")]
    if strange := [name for name in named if name not in BEHAVIOURS]:
        raise BadSelection(f"{', '.join(map(repr, strange))} is no behaviour; there are {', '.join(BEHAVIOURS)}")
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise BadSelection(f"the mix has {', '.join(twice)} twice; name it once")
    if small := [key for key, share in mix.items() if not 0 < share <= 1]:
        raise BadSelection(f"the share of {small[0]} is {mix[small[0]]!r}; give a part between 0 and 1")
    if mix and abs(sum(mix.values()) - 1) > 1e-6:
        raise BadSelection(f"the shares of the mix sum to {sum(mix.values()):g}; let them sum to 1, as {EXAMPLE}")


def largest_mix(available: Mapping[str, int], mix: Mapping[str, float]) -> dict[str, int]:
    """How many rows of each class make the largest set in which each has its share, rounded up or down.

    >>> largest_mix({"success": 90, "recovery": 7, "refusal": 30}, {"success": 0.5, "recovery": 0.25, "refusal": 0.25})
    {'success': 16, 'recovery': 7, 'refusal': 8}
    """
    whole = sum(Fraction(str(share)) for share in mix.values())
    shares = {name: Fraction(str(share)) / whole for name, share in mix.items()}
    total = min(floor((available.get(name, 0) + 1) / share) for name, share in shares.items())
    while True:
        low = {name: floor(share * total) for name, share in shares.items()}
        high = {name: min(ceil(share * total), available.get(name, 0)) for name, share in shares.items()}
        if all(low[name] <= high[name] for name in shares) and sum(high.values()) >= total:
            break
        total -= 1
    counts, missing = low, total - sum(low.values())
    for name in sorted(shares, key=lambda name: low[name] - shares[name] * total):  # the largest remainders first
        if missing and counts[name] < high[name]:
            counts[name] += 1
            missing -= 1
    return counts


def beyond_mix(entries: Sequence[Entry], mix: Mapping[str, float], seed: int) -> dict[int, str]:
    """The places to leave out so that the rest is the largest mix; which ones of a class depends on ``seed``.

    Raises:
        BadSelection: there is no row of one class, so that nothing can have its share.
    """
    if not entries:
        return {}
    classes: dict[str, list[Entry]] = {key: [] for key in mix}
    key_of = {name: key for key in mix for name in key.split("|")}
    left_out = {}
    for entry in entries:
        key = key_of.get(entry.behaviour)
        if key is None:
            left_out[entry.place] = "not in the mix"
        else:
            classes[key].append(entry)
    available = {key: len(members) for key, members in classes.items()}
    if not all(available.values()):
        there_is = ", ".join(f"{count} {key}" for key, count in available.items())
        raise BadSelection(f"the mix cannot be had of {there_is}; export more threads or leave out a share")
    for key, count in largest_mix(available, mix).items():
        left_out |= dict.fromkeys((entry.place for entry in shuffled(classes[key], seed)[count:]), "over the mix")
    return left_out
