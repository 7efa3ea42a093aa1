"""The package is laid out as DESIGN says: listed folders, one import direction, light command modules."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "errors": set(),
    "nodes": {"errors"},
    "checkpoints": {"errors"},
    "graphs": {"errors", "nodes", "checkpoints"},
    "training": {"errors", "nodes", "checkpoints", "graphs"},
    "cli": {"errors", "nodes", "checkpoints", "graphs", "training"},
}
"""What a part may import besides itself."""
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "matplotlib", "scipy", "langgraph"}
LONGEST = 400


def sources() -> list[str]:
    """Every file of the library, relative to the root."""
    folders = [part for part in ALLOWED if part != "errors"]
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return ["errors.py", *sorted(path.relative_to(ROOT).as_posix() for path in found)]


def imported(file: str, source: str, *, top_only: bool = False) -> Iterator[str]:
    """Absolute names of what ``source``, lying at ``file``, imports; ours begin with ``threadmill.``.

    ``top_only`` leaves out what is imported inside functions or for type checkers alone.
    """
    package = ["threadmill", *Path(file).parent.parts]
    for node in _nodes(ast.parse(source), top_only):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def _nodes(node: ast.AST, top_only: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if top_only and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if top_only and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _nodes(child, top_only)


def part_of(file: str) -> str:
    return Path(file).parts[0].removesuffix(".py")


def test_the_import_reader_sees_every_form():
    source = (
        "import torch.nn\n"
        "from . import agents\n"
        "from ..errors import BadTrace\n"
        "if TYPE_CHECKING:\n    from rich.table import Table\n"
        "def f():\n    from .. import graphs\n"
    )
    everything = ["torch.nn", "threadmill.cli.agents", "threadmill.errors.BadTrace", "rich.table.Table"]
    assert list(imported("cli/x.py", source)) == [*everything, "threadmill.graphs"]
    assert list(imported("cli/x.py", source, top_only=True)) == everything[:3]


def test_the_listed_packages_are_the_folders_with_code():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {Path(file).parent for file in sources()} - {Path()}
    assert sorted(setuptools["packages"]) == sorted(".".join(["threadmill", *path.parts]) for path in folders)


def test_every_package_folder_is_typed():
    folders = {Path(file).parent for file in sources()} - {Path()}
    assert [path.as_posix() for path in sorted(folders) if not (ROOT / path / "py.typed").exists()] == []


@pytest.mark.parametrize("file", sources())
def test_imports_go_one_way(file: str):
    part = part_of(file)
    names = [name.split(".") for name in imported(file, (ROOT / file).read_text())]
    used = {name[1] for name in names if name[0] == "threadmill"}
    assert used - ALLOWED[part] - {part} == set()


@pytest.mark.parametrize("file", sources())
def test_the_library_imports_itself_relatively(file: str):
    absolute = [
        ast.unparse(node)
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "threadmill" for a in node.names))
        or (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("threadmill"))
    ]
    assert absolute == []


@pytest.mark.parametrize("file", [file for file in sources() if part_of(file) == "cli"])
def test_a_command_module_imports_nothing_heavy_at_its_top(file: str):
    names = set(imported(file, (ROOT / file).read_text(), top_only=True))
    assert {name for name in names if name.split(".")[0] in HEAVY} == set()
    ours = {name.split(".")[1] for name in names if name.startswith("threadmill.")}
    assert ours - {"cli", "errors"} == set()  # what they import may be heavy


@pytest.mark.parametrize("file", sources())
def test_a_file_is_short_enough_to_read_at_once(file: str):
    assert len((ROOT / file).read_text().splitlines()) <= LONGEST
