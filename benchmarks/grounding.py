"""How good is the check of claims of `rag` without a judge? Measured on claims that were labelled by hand.

The rules were written against the first two sets. The first held-out set was measured once before and once after; the
second once, when the rules were finished. What it showed then was mended (it is no longer held out), and the third,
written after that, was measured once. Figures of each time: docs/agents.md.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from time import process_time
from typing import Any

import grounding_claims as first
import grounding_development as development
import grounding_held_out as held_out
import grounding_held_out_2 as held_out_2
import grounding_held_out_3 as held_out_3
from rich.console import Console
from rich.table import Table
from threadmill.graphs.grounding import Passage, check_answer

SETS = {
    "first": first,
    "development": development,
    "held out": held_out,
    "held out, second": held_out_2,
    "held out, third": held_out_3,
}
GOAL = 0.8


def measure_claims(
    name: str, texts: Mapping[str, str], claims: Sequence[tuple[str, bool, str]]
) -> tuple[dict[str, Any], dict[str, str], list[dict[str, str]]]:
    """Precision and recall of "ungrounded"; by kind how many were judged as a person did; and what was not."""
    passages = [Passage(id=one, text=text) for one, text in texts.items()]
    hits: Counter[tuple[bool, bool]] = Counter()
    kinds: dict[str, list[bool]] = {}
    misses: list[dict[str, str]] = []
    began = process_time()
    for kind, grounded, text in claims:
        why = next((one["why"] for one in check_answer(text, passages) if one["verdict"] == "ungrounded"), "")
        hits[not grounded, bool(why)] += 1
        kinds.setdefault(kind, []).append(bool(why) != grounded)
        if bool(why) == grounded:
            misses.append({"set": name, "kind": kind, "claim": text, "flagged because it": why})
    milliseconds = (process_time() - began) / len(claims) * 1e3
    precision = hits[True, True] / (hits[True, True] + hits[False, True])
    recall = hits[True, True] / (hits[True, True] + hits[True, False])
    share = {"precision": round(precision, 3), "recall": round(recall, 3), "ms_a_claim": round(milliseconds, 2)}
    whole = {"set": name, "claims": len(claims), "ungrounded": hits[True, True] + hits[True, False], **share}
    return whole, {kind: f"{sum(right)}/{len(right)}" for kind, right in kinds.items()}, misses


def main() -> None:
    """Measure, and print tables or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--set", choices=SETS, action="append", help="only this one; may be said again")
    given = parser.parse_args()
    figures: list[dict[str, Any]] = []
    by_kind: dict[str, dict[str, str]] = {}
    missed: list[dict[str, str]] = []
    for name in given.set or SETS:
        whole, kinds, misses = measure_claims(name, SETS[name].PASSAGES, SETS[name].CLAIMS)
        figures.append(whole)
        missed += misses
        for kind, right in kinds.items():
            row = by_kind.setdefault(kind, {"kind": kind, **dict.fromkeys(given.set or SETS, "")})
            row[name] = right
    if given.json:
        held = [min(one["precision"], one["recall"]) for one in figures if "held" in one["set"]]
        worst = min(held, default=0.0)
        detail = {"figures": figures, "kinds": [*by_kind.values()], "misses": missed}
        document = {"name": "grounding", "ratio": worst, "ratio_of": "lowest precision or recall, held-out sets",
                    "goal": GOAL, "better": "higher", "met": worst >= GOAL, "detail": detail}  # fmt: skip
        print(json.dumps(document))
        return
    for title, rows in {"claims": figures, "judged right": [*by_kind.values()], "misses": missed}.items():
        table = Table(*(rows[0] if rows else ()), title=title)
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console(markup=False).print(table)


if __name__ == "__main__":
    main()
