"""The page that benchmarks write: one line for each goal, then each one's numbers; what was not run stays."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def run_all(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("run_all")


def test_the_results_say_which_way_is_better(run_all: ModuleType) -> None:
    results = [
        {"what": "speed", "ratio": 2.8, "goal": 3.5, "better": "higher", "met": False},
        {"what": "bytes", "ratio": 0.01, "goal": 0.02, "met": True},
        {"what": "attacks", "ratio": 0.5, "goal": 0.0, "met": False},
    ]
    text = run_all.as_markdown([{"name": "b", "ran": "Once.", "detail": {"results": results}}], ["Machine: a machine"])
    assert text.splitlines()[6:11] == [
        "| benchmark | what | ratio | goal | met |",
        "|---|---|---|---|---|",
        "| b | speed | 2.8 | at least 3.5 | no, 0.80 times the goal |",
        "| b | bytes | 0.01 | at most 0.02 | yes |",
        "| b | attacks | 0.5 | at most 0 | no |",
    ]
    assert [path.stem for path in run_all.benchmarks() if "decod" in path.stem] == ["decoding"]


def test_what_was_not_run_keeps_its_lines(run_all: ModuleType) -> None:
    def document(name: str, ratio: float) -> dict[str, object]:
        detail = {"some_rows": [{"kind": "a", "share": {"of": ratio}}]}
        return {"name": name, "ratio": ratio, "goal": 1, "met": True, "ran": f"Took {ratio} s.", "detail": detail}

    first = run_all.as_markdown([document("swap", 0.2), document("agents", 0.3), document("gone", 0.1)], ["one"])
    second = run_all.as_markdown([document("swap", 0.4)], ["two"], before=first)
    assert second.splitlines() == [
        *["# Benchmarks", "", run_all.ABOUT, "", "- two", ""],
        "| benchmark | what | ratio | goal | met |",
        "|---|---|---|---|---|",
        "| agents | agents | 0.3 | at most 1 | yes |",
        "| swap | swap | 0.4 | at most 1 | yes |",
        *["", "## agents", "", "Took 0.3 s.", "", "some rows:", ""],
        *["| kind | share of |", "| --- | --- |", "| a | 0.3 |"],
        *["", "## swap", "", "Took 0.4 s.", "", "some rows:", ""],
        *["| kind | share of |", "| --- | --- |", "| a | 0.4 |"],
    ]


def test_a_cell_of_a_table_is_one_line(run_all: ModuleType) -> None:
    assert [*run_all.table([{"claim": "- one\n- two | three"}])][2:] == ["| - one - two \\| three |"]
