"""Files in a jailed folder: what a model can do there, and every way out that we know, tried."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.tools import BaseTool, ToolException
from threadmill.errors import BadToolSetting
from threadmill.nodes.tools import jail as jail_module
from threadmill.nodes.tools.files import make_file_tools
from threadmill.nodes.traits import traits_of

SECRET = "the key is 4711"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two notes; beside it, one that nobody may see."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "notes").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET)
    (inside / "readme.md").write_text("# Shop\nopen all day\n")
    (inside / "notes" / "today.txt").write_text("call Ann\ncall Bob\nbuy ink\n")
    return inside


def tools_of(folder: Path, **settings: Any) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in make_file_tools(folder, **settings)}


def refusal(tool: BaseTool, **arguments: Any) -> str:
    with pytest.raises(ToolException) as refused:
        tool.invoke(arguments)
    return str(refused.value)


def test_files_are_listed_read_and_searched(folder: Path):
    tools = tools_of(folder)
    assert tools["list_files"].invoke({}) == "notes/\nreadme.md  20 bytes"
    assert tools["list_files"].invoke({"pattern": "*.txt"}) == "notes/today.txt  26 bytes"
    assert tools["read_file"].invoke({"path": "./notes/today.txt"}) == "call Ann\ncall Bob\nbuy ink\n"
    assert tools["search_files"].invoke({"text": "CALL"}) == "notes/today.txt:1: call Ann\nnotes/today.txt:2: call Bob"
    assert tools["search_files"].invoke({"text": "^b.y", "regex": True}) == "notes/today.txt:3: buy ink"
    assert tools["search_files"].invoke({"text": "b.y"}) == "[nothing found]"


def test_a_file_is_read_page_by_page(folder: Path):
    read = tools_of(folder)["read_file"]
    page = read.invoke({"path": "notes/today.txt", "first_line": 2, "lines": 1})
    assert page == "call Bob\n[lines 2 to 2 of 4; go on with first_line=3]"
    assert read.invoke({"path": "notes/today.txt", "first_line": 3}) == "buy ink\n\n[lines 3 to 4 of 4]"
    assert refusal(read, path="notes/today.txt", first_line=9) == "notes/today.txt has 4 lines; there is no line 9"
    (folder / "wide.txt").write_text("x" * 2_005 + "\n" + ("y" * 1_000 + "\n") * 30)
    first = read.invoke({"path": "wide.txt"})
    assert first.startswith("x" * 2_000 + "[… 5 characters more]\n")
    assert first.endswith("[lines 1 to 18 of 32; go on with first_line=19]")


def test_files_are_written_edited_and_deleted(folder: Path):
    tools = tools_of(folder, write=True)
    assert (
        tools["write_file"].invoke({"path": "new/plan.txt", "content": "eins, zwei"})
        == "wrote 10 bytes to new/plan.txt"
    )
    assert (folder / "new" / "plan.txt").read_text() == "eins, zwei"
    edited = tools["edit_file"].invoke({"path": "notes/today.txt", "old": "Bob", "new": "Eve"})
    assert edited == "replaced it in notes/today.txt, line 2"
    assert (folder / "notes" / "today.txt").read_text() == "call Ann\ncall Eve\nbuy ink\n"
    twice = refusal(tools["edit_file"], path="notes/today.txt", old="call", new="x")
    assert twice == "the text stands 2 times in notes/today.txt; give more of what stands around it"
    assert "stands 0 times" in refusal(tools["edit_file"], path="notes/today.txt", old="Zoe", new="x")
    assert tools["delete_file"].invoke({"path": "new/plan.txt"}) == "deleted new/plan.txt"
    assert not (folder / "new" / "plan.txt").exists()


def test_tools_that_write_are_there_only_on_request_and_say_that_they_act(folder: Path):
    acts = {tool.name: traits_of(tool).acts for tool in make_file_tools(folder, write=True)}
    reading = {"list_files": False, "read_file": False, "search_files": False}
    assert acts == {**reading, "write_file": True, "edit_file": True, "delete_file": True}
    assert tools_of(folder).keys() == reading.keys()


SPELLINGS = [
    "../outside/secret.txt",
    "notes/../../outside/secret.txt",
    "notes/../readme.md",
    "/etc/passwd",
    "//etc/passwd",
    "~/secret.txt",
    "C:\\secret.txt",
    "c:secret.txt",
    "\\\\server\\share\\secret.txt",
    "..\\outside\\secret.txt",
    "notes\\..\\..\\outside\\secret.txt",
    "‥/outside/secret.txt",  # one character that reads as two dots
    "．．/outside/secret.txt",  # full-width dots
    "..／outside／secret.txt",  # full-width slashes
    "notes/today.txt\0.md",
    "notes/\u202etxt.today",
    ".env",
    "notes/.git/hooks/pre-commit",
    "n" * 300,
    "a/" * 40 + "b",
    "a/" * 4_000 + "b",
    "",
    ".",
    "\udcff",
]


def test_no_spelling_leads_out(folder: Path):
    tools = tools_of(folder, write=True)
    (folder / ".env").write_text(SECRET)
    for path in SPELLINGS:
        for told in (
            refusal(tools["read_file"], path=path),
            refusal(tools["write_file"], path=path, content="mine"),
            refusal(tools["edit_file"], path=path, old="key", new="mine"),
            refusal(tools["delete_file"], path=path),
        ):
            assert str(folder.parent) not in told
            assert SECRET not in told
    up = "'..' is not allowed; write the path from the top of the folder"
    assert refusal(tools["read_file"], path="../outside") == f"'../outside': {up}"
    assert (folder.parent / "outside" / "secret.txt").read_text() == SECRET
    assert (folder / ".env").read_text() == SECRET
    assert sorted(one.name for one in folder.iterdir()) == [".env", "notes", "readme.md"]


def test_links_are_shown_and_never_followed(folder: Path):
    outside = folder.parent / "outside"
    (folder / "way").symlink_to(outside)
    (folder / "file.txt").symlink_to(outside / "secret.txt")
    (folder / "self").symlink_to("/proc/self/root")
    (folder / "inner").symlink_to("notes")
    (folder / "loop").symlink_to("loop")
    (folder / "gone").symlink_to(outside / "new.txt")
    tools = tools_of(folder, write=True)
    links = "file.txt  (link, not followed)\ngone  (link, not followed)\ninner  (link, not followed)\n"
    assert tools["list_files"].invoke({}).startswith(links)
    assert tools["list_files"].invoke({"pattern": "*secret*"}) == "[no files]"
    assert tools["search_files"].invoke({"text": "key"}) == "[nothing found]"
    for path in (
        "way/secret.txt",
        "file.txt",
        "self/etc/passwd",
        "inner/today.txt",
        "loop",
        "gone",
        "way",
        "way/x/y.txt",
    ):
        assert "links are not followed" in refusal(tools["read_file"], path=path)
        assert "links are not followed" in refusal(tools["write_file"], path=path, content="mine")
        assert "links are not followed" in refusal(tools["delete_file"], path=path)
    assert "links are not followed" in refusal(tools["list_files"], folder="way")
    assert [one.name for one in outside.iterdir()] == ["secret.txt"]
    assert (outside / "secret.txt").read_text() == SECRET


def test_what_is_no_regular_file_is_refused_at_once(folder: Path):
    os.mkfifo(folder / "pipe")  # opened as a file, it would hang for ever
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    tools = tools_of(folder, write=True)
    for path in ("pipe", "socket"):
        assert refusal(tools["read_file"], path=path) == f"{path} is no regular file"
        assert refusal(tools["write_file"], path=path, content="x") == f"{path} is no regular file"
    assert refusal(tools["read_file"], path="notes") == "notes is a folder"
    assert refusal(tools["write_file"], path="notes", content="x") == "notes is a folder"
    assert (
        refusal(tools["read_file"], path="readme.md/x")
        == "readme.md: not a folder, or a link, and links are not followed"
    )
    assert refusal(tools["read_file"], path="nothing.txt") == "nothing.txt: no such file or directory"
    assert "pipe  (not a regular file)" in tools["list_files"].invoke({})


class Swapping:
    """The functions of ``os``, but right before the first file or folder inside is opened something is replaced."""

    def __init__(self, swap: Any, before: str) -> None:
        self.swap, self.before = swap, before

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, *arguments: Any, **options: Any) -> int:
        if path.startswith(self.before) and self.swap:
            swap, self.swap = self.swap, None
            swap()
        return os.open(path, *arguments, **options)


def test_a_file_that_becomes_a_link_between_check_and_use_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def swap() -> None:
        (folder / "readme.md").unlink()
        (folder / "readme.md").symlink_to(folder.parent / "outside" / "secret.txt")

    read = tools_of(folder)["read_file"]
    monkeypatch.setattr(jail_module, "os", Swapping(swap, "readme.md"))
    assert refusal(read, path="readme.md").endswith("links are not followed")


def test_a_file_that_becomes_a_pipe_between_check_and_use_does_not_hang(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def swap() -> None:
        (folder / "readme.md").unlink()
        os.mkfifo(folder / "readme.md")

    read = tools_of(folder)["read_file"]
    monkeypatch.setattr(jail_module, "os", Swapping(swap, "readme.md"))
    assert refusal(read, path="readme.md") == "readme.md is no regular file"


@pytest.mark.parametrize("before", ["notes", ".threadmill-"])
def test_a_folder_that_becomes_a_link_on_the_way_gets_nothing_written_behind_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, before: str
):
    outside = folder.parent / "outside"

    def swap() -> None:
        (folder / "notes").rename(folder / "aside")
        (folder / "notes").symlink_to(outside)

    write = tools_of(folder, write=True)["write_file"]
    monkeypatch.setattr(jail_module, "os", Swapping(swap, before))
    if before == "notes":
        assert "links are not followed" in refusal(write, path="notes/secret.txt", content="mine")
    else:  # the folder was open already: what is written stays in it, wherever its name went
        write.invoke({"path": "notes/secret.txt", "content": "mine"})
        assert (folder / "aside" / "secret.txt").read_text() == "mine"
    assert (outside / "secret.txt").read_text() == SECRET


def test_a_write_is_whole_or_not_at_all_and_keeps_what_was_linked(folder: Path, monkeypatch: pytest.MonkeyPatch):
    os.link(folder.parent / "outside" / "secret.txt", folder / "linked.txt")
    (folder / "readme.md").chmod(0o600)
    write = tools_of(folder, write=True)["write_file"]
    write.invoke({"path": "linked.txt", "content": "mine"})  # a new file under the name, not the linked one changed
    write.invoke({"path": "readme.md", "content": "new"})
    assert (folder.parent / "outside" / "secret.txt").read_text() == SECRET
    assert (folder / "readme.md").stat().st_mode & 0o777 == 0o600

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "/secret/place")

    monkeypatch.setattr(os, "fsync", full)
    assert refusal(write, path="readme.md", content="half") == "readme.md: no space left on device"
    assert (folder / "readme.md").read_text() == "new"
    assert [one.name for one in folder.iterdir() if one.name.startswith(".")] == []


def test_sizes_are_limited(folder: Path):
    tools = tools_of(folder, write=True, max_bytes=30, quota_bytes=60)
    (folder / "large.txt").write_text("x" * 31)
    assert refusal(tools["read_file"], path="large.txt") == "large.txt is larger than the 30 bytes that may be read"
    assert tools["search_files"].invoke({"text": "x"}) == "[nothing found]\n[1 files left out: too large, or no text]"
    long = refusal(tools["write_file"], path="new.txt", content="é" * 16)
    assert long == "a file may have at most 30 bytes, this one would have 32"
    (folder / "large.txt").unlink()
    over = refusal(tools["write_file"], path="new.txt", content="x" * 15)
    assert over == "the folder may hold 60 bytes; 46 are used by other files"
    assert tools["write_file"].invoke({"path": "new.txt", "content": "x" * 14}) == "wrote 14 bytes to new.txt"
    assert tools["write_file"].invoke({"path": "new.txt", "content": "y" * 14}) == "wrote 14 bytes to new.txt"


def test_calls_of_one_step_run_at_once_and_no_edit_is_lost_and_no_quota_passed(folder: Path):
    tools = tools_of(folder, write=True, quota_bytes=500)
    (folder / "list.txt").write_text("\n".join(f"item {number}." for number in range(8)))

    def refused(one: dict[str, str]) -> bool:
        try:
            return not tools["write_file"].invoke(one)
        except ToolException:
            return True

    with ThreadPoolExecutor(8) as threads:
        edits = [{"path": "list.txt", "old": f"item {number}.", "new": f"done {number}."} for number in range(8)]
        list(threads.map(tools["edit_file"].invoke, edits))
        writes = [{"path": f"{number}.txt", "content": "x" * 150} for number in range(8)]
        told = list(threads.map(refused, writes))
    assert (folder / "list.txt").read_text() == "\n".join(f"done {number}." for number in range(8))
    assert sum(told) == 6


def test_what_is_no_text_is_not_shown(folder: Path):
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "zero.bin").write_bytes(b"a\0b")
    tools = tools_of(folder, write=True)
    assert refusal(tools["read_file"], path="picture.png") == "picture.png is no UTF-8 text (byte 0)"
    assert refusal(tools["read_file"], path="zero.bin") == "zero.bin is no text file"
    assert "cannot be written as UTF-8" in refusal(tools["write_file"], path="x.txt", content="\ud800")


def test_a_search_stops_in_time_and_after_enough_lines(folder: Path):
    (folder / "many.txt").write_text("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\n" * 150)
    search = tools_of(folder, search_s=0.1)["search_files"]
    stopped = search.invoke({"text": "(a|aa)+$", "regex": True})
    assert stopped == "[stopped after 0.1 s; search one folder or a plainer text]"
    lines = search.invoke({"text": "aaaa!"}).split("\n")
    assert len(lines) == 101
    assert lines[-1] == "[the first 100; there may be more]"


def test_an_expression_that_could_fill_the_memory_is_refused(folder: Path):
    search = tools_of(folder)["search_files"]
    for expression in ("(a", "a{100000000}", "((a{1000}){1000}){1000}", "(?R)?a", "(a(?1)?b)", "(?P<x>(?P&x)?a)"):
        assert expression in refusal(search, text=expression, regex=True)
    assert "leave out the flag x" in refusal(search, text="(?ix)((a{1 000}){1 000}){1 000}", regex=True)


def test_names_that_cannot_be_shown_are_left_out(folder: Path):
    (folder / "a\nb.txt").write_text("x")
    (folder / "a\u2028b.txt").write_text("x")
    (folder / "wide\u3000space.txt").write_text("x")
    (folder / ".hidden").mkdir()
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt"))).write_text("x")
    assert tools_of(folder)["list_files"].invoke({}) == "notes/\nreadme.md  20 bytes\nwide\u3000space.txt  1 bytes"


def test_settings_that_make_no_sense_are_refused(folder: Path):
    with pytest.raises(BadToolSetting, match="nowhere' is no folder"):
        make_file_tools(folder / "nowhere")
    with pytest.raises(BadToolSetting, match="must be above 0, not 0"):
        make_file_tools(folder, max_bytes=0)


PIECES = st.sampled_from(
    [*"ab./\\~:\0 ‥．／", "..", "../", "way", "way/", "secret.txt", "outside", "notes/", "today.txt", "/"]
)


@pytest.fixture
def writing_tools(folder: Path) -> dict[str, BaseTool]:
    (folder / "way").symlink_to(folder.parent / "outside")
    return tools_of(folder, write=True)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pieces=st.lists(PIECES | st.text(max_size=3), max_size=8))
def test_no_random_path_reads_or_writes_outside(folder: Path, writing_tools: dict[str, BaseTool], pieces: list[str]):
    outside, path = folder.parent / "outside", "".join(pieces)
    for name, more in (("read_file", {}), ("write_file", {"content": "mine"}), ("delete_file", {})):
        try:
            answer = writing_tools[name].invoke({"path": path, **more})
        except ToolException as refused:
            answer = str(refused)
        assert SECRET not in answer
        assert str(folder.parent) not in answer
    assert [(one.name, one.read_text()) for one in outside.iterdir()] == [("secret.txt", SECRET)]
    assert sorted(one.name for one in folder.parent.iterdir()) == ["inside", "outside"]
