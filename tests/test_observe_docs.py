"""The Python in docs/observe.md runs."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs/observe.md"


def test_the_python_about_observe_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile("\n".join(blocks), "observe.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["12 ['start', 'summary']", "notes.txt:", "On Monday."]
