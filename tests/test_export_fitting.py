"""Selections that fit a kind of rows, and those that do not: lengths of pairs and groups, wishes that are refused."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from letter_world import letter_tokenizer, spoken, write_thread
from threadmill.checkpoints.store import open_store
from threadmill.errors import BadSelection, BadWhere
from threadmill.training.dataset import read_rows
from threadmill.training.export import export_chats, export_groups, export_kto, export_pairs, export_sft
from threadmill.training.selection.settings import Selection

TOKENIZER = letter_tokenizer()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three trials of a task: one good, two bad, one of which is long."""
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('world') / 'runs.db'}") as opened:
        for at, answer in enumerate(("yes", "no", "a long one")):
            messages = [HumanMessage("q"), spoken(f"a{at}", "q", answer)]
            write_thread(opened, f"t{at}", messages, task="x", success=not at)
        yield opened


def test_a_pair_is_as_long_as_its_longer_side(store: Any, tmp_path: Path):
    wishes: Any = {"tokenizer": TOKENIZER, "selection": Selection(max_tokens=4)}  # q and yes
    manifest = export_pairs(store, tmp_path / "a", **wishes)
    assert (manifest["rows"], manifest["left_out"]) == (1, {"longer than 4 tokens": 1})


def test_a_trial_that_is_too_long_is_in_no_group(store: Any, tmp_path: Path):
    manifest = export_groups(store, tmp_path / "a", tokenizer=TOKENIZER, selection=Selection(max_tokens=4))
    assert [(row["thread"], row["size"]) for row in read_rows(tmp_path / "a")[0]] == [("t0", 2), ("t1", 2)]
    assert manifest["left_out"] == {"longer than 4 tokens": 1}


@pytest.mark.parametrize(
    ("kind", "selection", "why"),
    [
        ("pairs", Selection(min_reward=0.5), "pairs cannot be selected by min_reward: bad examples make these rows"),
        ("kto", Selection(success_only=True), "kto cannot be selected by success_only: bad examples make these rows"),
        ("groups", Selection(best_of=1), "groups cannot be selected by best_of: it would tear groups apart"),
        ("groups", Selection(mix={"success": 1.0}), "groups cannot be selected by mix: it would tear groups apart"),
        ("chats", Selection(max_tokens=9), "openai cannot be selected by max_tokens: these rows hold text"),
    ],
)
def test_wishes_that_a_kind_cannot_meet_are_refused(
    store: Any, tmp_path: Path, kind: str, selection: Selection, why: str
):
    exports = {"pairs": export_pairs, "kto": export_kto, "groups": export_groups, "chats": export_chats}
    wishes: Any = {"chat": "openai"} if kind == "chats" else {"tokenizer": TOKENIZER}
    with pytest.raises(BadSelection, match=why):
        exports[kind](store, tmp_path / "a", selection=selection, **wishes)
    assert not [*tmp_path.iterdir()]


def test_a_database_is_named_once(store: Any, tmp_path: Path):
    with pytest.raises(BadWhere, match="named twice; name it once"):
        export_sft([store, store], tmp_path / "a", tokenizer=TOKENIZER)
