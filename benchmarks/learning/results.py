"""What a folder of runs amounts to: the JSON document, and the files beside this one."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conditions import CONDITIONS, MEANT
from curves import draw
from place import Sizes
from table import as_markdown, compare_with_goals, rows

HERE = Path(__file__).parent
HELD_AGAINST = {"sft": "sft", "grpo": "sft_star_dpo_grpo"}
"""The conditions of the aims after SFT, and after GRPO."""
CURVES = ("losses", "played")


def read_results(out: Path, seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Seed to condition to result, as far as they are there; the scripted expert is the last condition."""
    results: dict[str, dict[str, Any]] = {}
    for seed in seeds:
        folder = out / f"seed-{seed}"
        files = {name: folder / name / "result.json" for name in CONDITIONS}
        found = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}
        if found:
            expert = json.loads((folder / "expert.json").read_text(encoding="utf-8"))
            results[str(seed)] = {**found, "expert": expert}
    return results


def document(results: Mapping[str, Mapping[str, Any]], sizes: Sizes) -> dict[str, Any]:
    """The document of ``--json``: every aim with what was reached, the tables, and each seed's figures."""
    tables = {how: rows(results, how) for how in ("sampled", "cool", "greedy")}
    aims = [
        {**aim, "what": f"{aim['what']}, {how}"}
        for how in ("sampled", "cool")
        for aim in compare_with_goals(tables[how], HELD_AGAINST)
    ]
    return {
        "name": "learning-helpdesk",
        "ratio": round(sum(aim["met"] for aim in aims) / max(1, len(aims)), 3),
        "ratio_of": "aims that are met, of all aims",
        "better": "higher",
        "goal": 1.0,
        "met": bool(aims) and all(aim["met"] for aim in aims),
        "detail": {
            "results": aims,
            **tables,
            "sizes": asdict(sizes),
            "seeds": {
                seed: {
                    name: {key: value for key, value in result.items() if key not in CURVES}
                    for name, result in of_seed.items()
                }
                for seed, of_seed in results.items()
            },
        },
    }


def publish(found: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``helpdesk.json``, ``RESULTS.md`` and ``helpdesk.png``."""
    (HERE / "helpdesk.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (HERE / "RESULTS.md").write_text("\n".join(_page(found, results)) + "\n", encoding="utf-8")
    draw(HERE / "helpdesk.png", results, found["detail"]["sampled"])


def _page(found: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    detail = found["detail"]
    sizes = detail["sizes"]
    yield from (
        "# The helpdesk learning table",
        "",
        "Written by `python benchmarks/learning/helpdesk.py --out DIR --publish`. What was tried, and what failed, is",
        "in [the log](../../docs/LOG.md).",
        "",
        f"Held-out tasks, {sizes['heldout_per_tier']} a tier, {sizes['evaluation_trials']} trials each, sampled at "
        f"temperature {sizes['temperature']:g}. Mean over the seeds {', '.join(results)} ± half of a 95 % interval "
        "(Student's t over the seeds).",
        "Success in per cent by tier; *gain* is the mean success above that of the seed policy, seed by seed; steps "
        "and calls of an episode; failed, invalid and unneeded calls in per cent of "
        "the calls. *needless failed* leaves out the failed calls that the shortest solution holds as well.",
        "",
        *as_markdown(detail["sampled"]),
        "",
    )
    yield from (f"- `{name}`: {meant}" for name, meant in MEANT.items())
    yield from (
        "- `expert`: the scripted expert on the same tasks. Its failed calls are the floor: some orders must be found",
        "  wrong before the right one can be looked for.",
        "",
        "![curves](helpdesk.png)",
        "",
        "## Aims",
        "",
        "| aim | reached | met |",
        "|---|---|---|",
        *(f"| {aim['what']} | {aim['reached']:.1f} | {_verdict(aim)} |" for aim in detail["results"]),
        "",
        f"## Cooler: temperature {sizes['cool_temperature']:g}",
        "",
        *as_markdown(detail["cool"]),
        "",
        "## Greedy, one trial",
        "",
        *as_markdown(detail["greedy"]),
        "",
        "## Which commit, and how long training took",
        "",
        "| condition | commit | seconds of the last training, by seed |",
        "|---|---|---|",
    )
    for name in CONDITIONS:
        found_in = [of_seed[name] for of_seed in results.values() if name in of_seed]
        if found_in:
            commits = ", ".join(dict.fromkeys(one.get("commit", "") for one in found_in))
            seconds = ", ".join(str(one.get("seconds_trained", one.get("seconds", ""))) for one in found_in)
            yield f"| `{name}` | {commits} | {seconds} |"
    yield from ("", "## Success by kind of task, sampled, mean of the seeds", "")
    yield from _kinds(results)


def _kinds(results: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    names = [name for name in CONDITIONS if any(name in of_seed for of_seed in results.values())]
    by_name = {name: [of[name]["sampled"]["kinds"] for of in results.values() if name in of] for name in names}
    yield f"| kind | {' | '.join(f'`{name}`' for name in names)} |"
    yield "|---|" + "---|" * len(names)
    for kind in by_name[names[0]][0]:
        means = [sum(one[kind] for one in by_name[name]) / len(by_name[name]) for name in names]
        yield f"| {kind} | {' | '.join(f'{mean:.0f}' for mean in means)} |"


def _verdict(aim: Mapping[str, Any]) -> str:
    return "yes" if aim["met"] else f"no, by {aim['missed_by']:.1f}"
