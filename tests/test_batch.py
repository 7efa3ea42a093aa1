"""``threadmill batch``: each line a thread, several at a time, and a batch that was killed goes on where it was."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.cli.batch_input import read_inputs
from threadmill.cli.main import app
from threadmill.errors import BadInput
from threadmill.graphs import run_thread
from typer.testing import CliRunner

SHOP = '''
import os, signal, time
from pathlib import Path
from langchain_core.messages import AIMessage
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot

def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"

def say(messages):
    with open("asked.txt", "a") as asked:
        asked.write(messages[-1].text + "\\n")
    match messages[-1].text.split():
        case ["pay", amount]:
            return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": int(amount)}, "id": "c1"}])
        case ["fail"] if not Path("mended").exists():
            raise ConnectionError("nobody is there")
        case ["kill"] if not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        case ["stop"] if not Path("stopped").exists():
            Path("stopped").touch()
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # until it has arrived
    return AIMessage(f"{sum(m.type == 'human' for m in messages)}: {messages[-1].text}")

slot = Slot.fixed("shop.think", ScriptedModel(say), "shop.think@0001")
shop = build_react(slot, [pay], name="shop", ask=lambda name, args: "money" if args["amount"] > 99 else None)
'''

Batch = Callable[..., dict[str, Any]]


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batch]:
    """A batch of lines, run one after the other; what it counts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what runs behind without it
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)

    def run(*lines: Any, code: int = 0) -> dict[str, Any]:
        written = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        Path("in.jsonl").write_text("".join(f"{line}\n" for line in written))
        done = CliRunner().invoke(app, [*COMMAND, "--json"], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if done.stdout else {}

    yield run
    signal.signal(signal.SIGINT, before)


COMMAND = ["batch", "shop.py:shop", "in.jsonl", "--out", "out.jsonl", "--concurrency", "1"]


def results() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]


def told() -> list[tuple[Any, ...]]:
    return [(one["id"], one["status"], one["answer"], one["error"]) for one in results()]


def ran(counts: dict[str, Any]) -> tuple[int, ...]:
    return (counts["done"], counts["already"], counts["paused"], counts["failed"])


def test_every_line_has_its_result_and_bad_ones_are_set_aside(batch: Batch) -> None:
    bad = ["{", "[1]", '{"txt": "a"}', '{"turns": []}', '{"text": 1}', '{"text": "a", "thread": "t"}']
    bad += ['{"text": "a", "configurable": {"thread_id": "x"}}']
    good = ({"text": "hi", "id": "a"}, "", {"text": "pay 300"}, {"turns": ["hi", "pay 5"], "thread": "t"})
    counts = batch(*good, *bad, {"text": "hi"})
    assert ran(counts) == (3, 0, 1, 0)
    assert sorted(told()) == [
        ("12", "done", "1: hi", None),
        ("3", "paused", None, None),
        ("4", "done", "2: paid 5", None),
        ("a", "done", "1: hi", None),
    ]
    by_id = {one["id"]: one for one in results()}
    assert (by_id["4"]["thread"], by_id["4"]["versions"]) == ("t", {"shop.think": "shop.think@0001"})
    assert by_id["3"]["questions"][0]["args"] == {"amount": 300}
    assert [(one["file"], one["line"]) for one in counts["set_aside"]] == [("in.jsonl", line) for line in range(5, 12)]
    assert [one["reason"].split(";")[0] for one in counts["set_aside"]][1:] == [
        'a line is a JSON object such as {"text": "Hello."}, not \'[1]\'',
        "nothing is done with 'txt'",
        "what the user says is text, not []",
        "what the user says is text, not [1]",
        "line 4 is on thread 't', too",
        "configurable 'thread_id' is LangGraph's own",
    ]


def test_the_same_command_runs_only_what_is_not_done(batch: Batch) -> None:
    lines = ({"text": "hi"}, {"text": "pay 300"}, {"turns": ["fail", "then"]}, {"text": "hi"})
    assert batch(*lines, code=1)["failed"] == 1
    assert sorted(told())[2] == ("3", "failed", None, "ConnectionError: nobody is there")
    Path("mended").touch()
    (paused,) = [one["thread"] for one in results() if one["status"] == "paused"]
    assert CliRunner().invoke(app, ["threads", "approve", paused]).exit_code == 0
    asked = Path("asked.txt").read_text().splitlines()
    assert ran(batch(*lines)) == (2, 2, 0, 0)
    assert Path("asked.txt").read_text().splitlines() == [*asked, "fail", "then"]
    assert sorted(told()) == [
        ("1", "done", "1: hi", None),
        ("2", "done", "1: paid 300", None),
        ("3", "done", "2: then", None),
        ("4", "done", "1: hi", None),
    ]
    Path("out.jsonl").unlink()
    assert (ran(batch(*lines)), len(results())) == ((4, 0, 0, 0), 4)
    assert len(Path("asked.txt").read_text().splitlines()) == len(asked) + 2


def test_a_killed_batch_loses_nothing_and_says_nothing_twice(batch: Batch) -> None:
    lines = [{"text": text} for text in ("one", "kill", "three")]
    Path("in.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    killed = warm.run("from threadmill.cli.main import main; main()", *COMMAND)
    assert killed.returncode == -9, killed.stderr
    with Path("out.jsonl").open("a") as half:
        half.write('{"id": "2", "thr')
    assert batch(*lines) | {"set_aside": 0} == {
        "done": 2,
        "already": 1,
        "paused": 0,
        "failed": 0,
        "set_aside": 0,
        "out": "out.jsonl",
    }
    assert told() == [(str(place), "done", f"1: {line['text']}", None) for place, line in enumerate(lines, 1)]
    assert Path("asked.txt").read_text().split() == ["one", "kill", "kill", "three"]
    with open_store("sqlite:///runs.db") as store:
        threads = [thread.thread for thread in list_threads(store)]
        assert [len(read_messages(store, thread)) for thread in threads] == [2, 2, 2]


def test_ctrl_c_keeps_what_is_finished(batch: Batch) -> None:
    lines = [{"text": text} for text in ("one", "stop", "three")]
    batch(*lines, code=130)
    assert "1: one" in [answer for _, _, answer, _ in told()]
    batch(*lines)
    assert sorted(told()) == [(str(place), "done", f"1: {one['text']}", None) for place, one in enumerate(lines, 1)]


def test_a_line_goes_on_with_a_thread_that_there_is(batch: Batch) -> None:
    from threadmill.cli.agents import open_agent

    with open_store("sqlite:///runs.db") as store:
        run_thread(open_agent(store, "shop.py:shop"), "t", "hi")
    batch({"text": "more", "thread": "t", "metadata": {"task": "x7"}})
    batch({"text": "still more", "thread": "t"})
    assert told() == [("1", "done", "3: still more", None)]
    with open_store("sqlite:///runs.db") as store:
        (thread,) = list_threads(store, task="x7")
    assert (thread.thread, thread.turns) == ("t", 3)


def test_what_else_the_files_may_be_is_refused(batch: Batch, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'none\.jsonl' cannot be read"):
        read_inputs(Path("none.jsonl"), [])
    for notes in ("my notes\n", "my notes"):
        Path("out.jsonl").write_text(notes)
        with pytest.raises(BadInput, match=r"'out\.jsonl' holds something else than results of a batch"):
            batch({"text": "hi"})
        assert Path("out.jsonl").read_text() == notes
    os.remove("out.jsonl")
    Path("out.jsonl").symlink_to("in.jsonl")
    batch({"text": "hi"}, code=2)
