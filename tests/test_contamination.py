"""Tasks of evaluation suites are kept out of what is trained."""

import json
from pathlib import Path

import pytest
from selection_rows import PLAIN, decide, decisions, row
from threadmill.errors import BadDataset, UnknownSuite
from threadmill.training.selection.contamination import Match, build_suite, open_suite
from threadmill.training.selection.select import Selection, select
from threadmill.training.worlds.helpdesk import make_tasks

THIRTEEN = "one two three four five six seven eight nine ten eleven twelve thirteen"


def suite_file(folder: Path, *rows: object) -> str:
    file = folder / "exam.jsonl"
    file.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_a_held_out_task_of_the_helpdesk_by_its_id(tmp_path: Path):
    rows = [
        row(0, task="heldout-0-simple-0003"),
        row(1, task="heldout-77-complex-4000"),  # of whatever seed and number
        row(2, task="train-0-simple-0003"),
        row(3),
    ]
    selected = decide(rows, suites=("helpdesk",))
    assert selected.places("train") == [2, 3]
    assert selected.left_out == {"decontaminated: helpdesk": 2}
    assert selected.to_dict()["contaminated"] == [
        {"suite": "helpdesk", "task": "heldout-0-simple-0003", "by": "task", "rows": 1},
        {"suite": "helpdesk", "task": "heldout-77-complex-4000", "by": "task", "rows": 1},
    ]


def test_a_held_out_task_of_the_helpdesk_by_its_words():
    (task, *_) = make_tasks("heldout", 1)
    asked = task.text.upper().replace(" ", "  ")
    rows = [row(0, opening=asked), row(1, opening=asked, task="my-task"), row(2, opening=f"{asked} Please.")]
    assert decisions(rows, suites=("helpdesk",)) == ["left out: decontaminated: helpdesk"] * 2 + ["train"]
    assert decide(rows, suites=("helpdesk",)).contaminated[0] == Match("helpdesk", task.id, "text")
    # a training task may ask the same in another world
    assert decisions([row(0, opening=asked, task="train-0-simple-0001")], suites=("helpdesk",)) == ["train"]


def test_no_training_task_of_the_helpdesk_is_lost_and_no_held_out_one_kept():
    rows = [
        row(place, task=task.id, opening=task.text)
        for place, task in enumerate([*make_tasks("train", 20), *make_tasks("heldout", 20, 3)])
    ]
    assert decide(rows, suites=("helpdesk",)).places("train") == [*range(80)]


def test_a_suite_from_a_file(tmp_path: Path):
    exam = suite_file(
        tmp_path,
        {"id": "exam-1", "instruction": "Who wrote it?"},
        {"task_id": 2, "question": f"Count: {THIRTEEN}."},
        "\n",
        {"text": "Where does it end?"},
    )
    rows = [
        row(0, task="exam-1"),
        row(1, task="2"),
        row(2, opening="who wrote IT"),
        row(3, opening="Who wrote it, and when?"),
        row(4, opening=f"Please go on: {THIRTEEN.title()}, fourteen"),
        row(5, opening=THIRTEEN.removeprefix("one ")),
        row(6, opening="Where does it end?"),
    ]
    rows.append(row(7, opening="Hello!", later=["Where does it end?"]))
    selected = decide(rows, suites=(exam,))
    assert selected.places("train") == [3, 5]
    assert selected.left_out == {"decontaminated: exam": 6}
    assert selected.contaminated == {
        0: Match("exam", "exam-1", "task"),
        1: Match("exam", "2", "task"),
        2: Match("exam", "exam-1", "text"),
        4: Match("exam", "2", "13 words"),
        6: Match("exam", f"{exam}:4", "text"),
        7: Match("exam", f"{exam}:4", "text"),
    }


def test_a_suite_of_conversations(tmp_path: Path):
    turns = [[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Book a flight."}], "And a hotel."]
    exam = suite_file(tmp_path, {"id": "multi-0", "question": turns, "text": "unused"})
    rows = [row(0, opening="Book a flight!"), row(1, opening="and a hotel"), row(2, opening="Be kind.")]
    assert decide(rows, suites=(exam,)).contaminated == {
        0: Match("exam", "multi-0", "text"),
        1: Match("exam", "multi-0", "text"),
    }


def test_words_that_many_tasks_share_are_a_phrase():
    phrase = build_suite("exam", [(f"q{number}", f"{THIRTEEN} question {number}") for number in range(11)])
    few = build_suite("exam", [(f"q{number}", f"{THIRTEEN} question {number}") for number in range(10)])
    opening = f"{THIRTEEN} and so on"
    rows = [row(0, opening=opening), row(1, opening=f"{THIRTEEN} question 7")]
    assert select(lambda: iter(rows), Selection(), suites=[phrase]).places("train") == [0]
    assert select(lambda: iter(rows), Selection(), suites=[few]).places("train") == []


def test_the_first_suite_that_matches_is_named(tmp_path: Path):
    exam = suite_file(tmp_path, {"id": "heldout-0-simple-0003"})
    rows = [row(0, task="heldout-0-simple-0003"), row(1, task="heldout-0-simple-0003", success=False)]
    selected = decide(rows, suites=(exam, "helpdesk"), success_only=True)
    assert selected.left_out == {"no outcome": 1, "failure": 1}
    assert decide(rows, suites=(exam, "helpdesk")).left_out == {"decontaminated: exam": 2}


def test_suites_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(
        UnknownSuite, match=r"no suite 'helpdisk': No such file .*; built in is helpdesk, or name a JSONL"
    ):
        open_suite("helpdisk")
    with pytest.raises(BadDataset, match=r"exam\.jsonl:2: not JSON"):
        open_suite(suite_file(tmp_path, {"id": "a"}, "{\n"))
    with pytest.raises(BadDataset, match=r"exam\.jsonl:1: \['a'\] is no object"):
        open_suite(suite_file(tmp_path, ["a"]))
    with pytest.raises(BadDataset, match=r"exam\.jsonl:1: neither an id nor a text; name them id and text"):
        open_suite(suite_file(tmp_path, {"name": "a"}))
    with pytest.raises(BadDataset, match=r"exam\.jsonl holds no task"):
        open_suite(suite_file(tmp_path))


def test_a_task_without_an_id_and_threads_without_an_opening():
    suite = build_suite("exam", [("a", ""), ("b", "...")])
    assert suite.match(PLAIN) is None
