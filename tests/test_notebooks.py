"""The notebooks: each runs from its first cell to its last and says what its text promises."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
SAYS = {
    "1-first-graph": ["We are closed on Sunday.", "did you mean opening_hours?", "thread-1 shop done 5 model calls"],
    "2-pause-edit-fork-replay": ["paused", "[('Ann', 350)]", "proposed: {'to': 'Ann', 'amount': 700}"],
    "3-threads-to-rows": ["trained_tokens", "⟦<tool_call>", "row 1 · rejected"],
    "4-train-gate-swap": ["helpdesk.think@0002 full", "hold", "promote helpdesk.think@0001 -> helpdesk.think@0002"],
}


def test_the_notebooks_run_to_their_ends(tmp_path: Path) -> None:
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    assert list(notebooks) == list(SAYS)
    # One kernel, emptied before each: importing takes longer than most of what they do.
    cells = {name: [nbformat.v4.new_code_cell("%reset -f"), *book.cells] for name, book in notebooks.items()}
    for name, own in cells.items():
        for number, cell in enumerate(own):
            cell["id"] = f"{name}-{number}"
    together = nbformat.v4.new_notebook(cells=[cell for own in cells.values() for cell in own])
    NotebookClient(together, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for name, own in cells.items():
        said = _said(own)
        assert (name, [wanted for wanted in SAYS[name] if wanted not in said]) == (name, [])


def test_the_notebooks_are_stored_with_what_they_say() -> None:
    for name, wanted in SAYS.items():
        stored = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        cells = [cell for cell in stored.cells if cell.cell_type == "code"]
        assert (name, [cell.execution_count for cell in cells]) == (name, [*range(1, len(cells) + 1)])
        said = _said(cells)
        assert (name, [words for words in wanted if words not in said]) == (name, [])
        assert (name, [words for words in ("/tmp/", "Warning", "Traceback") if words in said]) == (name, [])


def _said(cells: Sequence[Any]) -> str:
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "\n".join(str(one.get("text") or one.get("data", {}).get("text/plain", "")) for one in outputs)
