"""What the documents and docstrings show is true: examples run, links lead somewhere."""

import doctest
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("nodes", "graphs", "checkpoints", "training", "cli")
    for path in (ROOT / folder).rglob("*.py")
    if "\n    >>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_run(module: str) -> None:
    outcome = doctest.testmod(import_module(f"threadmill.{module}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_the_readmes_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert "Outcome(thread='thread-1', status='done'" in capsys.readouterr().out


def test_the_python_about_models_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/models.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile("\n".join(blocks), "models.md", "exec"), {})
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("shop.think@0001 ")
    assert told[1] == "shop.think@0002 ('shop.think@0002', 'shop.think@0001') shop.think@0001"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("act", ["treasurer a lot of money {'order': 'A1', 'amount': 250}"]),
        ("tools-files-sql-fetch", ["notes/today.txt:2: buy ink", "id", "2", "[1 row]"]),
    ],
)
def test_the_python_of_a_page_prints_what_it_says(
    page: str, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / f"docs/{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile("\n".join(blocks), f"{page}.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == told


def test_every_command_is_in_the_readme_and_shows_an_example() -> None:
    from threadmill.cli.main import app
    from typer.main import get_command

    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    missing = []
    for name, command in _commands(get_command(app), ()):
        assert "Example: threadmill" in (command.help or ""), name
        if not any(all(re.search(rf"\b{word}\b", line) for word in name) for line in lines):
            missing.append(" ".join(name))
    assert missing == []


def _commands(command: Any, name: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        return [(name, command)]
    return [found for word, child in below.items() for found in _commands(child, (*name, word))]
