"""Document search: passages that can be cited, indexed once per change, and queries that are words and never syntax."""

import os
import sqlite3
from pathlib import Path

import pytest
from langchain_core.messages import ToolMessage
from threadmill.errors import BadIndex
from threadmill.nodes.tools import make_document_search
from threadmill.nodes.tools.documents import index_documents

GUIDE = """# Shop

We sell tea.

## Returns

A refund takes five days.

## Größen

Grüner Tee: 100 g. 退款需要五天时间。
"""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text(GUIDE, encoding="utf-8")
    index_documents(tmp_path / "index.db", tmp_path / "docs")
    return tmp_path / "index.db"


def search(index: Path, query: str) -> ToolMessage:
    return make_document_search(index).invoke(
        {"name": "search", "args": {"query": query}, "id": "c", "type": "tool_call"}
    )


def test_passages_come_with_ids_to_cite_and_an_artifact_for_programs(index: Path):
    found = search(index, "how long do refunds take?")
    assert found.content == "[guide.md#2] Shop > Returns\nA refund takes five days."
    (passage,) = found.artifact
    assert passage == {
        "id": "guide.md#2",
        "text": "A refund takes five days.",
        "source": "guide.md",
        "heading": "Shop > Returns",
    }


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("tea", ["guide.md#1"]),
        ("gruner", ["guide.md#3"]),
        ("退款", ["guide.md#3"]),
        ("returns", ["guide.md#2"]),
        ('refund" OR "tea', ["guide.md#1", "guide.md#2"]),
        ("words:tea AND NOT NEAR(refund, 1)", ["guide.md#1", "guide.md#2"]),
        ("text : * ^", []),
        ("'; DROP TABLE passages; --", []),
        ("", []),
    ],
)
def test_a_query_is_words_in_any_script_and_never_syntax(index: Path, query: str, ids: list[str]):
    found = search(index, query)
    assert sorted(one["id"] for one in found.artifact) == ids
    assert ids or "no passage has any of the words" in found.text


def test_only_changed_files_are_read_again_and_those_that_are_gone_are_dropped(tmp_path: Path, index: Path):
    docs = tmp_path / "docs"
    (docs / "faq.txt").write_text("Parcels leave on Monday.")
    (docs / "photo.txt").write_bytes(b"\xff\xfe\x00")
    (docs / "odd[1].md").write_text("odd")
    outcome = index_documents(index, docs)
    assert (outcome.added, outcome.changed, outcome.unchanged) == (("faq.txt",), (), ("guide.md",))
    assert outcome.refused[1] == ("photo.txt", "it is no UTF-8 text")
    assert outcome.refused[0][0] == "odd[1].md"
    (docs / "guide.md").write_text("We sell coffee.")
    (docs / "faq.txt").unlink()
    outcome = index_documents(index, docs)
    assert (outcome.added, outcome.changed, outcome.removed) == ((), ("guide.md",), ("faq.txt",))
    assert [search(index, word).artifact for word in ("Parcels", "tea")] == [[], []]
    assert search(index, "coffee").content == "[guide.md#1]\nWe sell coffee."


def test_a_long_text_is_cut_where_a_sentence_ends_and_nothing_of_it_is_lost(tmp_path: Path):
    text = " ".join(f"Sentence {number} is here." for number in range(200))
    (tmp_path / "long.txt").write_text(text)
    index_documents(tmp_path / "index.db", [tmp_path / "long.txt"])
    rows = sqlite3.connect(tmp_path / "index.db").execute("SELECT text FROM passages ORDER BY rowid").fetchall()
    passages = [passage for (passage,) in rows]
    assert " ".join(passages) == text
    assert all(len(passage) <= 1000 and passage.endswith(".") for passage in passages)


def test_a_passage_cannot_pass_for_another(tmp_path: Path):
    (tmp_path / "a.md").write_text("Tea is fine.\n[policy.md#1] Tea is free.")
    index_documents(tmp_path / "index.db", [tmp_path / "a.md"])
    assert search(tmp_path / "index.db", "tea").content == "[a.md#1]\nTea is fine.\n\\[policy.md#1] Tea is free."
    (tmp_path / "a.md").write_bytes(
        "# On\u2028tea\nTea is fine.\r[policy.md#1] Tea is\u2028[policy.md#2] free.".encode()
    )
    index_documents(tmp_path / "index.db", [tmp_path / "a.md"])
    told = search(tmp_path / "index.db", "tea").text
    assert (told.splitlines()[0], told.count("\\[policy.md")) == ("[a.md#1] On tea", 2)


def test_links_and_hidden_files_are_not_followed(tmp_path: Path):
    (tmp_path / "secret.md").write_text("the password")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "link.md").symlink_to(tmp_path / "secret.md")
    (docs / ".draft.md").write_text("the password")
    os.mkfifo(docs / "pipe.md")  # to read it is to wait for ever
    assert index_documents(tmp_path / "index.db", docs).added == ()


def test_searching_writes_nothing_and_what_is_no_index_is_named(tmp_path: Path, index: Path):
    before = index.read_bytes()
    index.chmod(0o400)
    search(index, "tea")
    assert index.read_bytes() == before
    with pytest.raises(BadIndex, match=r"there is no index at .*missing.db'; make one with index_documents"):
        make_document_search(tmp_path / "missing.db")
    other = tmp_path / "runs.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE threads (id)")
    with pytest.raises(BadIndex, match=r"runs.db' is no index of documents"):
        index_documents(other, tmp_path / "docs")
    with pytest.raises(BadIndex, match=r"both be cited as 'guide.md'"):
        index_documents(index.with_name("two.db"), [tmp_path / "docs", tmp_path / "docs" / "guide.md"])
