"""Aliases: they move one at a time, against what was seen, in whole or not at all."""

import json
from pathlib import Path

import psycopg
import pytest
import warm
from registry_world import SLOT, register
from threadmill.checkpoints.changing import CHANNEL
from threadmill.checkpoints.clean_up import collect_garbage
from threadmill.checkpoints.pins import pin_thread, unpin_thread
from threadmill.checkpoints.registry import (
    NOTHING,
    aliases_of,
    history,
    list_versions,
    point,
    promote,
    resolve,
    rollback,
)
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadName, PromotionConflict, UnknownVersion


@pytest.fixture
def three(tmp_path: Path):
    """A registry with three versions."""
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        register(store, tmp_path, 3)
        yield store


def moves(store: Store) -> list[tuple[str, str, str | None, str]]:
    return [(move.alias, move.action, move.from_version, move.to_version) for move in history(store, SLOT)]


def test_any_alias_can_be_pointed_and_every_move_is_in_the_history(three: Store):
    point(three, SLOT, "candidate", "0002", "trained last night", by="eva")
    point(three, SLOT, "summer-2026", f"{SLOT}@candidate", "shown at the fair")
    point(three, SLOT, "candidate", "0003", "trained today")
    point(three, SLOT, "live", "0001", "to begin with")
    point(three, SLOT, "live", "0002", "on")
    assert aliases_of(three, SLOT) == {
        "candidate": "bank.think@0003",
        "summer-2026": "bank.think@0002",
        "live": "bank.think@0002",
        "previous": "bank.think@0001",
    }
    assert moves(three) == [
        ("candidate", "point", None, "bank.think@0002"),
        ("summer-2026", "point", None, "bank.think@0002"),
        ("candidate", "point", "bank.think@0002", "bank.think@0003"),
        ("live", "point", None, "bank.think@0001"),
        ("live", "point", "bank.think@0001", "bank.think@0002"),
    ]
    assert [(move.because, move.by) for move in history(three, SLOT, "candidate")] == [
        ("trained last night", "eva"),
        ("trained today", None),
    ]


@pytest.mark.parametrize("alias", ["0002", "7", "", "none", "a@b", "a/b", "a b", "-x", "a#1", "a:b"])
def test_a_name_that_no_spec_could_hold_is_refused(three: Store, alias: str):
    with pytest.raises(BadName, match="no alias can be called"):
        point(three, SLOT, alias, "0001", "x")
    assert aliases_of(three, SLOT) == {}


def test_a_promotion_against_what_is_live_no_more_is_refused_and_says_who_moved_it(three: Store):
    promote(three, SLOT, "0001", because="first", expecting=NOTHING)
    promote(three, SLOT, "0002", because="better by 4 points", expecting="0001", by="eva")
    with pytest.raises(PromotionConflict) as refused:
        promote(three, SLOT, "0003", because="better too", expecting="bank.think@0001")
    at = history(three, SLOT)[-1].created_at
    assert str(refused.value) == (
        f"bank.think@live is bank.think@0002 now (moved at {at} by eva, because 'better by 4 points'), where "
        "bank.think@0001 was expected; nothing was moved. Look at `threadmill models diff bank.think@0002 "
        "bank.think@0003`, and decide again"
    )
    for move in (
        lambda: promote(three, SLOT, "0003", because="x", expecting=NOTHING),
        lambda: rollback(three, SLOT, because="x", expecting="0001"),
        lambda: point(three, SLOT, "candidate", "0003", "x", expecting="0002"),
    ):
        with pytest.raises(PromotionConflict):
            move()
    with pytest.raises(UnknownVersion, match="no version or alias '0009'"):
        promote(three, SLOT, "0003", because="x", expecting="0009")
    assert aliases_of(three, SLOT) == {"live": "bank.think@0002", "previous": "bank.think@0001"}
    assert len(moves(three)) == 2
    rollback(three, SLOT, because="complaints", expecting="0002")
    assert resolve(three, f"{SLOT}@live").name == "bank.think@0001"


def test_of_processes_that_promote_at_once_one_wins_and_a_killed_one_leaves_the_old_state(
    tmp_path: Path, postgres_url: str
):
    """On both databases: a race of five, a SIGKILL within a promotion, a SIGKILL within a clean-up."""
    urls = [f"sqlite:///{tmp_path / 'runs.db'}", postgres_url]
    places = [tmp_path / name for name in ("sqlite", "postgresql")]
    for url, place in zip(urls, places, strict=True):
        place.mkdir()
        with open_store(url) as store:
            register(store, place, 6)
            promote(store, SLOT, "0001", because="first")
    script = Path(__file__).with_name("registry_processes.py")
    done = warm.run(script, *urls)
    assert done.stderr == ""
    for url, place, ended in zip(urls, places, json.loads(done.stdout), strict=True):
        assert sorted(ended["race"]) == [0, 3, 3, 3, 3]
        assert (ended["promoting"], ended["cleaning"]) == ([-9], [-9])
        winner = f"{SLOT}@000{ended['race'].index(0) + 2}"
        with open_store(url) as store:
            assert aliases_of(store, SLOT) == {"live": winner, "previous": "bank.think@0001"}
            assert moves(store) == [
                ("live", "promote", None, "bank.think@0001"),
                ("live", "promote", "bank.think@0001", winner),
            ]
            gone = [version.name for version in list_versions(store) if version.gone_at]
            assert len(gone) == 4  # marked before the first file went
            left = [name for name in gone if any((place / f"m{int(name[-4:])}").glob("*"))]
            assert len(left) == 4  # one lost one file
            collect_garbage(store, dry_run=False, newest=0)
            assert sorted(path.name for path in place.iterdir()) == sorted({"m1", f"m{int(winner[-4:])}"})
            for name in (winner, "bank.think@0001"):
                assert resolve(store, name, verify=True).name == name
            rollback(store, SLOT, because="and everything goes on")
            assert resolve(store, f"{SLOT}@live").name == "bank.think@0001"


def test_postgresql_tells_of_every_move_and_pin_when_it_is_committed(tmp_path: Path, postgres_url: str):
    with open_store(postgres_url) as store, psycopg.connect(postgres_url, autocommit=True) as listening:
        register(store, tmp_path, 2)
        listening.execute(f"LISTEN {CHANNEL}")
        promote(store, SLOT, "0001", because="first")
        promote(store, SLOT, "0002", because="better")
        rollback(store, SLOT, because="worse")
        point(store, SLOT, "candidate", "0002", "look")
        pin_thread(store, "t", f"{SLOT}@0002", because="likes it")
        unpin_thread(store, "t", SLOT)
        with pytest.raises(PromotionConflict):
            promote(store, SLOT, "0002", because="x", expecting="0002")
        told = [told.payload for told in listening.notifies(timeout=2, stop_after=6)]
        assert told == [SLOT] * 6
        assert [*listening.notifies(timeout=0.05)] == []
