"""Labels: kept in order, found for many threads, and still there after a SIGKILL."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import warm
from threadmill.checkpoints.labels import Label, add_label, add_labels, labels_of
from threadmill.checkpoints.store import open_store

REWARD = Label("a", None, None, "reward", 0.5, "check")
WRONG = Label("a", "c7", "m3", "feedback", "wrong order", "ann")
WON = Label("b", None, None, "success", 1.0, "check")


def test_labels_come_back_by_thread_oldest_first(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        add_labels(store, [REWARD, WON])
        add_label(store, WRONG)
        assert labels_of(store) == {"a": [REWARD, WRONG], "b": [WON]}
        assert labels_of(store, ["b", "nobody"]) == {"b": [WON]}
        assert labels_of(store, []) == {}


def test_labels_of_thousands_of_threads(tmp_path: Path):
    labels = [Label(f"t{number}", None, None, "reward", float(number), "check") for number in range(3000)]
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        add_labels(store, labels)
        found = labels_of(store, [label.thread for label in labels])
    assert len(found) == 3000
    assert found["t2999"] == [Label("t2999", None, None, "reward", 2999.0, "check")]


def test_an_unknown_kind_is_refused():
    kind: Any = "rewards"
    with pytest.raises(ValueError, match="'rewards' is no kind of label; there are reward, success, preference"):
        Label("a", None, None, kind, 1.0, "check")


@pytest.mark.parametrize("value", ["maybe", "1", float("nan"), float("inf"), None])
def test_a_reward_that_is_no_finite_number_is_refused(value: Any):
    for kind in ("reward", "success"):
        with pytest.raises(ValueError, match=rf"a label of kind '{kind}' needs a finite number, not {value!r}"):
            Label("a", None, None, kind, value, "check")


def test_labels_are_added_all_or_none(tmp_path: Path):
    bad: Any = {1, 2}
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        with pytest.raises(Exception, match="not JSON serializable"):
            add_labels(store, [REWARD, Label("b", None, None, "feedback", bad, "check")])
        assert labels_of(store) == {}


def test_64_threads_label_at_once(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        with ThreadPoolExecutor(64) as pool:
            list(pool.map(lambda _: add_label(store, REWARD), range(256)))
        assert labels_of(store) == {"a": [REWARD] * 256}


KILLED = """
import os, signal, sys
from threadmill.checkpoints.labels import Label, add_label
from threadmill.checkpoints.store import open_store
store = open_store(sys.argv[1])
for number in range(5):
    add_label(store, Label(f"t{number}", None, None, "success", 1.0, "check"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_labels_survive_a_sigkill(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/runs.db"
    assert warm.run(KILLED, url).returncode == -9
    with open_store(url, create=False) as store:
        assert sorted(labels_of(store)) == ["t0", "t1", "t2", "t3", "t4"]
