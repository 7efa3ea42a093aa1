"""Processes agree about a candidate on trial without a word to each other."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import warm
from conftest import build_tiny
from threadmill.checkpoints.canaries import list_canaries, running_canary, start_canary
from threadmill.checkpoints.guards import set_guard
from threadmill.checkpoints.outcomes import outcomes_of
from threadmill.checkpoints.registry import history, promote, register_version, resolve
from threadmill.checkpoints.store import open_store
from threadmill.training.failure_bound import Bound
from threadmill.training.shadow import proposals_of

SLOT = "desk.think"
BOUND = Bound(0.2).to_dict()


def wait_for(is_so: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.3)
    return found


def test_two_processes_try_take_back_guard_and_shadow(tmp_path: Path, tiny_tokenizer: Any, tiny_folder: Path):
    url = f"sqlite:///{tmp_path}/runs.db"
    broken = tmp_path / "broken"  # no prompt fits into it
    build_tiny(tiny_tokenizer, context=8).save_pretrained(broken)
    tiny_tokenizer.save_pretrained(broken)
    other = tmp_path / "other"
    build_tiny(tiny_tokenizer, context=512).save_pretrained(other)
    tiny_tokenizer.save_pretrained(other)
    with open_store(url) as store:
        good, bad, third = (
            register_version(store, SLOT, folder, lineage={}).name for folder in (tiny_folder, broken, other)
        )
        promote(store, SLOT, good, because="first")
        program = Path(__file__).with_name("canary_worker.py")
        with (
            warm.started(program, url, tmp_path, "a") as first,
            warm.started(program, url, tmp_path, "b") as second,
        ):
            try:
                wait_for(
                    lambda: {one.thread[0] for one in outcomes_of(store, SLOT, good)} == {"a", "b"}, "both to answer"
                )
                canary = start_canary(store, bad, share=0.5, bound=BOUND, because="try")
                wait_for(lambda: running_canary(store, SLOT) is None, "the candidate to be taken back")
                tried = list_canaries(store, SLOT)[-1]
                assert (tried.id, tried.status) == (canary.id, "rolled_back")
                set_guard(store, SLOT, BOUND, because="test")
                promote(store, SLOT, bad, because="by mistake")
                wait_for(lambda: history(store, SLOT)[-1].action == "rollback", "the guard to go back")
                assert resolve(store, f"{SLOT}@live").name == good
                shadow = start_canary(store, third, share=1.0, bound={}, because="look", mode="shadow")
                heard = wait_for(
                    lambda: {one["thread"][0] for one in proposals_of(store, shadow)} == {"a", "b"}, "shadows"
                )
                assert heard
                seen = len(outcomes_of(store, SLOT, good))
                wait_for(lambda: len(outcomes_of(store, SLOT, good)) > seen or seen == 200, "both to go on")
            finally:
                (tmp_path / "stop").touch()
                ended = [worker.wait(60) for worker in (first, second)]
        records = [json.loads(line) for name in "ab" for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        assert all(one["error"] is None for one in proposals_of(store, shadow))
    assert ended == [0, 0]
    wrong = Counter((record["versions"][SLOT], record["error"] is None) for record in records)
    assert wrong.keys() == {(good, True), (bad, False)}  # who stayed on the good one never failed
    undone = {said.split(":")[0] for record in records for said in record["back"]}
    assert undone == {f"{bad} is off trial", f"{SLOT} is back on {good}"}  # by the workers alone
