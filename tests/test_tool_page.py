"""What docs/tools.md shows is true."""

import re
from pathlib import Path

import pytest


def test_the_python_about_tools_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parent.parent / "docs/tools.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), "tools.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "started ",
        "progress asking the warehouse",
        "finished ",
        "('returns.md',)",
        "[returns.md#1] Returns",
        "A refund takes five days.",
        "[{'id': 'returns.md#1', 'text': 'A refund takes five days.', 'source': 'returns.md', 'heading': 'Returns'}]",
        "Asked(why='the agent asks: Which order?', who='user', choices=('respond', 'reject'))",
    ]
