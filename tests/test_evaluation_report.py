"""Reports of evaluations: figures, tools, kinds of failure, JSON, tables, JUnit XML and a picture."""

import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console
from threadmill.cli.main import app
from threadmill.errors import UnknownSlot
from threadmill.training.episode import Episode
from threadmill.training.evaluation.breakdown import ToolCounts
from threadmill.training.evaluation.failures import Failure
from threadmill.training.evaluation.junit import write_junit
from threadmill.training.evaluation.measured import Measured
from threadmill.training.evaluation.models import read_models
from threadmill.training.evaluation.picture import draw_success
from threadmill.training.evaluation.report import Report, as_json, report_on
from threadmill.training.evaluation.run import Evaluation
from threadmill.training.evaluation.summary import summarise
from threadmill.training.evaluation.tables import print_reports
from typer.testing import CliRunner

TASKS = ("e1", "easy"), ("e2", "easy"), ("h1", "hard"), ("h2", "hard")
CRASH = "OSError: \x00 no disk"


def evaluation(version: str, *successes: int, crashed: int | None = None) -> Evaluation:
    """Two trials of each task; ``successes`` are 0 or 1, by task, then trial."""
    episodes, measured = [], []
    for number, success in enumerate(successes):
        task, tier = TASKS[number // 2]
        thread = f"{version}-{task}-t{number % 2}"
        episodes.append(
            Episode(
                thread=thread,
                task=task,
                tier=tier,
                trial=number % 2,
                version=version,
                reward=float(success),
                success=bool(success),
                steps=2,
                calls=1,
                failed_calls=1,
                invalid_calls=0,
                unneeded_calls=0,
                sampled_tokens=1,
                edited=False,
            )
        )
        kind = "crashed" if number == crashed else "wrong_tool"
        failure = Failure(kind, thread, "m1", "look", CRASH if number == crashed else "called look")
        measured.append(
            Measured(
                values={"success": float(success), "reward": float(success), "steps": 2.0, "episode_seconds": 0.5},
                tools={"look": {"calls": 2, "failed": 1, "timed": 2, "seconds": 0.5}},
                failures=() if success else (failure,),
            )
        )
    errors = [CRASH if number == crashed else None for number in range(len(successes))]
    summary = summarise(episodes, k=2)
    settings = {"seed": 0}
    return Evaluation(
        f"id of {version}", "desk", {"desk.think": version}, 2, settings, episodes, measured, errors, summary
    )


def three() -> list[Report]:
    return report_on(
        [
            evaluation("v1", 1, 1, 1, 0, 0, 0, 1, 0, crashed=4),
            evaluation("v2", 1, 1, 1, 1, 1, 0, 1, 0),
            evaluation("v3", 1, 1, 1, 1, 1, 1, 1, 1),
        ],
        seed=0,
    )


def test_every_model_but_the_first_is_compared_with_the_first() -> None:
    first, second, third = three()
    assert (first.difference, first.paired) == (None, None)
    assert second.difference is not None
    assert second.difference.mean == 0.25
    assert second.difference.by_tier == {"easy": 0.25, "hard": 0.25}
    assert third.difference is not None
    assert third.paired is not None
    assert third.difference.mean == 0.5 == third.paired["success"].difference
    assert third.figures["success"].mean == 1.0
    assert third.by_tier["hard"]["success"].mean == 1.0


def test_tools_are_summed_and_failures_counted_with_threads() -> None:
    report = three()[0]
    assert report.tools == {"look": ToolCounts(calls=16, failed=8, invalid=0, repeated=0, mean_ms=250.0)}
    assert [*report.failures] == ["wrong_tool", "crashed"]
    assert report.failures["wrong_tool"].episodes == 3
    examples = report.failures["wrong_tool"].examples
    assert [example.thread for example in examples] == ["v1-e2-t1", "v1-h1-t1", "v1-h2-t1"]
    assert report.failures["crashed"].examples[0].text == CRASH


def test_the_json_document_holds_the_last_model_at_the_top() -> None:
    document = json.loads(json.dumps(as_json(three())))
    assert (document["suite"], document["version"], document["evaluation"]) == ("desk", "v3", "id of v3")
    assert document["evaluations"] == ["id of v1", "id of v2", "id of v3"]
    assert (document["k"], document["pass_at_1"], document["pass_at_k"], document["pass_hat_k"]) == (2, 1.0, 1.0, 1.0)
    assert document["difference"]["mean"] == 0.5
    assert document["paired"]["success"].keys() >= {"difference", "low", "high", "p"}
    first = document["models"][0]
    assert first["by_tier"]["easy"].keys() >= {
        "tasks",
        "success",
        "reward",
        "pass_hat_k",
        "success_low",
        "success_high",
    }
    assert (first["metrics"]["success"], first["metrics"]["sampled_tokens"], first["metrics"]["steps"]) == (0.5, 1, 2)
    assert first["intervals"]["success"].keys() >= {"mean", "low", "high", "n"}
    assert (first["difference"], first["crashed"]) == (None, 1)
    assert (first["failures"][0]["kind"], first["failures"][0]["count"]) == ("wrong_tool", 3)
    assert first["failures"][0]["examples"][0].items() >= {"thread": "v1-e2-t1", "message": "m1"}.items()
    assert first["tools"]["look"]["calls"] == 16


def test_one_task_in_a_tier_gives_figures_without_a_difference_of_success() -> None:
    one, two = (evaluation(name, 1, 1, 1, 1, 1, 0) for name in ("v1", "v2"))
    assert report_on([one, two], seed=0)[1].difference is None


def test_the_tables_show_what_a_person_needs() -> None:
    console = Console(width=100, record=True, file=StringIO())
    print_reports(three(), console)
    lines = [" ".join(line.replace("│", " ").split()) for line in console.export_text().splitlines()]
    assert lines[:3] == ["A v1", "B v2", "C v3"]
    assert "easy success 75.0% 100.0% +25.0% 100.0% +25.0%" in lines
    assert any(line.startswith("mean success 50.0% 75.0% +25.0% (") for line in lines)
    assert "A v1: evaluation id of v1" in lines
    assert "1 of 8 episodes crashed" in lines
    assert "wrong tool 3 v1-e2-t1" in lines
    assert "look 16 8 0 0 250.0" in lines


def test_models_without_a_price_are_named() -> None:
    done = evaluation("v1", 1, 0)
    done = replace(done, measured=[replace(one, unpriced=("desk.think@0001",)) for one in done.measured])
    reports = report_on([done], seed=0)
    assert as_json(reports)["unpriced"] == ["desk.think@0001"]
    console = Console(width=100, record=True, file=StringIO())
    print_reports(reports, console)
    assert "no price for desk.think@0001; name it in the price table" in console.export_text()


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    done = evaluation("[/m]", 1, 0, 0, 0)
    episodes = [replace(episode, tier="[/t]", thread="[/n]") for episode in done.episodes]
    measured = [
        replace(
            one, tools={"[/tool] :smile:": one.tools["look"]}, failures=(Failure("wrong_tool", "[/n]", "m", "", ""),)
        )
        for one in done.measured
    ]
    done = replace(done, episodes=episodes, measured=measured, summary=summarise(episodes, k=2))
    console = Console(width=100, record=True, file=StringIO())
    print_reports(report_on([done], seed=0), console)
    text = console.export_text()
    assert all(name in text for name in ("[/m]: evaluation", "[/t] success", "[/tool] :smile:", " [/n] "))


def test_one_model_is_shown_with_its_intervals() -> None:
    console = Console(width=100, record=True, file=StringIO())
    print_reports(report_on([evaluation("v1", 1, 1, 1, 0, 0, 0, 1, 0)], seed=0), console)
    lines = [" ".join(line.replace("│", " ").split()) for line in console.export_text().splitlines()]
    assert any(line.startswith("easy success 75.0% (") for line in lines)
    assert any(line.startswith("pass^2 25.0% (") for line in lines)


def test_junit_has_a_suite_for_each_model_and_tier_and_a_case_for_each_task(tmp_path: Path) -> None:
    file = tmp_path / "new" / "junit.xml"
    write_junit(file, three()[:2])
    root = ElementTree.parse(file).getroot()
    assert root.tag == "testsuites"
    assert counts(root) == {"tests": "8", "failures": "4", "errors": "1", "skipped": "0", "time": "8.000"}
    assert [(suite.get("name"), counts(suite)["failures"], counts(suite)["errors"]) for suite in root] == [
        ("desk.easy v1", "1", "0"),
        ("desk.hard v1", "1", "1"),
        ("desk.easy v2", "0", "0"),
        ("desk.hard v2", "2", "0"),
    ]
    for suite in root:
        assert [child.tag for child in suite] == ["properties", "testcase", "testcase"]
        assert all(set(case.keys()) == {"name", "classname", "time"} for case in suite.iter("testcase"))
    assert {(one.get("name"), one.get("value")) for one in root.iter("property")} >= {("evaluation", "id of v1")}
    easy = root.findall("./testsuite[@name='desk.easy v1']/testcase")
    assert list(easy[0]) == []
    (failure,) = easy[1]
    assert (failure.tag, failure.get("message"), failure.get("type")) == (
        "failure",
        "1 of 2 trials succeeded",
        "wrong_tool",
    )
    assert failure.text == "threadmill threads show v1-e2-t1\n  wrong_tool: called look"
    error = root.find("./testsuite[@name='desk.hard v1']/testcase/error")
    assert error is not None
    assert "crashed: OSError: � no disk" in str(error.text)


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    draw_success(tmp_path / "new" / "eval.png", three())
    assert (tmp_path / "new" / "eval.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_dollars_in_a_name_are_no_formula(tmp_path: Path) -> None:
    done = evaluation("m", 1, 0)
    episodes = [replace(episode, tier=r"$5 \off $9") for episode in done.episodes]
    done = replace(done, episodes=episodes, summary=summarise(episodes, k=2))
    draw_success(tmp_path / "eval.png", report_on([done], seed=0))
    assert (tmp_path / "eval.png").exists()


def test_a_model_is_read_for_the_slots_of_the_agent(tmp_path: Path) -> None:
    slots = ("desk.plan", "desk.think")
    assert read_models("desk.plan@live", slots) == {"desk.plan": "desk.plan@live"}
    assert read_models("desk.plan=seed,desk.think=desk.think@0002", slots) == {
        "desk.plan": "seed",
        "desk.think": "desk.think@0002",
    }
    assert read_models("shop.think@0002", slots) == dict.fromkeys(slots, "shop.think@0002")
    odd = tmp_path / "lr=3.e-4"
    odd.mkdir()
    assert read_models(str(odd), slots) == dict.fromkeys(slots, str(odd))
    with pytest.raises(UnknownSlot, match=r"no slot 'desk\.thnk'; it has desk\.plan"):
        read_models("desk.plan=seed,desk.thnk=seed", slots)


def test_the_command_evaluates_folders_of_a_suite_of_ones_own(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_folder, "weak")
    Path("weak", "generation_config.json").write_text("{}")  # other content, or it would be the same model
    suite = f"{Path(__file__).with_name('evaluation_suite.py')}:make_suite"
    options = ["--tasks", "2", "-k", "1", "--workers", "1", "--json", "--junit", "j.xml", "--picture", "p.png"]
    result = CliRunner().invoke(app, ["eval", suite, "--model", "weak", "--model", str(tiny_folder), *options])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [model["version"] for model in document["models"]] == ["weak", str(tiny_folder)]
    assert document["suite"] == suite
    assert {tier: values["success"] for tier, values in document["by_tier"].items()} == {"easy": 1.0, "hard": 1.0}
    assert document["difference"]["by_tier"] == {"easy": 0.0, "hard": 1.0}
    assert "evaluate weak 4/4" in result.stderr
    assert ElementTree.parse("j.xml").getroot().get("failures") == "2"
    assert Path("p.png").exists()


def counts(element: ElementTree.Element) -> dict[str, str | None]:
    return {name: element.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
