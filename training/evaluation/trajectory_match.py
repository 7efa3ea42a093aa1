"""Does the path of an episode match the needed calls? Names and arguments, in the four modes of agentevals. Pure.

The modes are those of LangChain's agentevals; the path is what the policy proposed.
"""

from collections import Counter
from collections.abc import Sequence

from ..rewards.finished import Needed
from ..rewards.made import Made
from .calls_measured import call_key


def match_trajectory(calls: Sequence[Made], needed: Needed | None) -> dict[str, float | None]:
    """``match_strict``, ``match_unordered``, ``match_subset`` and ``match_superset``, each 1 or 0; None if not known.

    Strict is the same calls in the same order, the order within one turn included; unordered the same calls as often;
    subset no call beyond the needed ones; superset every needed call.

    >>> look, pay = Made("look", {"order": 7}, "result", 0, "c1"), Made("pay", {"order": 7}, "result", 1, "c2")
    >>> match_trajectory([pay, look], (("look", {"order": 7}), ("pay", {"order": 7})))
    {'match_strict': 0.0, 'match_unordered': 1.0, 'match_subset': 1.0, 'match_superset': 1.0}
    """
    names = ("match_strict", "match_unordered", "match_subset", "match_superset")
    if needed is None:
        return dict.fromkeys(names)
    # what could not be read is a call of its own, equal to none
    made = [call_key(call.name, call.args) if call.became != "invalid" else f"! {call.id}" for call in calls]
    wanted = [call_key(name, args) for name, args in needed]
    beyond, missing = Counter(made) - Counter(wanted), Counter(wanted) - Counter(made)
    found = (made == wanted, not beyond and not missing, not beyond, not missing)
    return {name: float(matches) for name, matches in zip(names, found, strict=True)}
