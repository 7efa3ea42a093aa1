"""Episodes become numbers, a table, a picture and one JSON document."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.console import Console
from threadmill.cli.evaluate import evaluate_command
from threadmill.errors import BadEvaluation, UnknownSuite
from threadmill.training.evaluation.summary import compare, summarise
from threadmill.training.evaluation.tables import comparison_table
from threadmill.training.picture import draw_result
from typer.testing import CliRunner


@dataclass(frozen=True)
class Try:
    """One trial, as an evaluation sees it."""

    task: str
    tier: str
    reward: float
    steps: int = 2
    calls: int = 1
    failed_calls: int = 0
    invalid_calls: int = 0
    unneeded_calls: int = 0
    sampled_tokens: int = 10

    @property
    def success(self) -> bool:
        return self.reward == 1.0


BEFORE = [
    Try("s1", "simple", 1.0), Try("s1", "simple", 1.0),
    Try("s2", "simple", 1.0), Try("s2", "simple", 0.0),
    Try("c1", "complex", 0.5), Try("c1", "complex", 0.0, steps=6, calls=5, failed_calls=2),
    Try("c2", "complex", 0.5),
    Try("c2", "complex", 1.0, invalid_calls=1, unneeded_calls=3, sampled_tokens=26),
]  # fmt: skip
AFTER = [Try(attempt.task, attempt.tier, 1.0, steps=3) for attempt in BEFORE]


def test_summary_counts_tier_by_tier():
    summary = summarise(BEFORE)
    assert summary.k == 2
    assert summary.by_tier == {
        "simple": {"tasks": 2, "success": 0.75, "reward": 0.75, "pass_at_k": 1.0, "pass_hat_k": 0.5},
        "complex": {"tasks": 2, "success": 0.25, "reward": 0.5, "pass_at_k": 0.5, "pass_hat_k": 0.0},
    }
    assert (summary.pass_at_1, summary.pass_at_k, summary.pass_hat_k) == (0.5, 0.75, 0.25)


def test_metrics_are_means_over_the_episodes():
    assert summarise(BEFORE).metrics == {
        "steps": 2.5,  # 7 × 2 + 6 = 20 of 8
        "calls": 1.5,
        "failed_calls": 0.25,
        "invalid_calls": 0.125,
        "unneeded_calls": 0.375,
        "sampled_tokens": 12.0,
    }


def test_tiers_weigh_the_same_whatever_their_size():
    attempts = [Try("s1", "simple", 1.0), *(Try(f"c{n}", "complex", 0.0) for n in range(3))]
    assert summarise(attempts).pass_at_1 == 0.5


def test_without_k_the_task_with_fewest_trials_decides():
    assert summarise([*BEFORE, Try("s3", "simple", 1.0)]).k == 1


def test_more_trials_asked_than_run_are_refused():
    with pytest.raises(BadEvaluation, match="2 successes in 2 trials say nothing about k = 3"):
        summarise(BEFORE, k=3)


def test_no_episodes_are_refused():
    with pytest.raises(BadEvaluation, match="run at least one task"):
        summarise([])


def test_comparison_is_after_less_before():
    comparison = compare(BEFORE, AFTER, k=2, seed=0)
    assert comparison.difference.mean == 0.5 == comparison.after.pass_at_1 - comparison.before.pass_at_1
    assert comparison.difference.by_tier == {"simple": 0.25, "complex": 0.75}
    assert 0.25 <= comparison.difference.low < 0.5 < comparison.difference.high <= 0.75


def test_comparison_table_shows_every_number_a_person_needs():
    comparison = compare(BEFORE, AFTER, k=2, seed=0)
    console = Console(width=120, record=True, file=StringIO())
    console.print(comparison_table(comparison))
    lines = [" ".join(line.replace("│", " ").split()) for line in console.export_text().splitlines()]
    assert "simple success 75.0% 100.0% +25.0%" in lines
    assert "complex success 25.0% 100.0% +75.0%" in lines
    assert any(line.startswith("mean success 50.0% 100.0% +50.0% (") for line in lines)
    assert "pass^2 25.0% 100.0% +75.0%" in lines
    assert "steps per task 2.50 3.00 +0.50" in lines


def test_the_picture_is_a_png_with_the_given_curves(tmp_path: Path):
    comparison = compare(BEFORE, AFTER, k=2, seed=0)
    losses = {"SFT": [(1, 0.5), (2, 0.25)], "DPO": [(1, 0.69), (2, 0.4)]}
    path = tmp_path / "new" / "result.png"
    draw_result(path, comparison.before, comparison.after, comparison.difference, losses)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_picture_needs_no_curves(tmp_path: Path):
    comparison = compare(BEFORE, AFTER, k=2, seed=0)
    draw_result(tmp_path / "result.png", comparison.before, comparison.after, comparison.difference, {})
    assert (tmp_path / "result.png").stat().st_size > 10_000


def test_an_unknown_suite_is_named_with_those_that_exist():
    result = CliRunner().invoke(command(), ["shop", "--model", "seed"])
    assert isinstance(result.exception, UnknownSuite)
    assert str(result.exception).startswith("no suite 'shop'; built in: helpdesk, injection, reasoning")


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(evaluate_command)
    return app
