"""The helpdesk learning table: what each method makes of the seed policy, on held-out tasks, over several seeds.

    python benchmarks/learning/helpdesk.py --seeds 0 1 2 --out DIR

Every seed has training tasks, held-out tasks, sampling and shuffling of its own; the seed policy is the same. What is
in DIR already is kept, down to single threads, so a run that was stopped goes on. ``--conditions`` runs only some, and
those that they begin from; two processes may share DIR if they train different ones. ``--publish`` writes what DIR
holds into ``helpdesk.json``, ``RESULTS.md`` and ``helpdesk.png`` beside this file.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from time import strftime
from typing import Any

from conditions import CONDITIONS, MEANT, curves_of
from measure import measure, measure_expert
from place import Place, Sizes, commit_of, kept
from results import document, publish, read_results
from table import TIERS, as_markdown
from threadmill.training.worlds.helpdesk import Task, make_tasks


def run_seed(place: Place, conditions: Sequence[str]) -> None:
    """Train and measure ``conditions``, one after the other; each leaves ``result.json`` in its folder."""
    heldout = make_tasks("heldout", place.sizes.heldout_per_tier, place.seed)
    kept(place.folder / "expert.json", lambda: {"sampled": measure_expert(heldout)})
    for name in conditions:
        found = kept(place.of(name) / "result.json", lambda name=name: run_condition(place, name, heldout))
        reached = ", ".join(f"{tier} {found['sampled'][tier]:.1f}" for tier in TIERS)
        wasted = ", ".join(f"{what} {found['sampled'][what]:.1f}" for what in ("failed", "unneeded"))
        place.say(f"{name}: {reached}; of the calls {wasted} %")


def run_condition(place: Place, name: str, heldout: Sequence[Task]) -> dict[str, Any]:
    """Figures of the policy that condition ``name`` makes: sampled as it is used, and greedy."""
    policy = CONDITIONS[name](place)
    commit = kept(place.of(name) / "commit.json", lambda: {"commit": commit_of()})
    found = {"condition": name, "meant": MEANT[name], **commit, **curves_of(place, name, policy)}
    sizes = place.sizes
    for how, temperature, trials in (
        ("sampled", sizes.temperature, sizes.evaluation_trials),
        ("cool", sizes.cool_temperature, sizes.evaluation_trials),
        ("greedy", 0.0, 1),
    ):
        threads = place.of(name) / f"{how}.db"
        found[how] = measure(threads, policy, heldout, trials=trials, seed=place.seed, temperature=temperature)
    return found


def main() -> None:
    """Run, and print or publish what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True, help="the folder of everything that is trained and played")
    parser.add_argument("--conditions", nargs="*", choices=list(CONDITIONS), default=list(CONDITIONS))
    parser.add_argument("--json", action="store_true", help="print one JSON document in place of the table")
    parser.add_argument("--publish", action="store_true", help="write the results beside this file")
    given = parser.parse_args()
    for seed in given.seeds:

        def say(text: str, seed: int = seed) -> None:
            print(f"{strftime('%H:%M:%S')} seed {seed}: {text}", file=sys.stderr, flush=True)

        run_seed(Place(given.out / f"seed-{seed}", seed, Sizes(), say), given.conditions)
    results = read_results(given.out, given.seeds)
    found = document(results, Sizes())
    if given.publish:
        publish(found, results)
    print(json.dumps(found) if given.json else "\n".join(as_markdown(found["detail"]["sampled"])))


if __name__ == "__main__":
    main()
