"""Run every benchmark here and write `RESULTS.md` beside them: one line for each goal, then each one's numbers.

Names as arguments run only those. A benchmark that fails is named at the end, and the others are still written.
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
LIBRARIES = ("langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite", "langchain-core", "torch")


def benchmarks() -> list[Path]:
    """The scripts here that print a document; the others are their parts."""
    return [path for path in sorted(HERE.glob("*.py")) if path.stem != "run_all" and "--json" in path.read_text()]


def run(script: Path) -> dict[str, Any]:
    """The document of ``script``, with the seconds it took.

    Raises:
        CalledProcessError: it failed; its own words were shown.
    """
    print(f"{script.stem} …", file=sys.stderr, flush=True)
    began = perf_counter()
    ended = subprocess.run([sys.executable, script, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    return {**json.loads(ended.stdout), "seconds": round(perf_counter() - began)}


def as_markdown(documents: Sequence[Mapping[str, Any]], about: Sequence[str]) -> str:
    """The whole file."""
    lines = ["# Benchmarks", "", "Written by `make bench`. Trust the ratios, not the milliseconds.", ""]
    lines += [f"- {line}" for line in about]
    lines += ["", "| benchmark | what | ratio | goal | met |", "|---|---|---|---|---|"]
    for document in documents:
        for result in results_of(document):
            met = "yes" if result["met"] else f"no, {result['ratio'] / result['goal']:.2f} times the goal"
            goal = f"at {'least' if result.get('better') == 'higher' else 'most'} {result['goal']:.3g}"
            lines.append(f"| {document['name']} | {result['what']} | {result['ratio']:.3g} | {goal} | {met} |")
    for document in documents:
        lines += ["", f"## {document['name']}", "", f"Took {document['seconds']} s.", ""]
        for name, records in document["detail"].items():
            if name != "results":
                lines += [*table(records), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


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
    """A table's line."""
    return f"| {' | '.join(values)} |"


def machine() -> list[str]:
    """Date, machine and libraries."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    return [
        f"Date: {date.today().isoformat()}",
        f"Machine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}; "
        f"load when they ended: {load}",
        f"Python {platform.python_version()}, {libraries}",
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
    scripts = [path for path in benchmarks() if not wanted or path.stem in wanted]
    documents, failed = [], []
    for script in scripts:
        try:
            documents.append(run(script))
        except (subprocess.CalledProcessError, json.JSONDecodeError) as error:
            failed.append(f"{script.stem}: {error}")
    (HERE / "RESULTS.md").write_text(as_markdown(documents, machine()), encoding="utf-8")
    print("\n".join([f"wrote {HERE / 'RESULTS.md'}", *failed]), file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
