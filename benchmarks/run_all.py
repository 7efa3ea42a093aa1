"""Run every benchmark here and write `RESULTS.md` beside them: one line for each goal, then each one's numbers.

Names as arguments run only those; of the others stays what `RESULTS.md` says. Those in ``BY_NAME`` take minutes each
and are run only so. A benchmark that fails is named at the end, and the others are still written.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

HERE = Path(__file__).parent
BY_NAME = frozenset({"constrained", "gate", "injection", "reward_model", "screening"})
ABOUT = (
    "Written by `make bench`, and by `python benchmarks/run_all.py NAME …`, which keeps the other rows. "
    "Trust the ratios, not the milliseconds."
)
LIBRARIES = ("langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite", "langchain-core", "torch")


def benchmarks() -> list[Path]:
    """The scripts here that print a document; the others are their parts."""
    return [path for path in sorted(HERE.glob("*.py")) if path.stem != "run_all" and "--json" in path.read_text()]


def run(script: Path) -> dict[str, Any]:
    """The document of ``script``, with a sentence about the run.

    Raises:
        CalledProcessError: it failed; its own words were shown.
    """
    print(f"{script.stem} …", file=sys.stderr, flush=True)
    began, before = perf_counter(), os.getloadavg()[0]
    ended = subprocess.run([sys.executable, script, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    load = f"load {before:.1f} when it began, {os.getloadavg()[0]:.1f} when it ended"
    return {**json.loads(ended.stdout), "ran": f"Took {perf_counter() - began:.0f} s on {date.today()}; {load}."}


def as_markdown(documents: Sequence[Mapping[str, Any]], about: Sequence[str], before: str = "") -> str:
    """The whole file; ``before`` is what it was, from which the lines of benchmarks that were not run are taken."""
    names = {script.stem for script in benchmarks()}
    goals, sections = ({name: of[name] for name in of if name in names} for of in written(before))
    for document in documents:
        goals[document["name"]] = [goal_line(document["name"], result) for result in results_of(document)]
        sections[document["name"]] = list(section(document))
    lines = ["# Benchmarks", "", ABOUT, ""]
    lines += [f"- {line}" for line in about]
    lines += ["", "| benchmark | what | ratio | goal | met |", "|---|---|---|---|---|"]
    lines += [row for name in sorted(goals) for row in goals[name]]
    lines += [row for name in sorted(sections) for row in ["", *sections[name]]]
    return "\n".join(lines) + "\n"


def written(text: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The lines of each benchmark's goals and of its section, by name."""
    top, *sections = text.split("\n## ")
    goals: dict[str, list[str]] = {}
    for row in top.splitlines():
        if row.startswith("| ") and not row.startswith("| benchmark "):
            goals.setdefault(row.split(" | ")[0].removeprefix("| "), []).append(row)
    return goals, {one.split("\n", 1)[0]: f"## {one}".rstrip().splitlines() for one in sections}


def goal_line(name: str, result: Mapping[str, Any]) -> str:
    """One line of the table on top."""
    missed = f"no, {result['ratio'] / result['goal']:.2f} times the goal" if result["goal"] else "no"
    goal = f"at {'least' if result.get('better') == 'higher' else 'most'} {result['goal']:.3g}"
    return f"| {name} | {result['what']} | {result['ratio']:.3g} | {goal} | {'yes' if result['met'] else missed} |"


def section(document: Mapping[str, Any]) -> Iterable[str]:
    """A benchmark's numbers, with what each of its tables is called."""
    yield from (f"## {document['name']}", "", document["ran"])
    for name, records in document["detail"].items():
        if name != "results":
            yield from ("", f"{name.replace('_', ' ')}:", "", *table(records))


def results_of(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Each goal of a benchmark: those it lists, or its only one."""
    only = {"what": document.get("ratio_of", document["name"]), **document}
    return document["detail"].get("results", [only])


def table(records: Any) -> Iterable[str]:
    """Records as a table, whatever else as JSON."""
    if not (isinstance(records, list) and records and all(isinstance(record, dict) for record in records)):
        return ["```json", json.dumps(records, indent=2), "```"]
    flat = [dict(cells(record)) for record in records]
    heads = list(dict.fromkeys(head for record in flat for head in record))
    rows = [[str(record.get(head, "")) for head in heads] for record in flat]
    return [line(heads), line(["---"] * len(heads)), *map(line, rows)]


def cells(record: Mapping[str, Any], under: str = "") -> Iterable[tuple[str, Any]]:
    """Names and values; a record in a record gives names of two words."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from cells(value, f"{under}{name} ")
        else:
            yield f"{under}{name}".replace("_", " "), value


def line(values: Sequence[str]) -> str:
    """A table's line; line breaks and strokes in a value would end its cell."""
    told = (" ".join(value.split()).replace("|", "\\|") for value in values)
    return f"| {' | '.join(told)} |"


def machine() -> list[str]:
    """Machine and libraries."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return [
        f"Machine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, {libraries}",
        "When each was run, and how loaded the machine was, stands with its numbers",
    ]


def processor() -> str:
    """Its name, where the system tells."""
    try:
        named = [row for row in Path("/proc/cpuinfo").read_text().splitlines() if row.startswith("model name")]
    except OSError:
        named = []
    return named[0].split(": ", 1)[1] if named else platform.machine()


def main() -> None:
    """Run and write."""
    wanted = sys.argv[1:]
    scripts = [path for path in benchmarks() if (path.stem in wanted if wanted else path.stem not in BY_NAME)]
    documents, failed = [], []
    for script in scripts:
        try:
            documents.append(run(script))
        except (subprocess.CalledProcessError, json.JSONDecodeError) as error:
            failed.append(f"{script.stem}: {error}")
    page = HERE / "RESULTS.md"
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    page.write_text(as_markdown(documents, machine(), before), encoding="utf-8")
    print("\n".join([f"wrote {page}", *failed]), file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
