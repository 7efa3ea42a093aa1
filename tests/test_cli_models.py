"""``threadmill models …``: what it prints, in 80 columns, and what it refuses."""

import json
from pathlib import Path

import pytest
from registry_world import SLOT, adapter, weights
from test_cli import printed, threadmill
from test_version_diff import two
from threadmill.checkpoints.pins import pin_thread
from threadmill.checkpoints.registry import aliases_of, history, promote
from threadmill.checkpoints.store import open_store
from threadmill.checkpoints.verdicts import Verdict, record_verdict

ONE, OTHER = f"{SLOT}@0001", f"{SLOT}@0002"


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two versions, the first live, and a thread that is pinned to it."""
    url = f"sqlite:///{tmp_path}/runs.db"
    monkeypatch.setenv("THREADMILL_DB", url)
    with open_store(url) as store:
        two(store, tmp_path)
        promote(store, SLOT, ONE, because="first", by="eva")
        pin_thread(store, "vip", ONE, because="likes it")
        record_verdict(store, Verdict("hold", ("too few tasks",), {}, 1, SLOT, OTHER, ONE, {}))
    return url


def refused(*arguments: str) -> str:
    done = threadmill("models", *arguments)
    assert (done.returncode, done.stdout) == (1, ""), done
    return done.stderr


def test_a_list_fits_into_80_columns(db: str, tmp_path: Path) -> None:
    for alias in ("candidate", "shown-at-the-fair"):
        printed("models", "promote", OTHER, "--alias", alias, "--because", "look")
    lines = threadmill("models", "list").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    words = [line.split() for line in lines if line.strip().startswith(SLOT)]
    assert [row[:3] for row in words] == [[ONE, "live", "1"], [OTHER, "candidate,", "0001"]]
    (first, second) = printed("models", "list", SLOT)["versions"]
    assert (first["aliases"], first["pins"], first["kind"], first["gone_at"]) == (["live"], 1, "full", None)
    assert (second["aliases"], second["pins"], second["base"]) == (["candidate", "shown-at-the-fair"], 0, ONE)


def test_show_tells_everything_that_is_known(db: str, tmp_path: Path) -> None:
    record = printed("models", "show", f"{SLOT}@live")
    assert record["version"] == ONE
    assert [pin["thread"] for pin in record["pins"]] == ["vip"]
    assert [(move["alias"], move["by"]) for move in record["moves"]] == [("live", "eva")]
    assert [verdict["decision"] for verdict in record["verdicts"]] == ["hold"]
    text = threadmill("models", "show", OTHER).stdout
    for told in (OTHER, "sft: 30 steps, seed 7, data d1", f"trained from  {ONE}", "hold against", "as registered"):
        assert told in text
    (tmp_path / "two" / "config.json").write_text("{}")
    assert "config.json was changed" in refused("show", OTHER)


def test_history_names_every_alias(db: str) -> None:
    printed("models", "promote", OTHER, "--alias", "candidate", "--because", "look", "--by", "bob")
    text = threadmill("models", "history", SLOT).stdout
    assert max(map(len, text.splitlines())) <= 80
    rows = [line.split()[2:] for line in text.splitlines() if "point" in line or "promote" in line]
    assert rows == [["live", "promote", "0001", "eva", "first"], ["candidate", "point", "0002", "bob", "look"]]


def test_a_promotion_says_what_it_was_decided_against(db: str) -> None:
    said = refused("promote", OTHER, "--because", "x", "--expecting", OTHER)
    assert f"{SLOT}@live is {ONE} now" in said
    assert "no version or alias '0009'" in refused("promote", OTHER, "--because", "x", "--expecting", "0009")
    record = printed("models", "promote", OTHER, "--because", "better", "--expecting", ONE, "--by", "eva")
    assert (record["version"], record["alias"], record["before"]) == (OTHER, "live", ONE)
    assert "no alias can be called '7'" in refused("promote", OTHER, "--because", "x", "--alias", "7")
    assert f"{SLOT}@live is {OTHER} now" in refused("rollback", SLOT, "--because", "x", "--expecting", ONE)
    assert printed("models", "rollback", SLOT, "--because", "worse")["version"] == ONE
    with open_store(db) as store:
        assert [(move.action, move.by is not None) for move in history(store, SLOT)] == [
            ("promote", True),
            ("promote", True),
            ("rollback", True),
        ]


def test_pins(db: str) -> None:
    done = threadmill("models", "pin", "vip", OTHER, "--because", "asked for it", "--json")
    assert json.loads(done.stdout)["version"] == OTHER
    assert done.stderr == f"there is no thread 'vip' yet; it will begin with {OTHER}\n"
    assert [(pin["thread"], pin["version"]) for pin in printed("models", "pins", SLOT)["pins"]] == [("vip", OTHER)]
    assert "asked for it" in threadmill("models", "pins").stdout
    assert threadmill("models", "unpin", "vip", SLOT).stdout == f"vip follows {SLOT}@live again; it was on {OTHER}\n"
    assert "is not pinned in slot" in refused("unpin", "vip", SLOT)
    assert printed("models", "pins")["pins"] == []


def test_gc_names_what_would_go_and_removes_it_when_told_to(db: str, tmp_path: Path) -> None:
    text = threadmill("models", "gc", "--keep", "0").stdout
    assert text.splitlines() == [
        f"{ONE} stays: it is live, thread 'vip' is pinned to it",
        f"{OTHER} would go: {tmp_path / 'two'}",
        "0.3 kB in all; --yes removes the files",
    ]
    assert printed("models", "gc", SLOT)["removed"] == []  # it is among the newest
    done = printed("models", "gc", SLOT, "--keep", "0", "--yes")
    assert ([one["version"] for one in done["removed"]], done["dry_run"]) == ([OTHER], False)
    assert not (tmp_path / "two").exists()
    assert "gone" in threadmill("models", "list").stdout
    assert "removed by a clean-up" in threadmill("models", "show", OTHER).stdout
    assert "were removed by a clean-up" in refused("promote", OTHER, "--because", "x")
    assert threadmill("models", "gc", "--keep", "0").stdout.splitlines()[-1] == "nothing to remove"
    assert "no slot 'shop' is registered" in refused("gc", "shop")


def test_diff_prints_what_moved(db: str) -> None:
    text = threadmill("models", "diff", ONE, OTHER).stdout
    for told in ("config.json rope.theta: 10 → 99", "tensors: 1 equal, 1 changed", "4.00e+00", "hold: too few tasks"):
        assert told in text
    record = printed("models", "diff", ONE, OTHER)
    assert (record["before"]["version"], record["tensors"]) == (ONE, [{"name": "moved", "max": 4.0, "rms": 2.5}])


def test_an_adapter_is_registered_with_its_base_and_a_pickle_is_refused(db: str, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", tmp_path / "one")
    record = printed("models", "register", SLOT, str(folder), "--base", ONE)
    assert (record["kind"], record["base"], record["base_folder"]) == ("adapter", ONE, str(tmp_path / "one"))
    (weights(tmp_path / "m") / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "holds pytorch_model.bin: a pickle" in refused("register", SLOT, str(tmp_path / "m"))
    with open_store(db) as store:
        assert aliases_of(store, SLOT) == {"live": ONE}
