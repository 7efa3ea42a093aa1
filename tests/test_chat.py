"""``threadmill chat``, driven through a pipe: what the person sees, what the thread holds, and how runs are stopped."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.outcomes import outcomes_of
from threadmill.checkpoints.reading import leaf_checkpoints, read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.cli.main import app
from threadmill.errors import CannotTravel, ThreadBusy
from threadmill.graphs import build_react, read_outcome, run_thread, stream_answers, stream_on, stream_thread
from threadmill.graphs.streamed import Stored, Token, Told
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.progress import report_progress
from threadmill.training.live import Watched
from threadmill.training.worlds.helpdesk.agent import build_helpdesk
from typer.testing import CliRunner

SHOP = '''
from langchain_core.messages import AIMessage
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.tools.ask_user import ask_for, make_ask_user

def look(item: str) -> str:
    """Look."""
    return f"{item}\\x1b[2J costs [b]30[/b]"

def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"

def call(name, **args):
    return {"name": name, "args": args, "id": f"{name}{args.get('amount', '')}"}

def say(messages):
    last = messages[-1]
    if last.type == "tool" and last.text == "guess":
        return AIMessage("", tool_calls=[call("ask_user", question="Which one, really?")])
    if last.type == "tool":
        return AIMessage(f"Done: {last.text}")
    match last.text.split():
        case ["look"]:
            return AIMessage("One moment.", tool_calls=[call("look", item="lamp")])
        case ["pay", *amounts]:
            return AIMessage("", tool_calls=[call("pay", amount=int(amount)) for amount in amounts])
        case ["ask"]:
            return AIMessage("", tool_calls=[call("ask_user", question="Which lamp?")])
        case ["fail"]:
            raise ConnectionError("nobody is there")
    return AIMessage(f"You said {last.text}, [red]{sum(m.type == 'human' for m in messages)}[/red].")

def rule(name, args):
    return "money" if name == "pay" else None

tools = [look, pay, make_ask_user()]
slot = Slot.fixed("shop.think", ScriptedModel(say), "shop.think@0001")
shop = build_react(slot, tools, name="shop", ask=ask_for(tools, rule))
'''


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A chat on the thread ``t``, line by line; what is seen, without times."""
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("threadmill.cli.chat_talk.user", lambda: "eva")

    def talk(*lines: str, code: int = 0) -> str:
        arguments = ["chat", "shop.py:shop", "--thread", "t"]
        done = CliRunner().invoke(app, arguments, input="".join(f"{line}\n" for line in lines), catch_exceptions=False)
        assert done.exit_code == code, done.output
        return re.sub(r"\d+ ms", "0 ms", done.stdout)

    return talk


def texts(thread: str = "t") -> list[str]:
    with open_store("sqlite:///runs.db") as store:
        return [message.text for message in read_messages(store, thread)]


def test_a_turn_is_shown_as_it_happens_and_steers_no_terminal(chat: Callable[..., str]) -> None:
    assert chat("look") == (
        "shop · thread t · /help lists the commands\n"
        "> look\n"
        "One moment.\n"
        "  [shop.think@0001]\n"
        '→ look(item="lamp")\n'
        "← look (0 ms): lamp\\x1b[2J costs [b]30[/b]\n"
        "Done: lamp\\x1b[2J costs [b]30[/b]\n"
        ">\n"
        "come back with: threadmill chat shop.py:shop --thread t\n"
    )


def test_a_line_that_ends_in_a_backslash_goes_on_in_the_next(chat: Callable[..., str]) -> None:
    assert "You said two\nlines, [red]1[/red]." in chat("two\\", "lines")


def test_several_questions_are_answered_in_turn_and_together(chat: Callable[..., str]) -> None:
    seen = chat("pay 300 5 7 9", "hm", "e", '{"amount": 60}', "r too much", "s by hand", "a")
    assert '? human: pay(amount=300): money (1 of 4)\na/e/r/s> hm\n[a]pprove · [e]dit {"arg": value}' in seen
    assert 'a/e/r/s> e\nargs> {"amount": 60}\n? human: pay(amount=5): money (2 of 4)' in seen
    assert "  edited by eva\n→ pay(amount=60)" in seen
    assert "← pay (rejected, by eva, 0 ms): a person refused this call: too much" in seen
    assert texts()[2:] == ["paid 60", "a person refused this call: too much", "by hand", "paid 9", "Done: paid 9"]


def test_a_question_that_was_left_open_is_asked_when_the_chat_opens(chat: Callable[..., str]) -> None:
    assert chat("ask", "/quit").count("? Which lamp?") == 1
    seen = chat("/historie", "guess", "the red one", "/quit")
    assert seen.count("? Which one, really?") == 1
    assert "? Which lamp?\nanswer> /historie\nerror: there is no command /historie; did you mean /history?" in seen
    assert "← ask_user (responded, by eva, 0 ms): the red one\nDone: the red one\n" in seen


def test_an_answer_that_does_not_fit_is_asked_for_again(chat: Callable[..., str]) -> None:
    seen = chat("pay 300", 'e {"amount": "much"}', "e {", "s", "a")
    assert "error: invalid arguments for pay: amount: 'much' is not of type 'integer'" in seen
    assert "error: '{' is not JSON" in seen
    assert seen.count("? human: pay(amount=300): money") == 2
    assert "error: what should the tool have said? write it behind the s" in seen
    assert texts()[-1] == "Done: paid 300"


def test_undo_fork_and_retry_begin_other_branches_and_delete_nothing(chat: Callable[..., str]) -> None:
    seen = chat("one", "two", "/undo", "three", "/retry", "/fork", "pay 5", "/undo", "/history", "/tree")
    assert "before “two”\n" in seen
    assert "before “pay 5”\n" in seen
    assert texts() == ["one", "You said one, [red]1[/red]."]
    assert re.search(r"> /history\nbegin +one\n> /tree", seen)
    with open_store("sqlite:///runs.db") as store:
        leaves = leaf_checkpoints(store, "t")
        ends = [read_messages(store, "t", leaf)[-1].text for leaf in sorted(leaves)]
    said = ["You said two, [red]2[/red].", "You said three, [red]2[/red].", "You said three, [red]2[/red]."]
    assert ends == [*said, "", "You said one, [red]1[/red]."]


def test_before_the_first_turn_another_thread_begins(chat: Callable[..., str]) -> None:
    assert "the new thread t-2 begins" in chat("one", "/undo", "two")
    assert (texts("t")[0], texts("t-2")[0]) == ("one", "two")


def test_a_branch_and_a_message_are_labelled(chat: Callable[..., str]) -> None:
    seen = chat("one", "/label success 1", "/label message feedback good", "/label joy 1")
    assert "error: Invalid value for KIND: 'joy' is none of reward, success" in seen
    with open_store("sqlite:///runs.db") as store:
        (leaf,) = leaf_checkpoints(store, "t")
        said = read_messages(store, "t")[-1].id
        told = [(one.checkpoint, one.message, one.kind, one.value) for one in labels_of(store, ["t"])["t"]]
    assert told == [(leaf, None, "success", 1.0), (None, said, "feedback", "good")]


def test_a_failed_run_is_told_counted_and_can_be_taken_back(chat: Callable[..., str]) -> None:
    seen = chat("one", "fail", "/continue", code=1)
    why = "error: ConnectionError: nobody is there (shop.py, line 32)"
    assert seen.count(f"{why}\nstopped half-way: /continue goes on, /undo") == 2
    with open_store("sqlite:///runs.db") as store:
        ended = outcomes_of(store, "shop.think", "shop.think@0001")
        assert [one.why for one in ended] == ["", *["ConnectionError: nobody is there"] * 2]
    assert "stopped half-way: /continue goes on" in chat("/undo", "two")
    assert texts() == ["one", "You said one, [red]1[/red].", "two", "You said two, [red]2[/red]."]


class Slow(GenericFakeChatModel):
    """Says its words one by one."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def speaking(store: Store, *answers: AIMessage, tools: Any = ()) -> Any:
    slot = Slot.fixed("shop.think", Slow(messages=iter(answers)), "shop.think@0001")
    return build_react(slot, tools, name="shop").compile(checkpointer=store.saver, name="shop")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def test_the_tokens_joined_are_the_message_that_is_stored(store: Store) -> None:
    agent = speaking(store, AIMessage("It  costs\n30, \tI think.", id="a"))
    *events, outcome = stream_thread(agent, "t", "Hi.")
    tokens = [event for event in events if isinstance(event, Token)]
    (stored,) = [event.message for event in events if isinstance(event, Stored)]
    assert len(tokens) > 5
    assert {token.message for token in tokens} == {stored.id}
    assert "".join(token.text for token in tokens) == stored.text == outcome.answer  # pyright: ignore[reportAttributeAccessIssue]
    assert outcome == read_outcome(agent, "t")


def test_a_stopped_run_goes_on_later_and_nothing_is_noted_of_the_model(store: Store) -> None:
    stop, more = Event(), Event()

    class Waiting(Slow):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            for place, chunk in enumerate(super()._stream(*args, **kwargs)):
                if place == 2:
                    more.wait(5)
                yield chunk

    model = Waiting(messages=iter([AIMessage("one two three"), AIMessage("four")]))
    graph = build_react(Slot.fixed("shop.think", model, "shop.think@0001"), [], name="shop")
    watched = Watched(store, graph.compile(checkpointer=store.saver, name="shop"))
    seen = []
    for event in watched.stream("t", "Count.", stop=stop):
        seen.append(event)
        if isinstance(event, Token) and event.text == "one":
            stop.set()
            more.set()
    assert (seen[-1].status, "three" in [getattr(one, "text", "") for one in seen]) == ("failed", False)
    assert outcomes_of(store, "shop.think", "shop.think@0001") == []
    *_, outcome = watched.stream_on("t")
    assert (outcome.status, outcome.answer) == ("done", "four")  # pyright: ignore[reportAttributeAccessIssue]
    assert [one.why for one in outcomes_of(store, "shop.think", "shop.think@0001")] == [""]


def test_tools_are_heard_and_nobody_else_drives_the_thread_meanwhile(store: Store) -> None:
    def work(item: str) -> str:
        """Work."""
        report_progress("half", 1, 2)
        return "made"

    call = {"name": "work", "args": {"item": "lamp"}, "id": "c1"}

    def say(messages: Any) -> AIMessage:
        return AIMessage("", tool_calls=[call]) if messages[-1].type == "human" else AIMessage("Made.")

    slot = Slot.fixed("shop.think", ScriptedModel(say), "shop.think@0001")
    asks = build_react(slot, [work], name="shop", ask=lambda name, args: "work").compile(checkpointer=store.saver)
    *_, paused = stream_thread(asks, "t", "Work.")
    events = stream_answers(asks, "t", [{"id": "c1", "type": "approve"}])
    first = next(events)
    with pytest.raises(ThreadBusy):
        run_thread(asks, "t", "Quick.")
    told = [event.event["event"] for event in [first, *events] if isinstance(event, Told)]
    assert (paused.status, told) == ("paused", ["started", "progress", "finished"])  # pyright: ignore[reportAttributeAccessIssue]
    assert [one.status for one in stream_on(asks, "t")] == ["done"]  # pyright: ignore[reportAttributeAccessIssue]


def test_ctrl_c_stops_the_run_and_not_the_chat(chat: Callable[..., str]) -> None:
    shop = Path("shop.py")
    press = f"    __import__('os').kill({os.getpid()}, {signal.SIGINT:d})\n"
    shop.write_text(shop.read_text().replace('    return f"paid', f'{press}    return f"paid'))
    before = signal.getsignal(signal.SIGINT)
    seen = chat("pay 5", "a", "/continue", "/quit")
    assert "stopping after what runs now; Ctrl-C again leaves at once" in seen
    assert "stopped half-way: /continue goes on, /undo takes the turn back\n> /continue\nDone: paid 5\n" in seen
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_whose_shop_is_gone_is_not_run_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = {"name": "refund", "args": {"order_id": "O1", "amount": 300}, "id": "c1"}
    with open_store("sqlite:///runs.db") as store:
        model = ScriptedModel([AIMessage("", tool_calls=[call])])
        graph = build_helpdesk(Slot.fixed("helpdesk.think", model, "seed"))
        agent = graph.compile(checkpointer=store.saver, name="helpdesk")
        run_thread(agent, "t", "Refund O1.", configurable={"world": "gone.db"})
        at = leaf_checkpoints(store, "t")[0]
    for command in (("approve", "t"), ("continue", "t"), ("fork", "t", "--at", at, "--run")):
        with pytest.raises(CannotTravel, match=r"thread 't' worked on the shop gone\.db, which is not there"):
            CliRunner().invoke(app, ["threads", *command], catch_exceptions=False)
    seen = CliRunner().invoke(app, ["chat", "helpdesk", "--thread", "t"], input="a\n").stdout
    assert "error: thread 't' worked on the shop gone.db" in seen


def test_files_go_with_what_the_user_says(chat: Callable[..., str]) -> None:
    Path("list.txt").write_text("one lamp")
    done = CliRunner().invoke(app, ["run", "shop.py:shop", "Count.", "--thread", "t", "--attach", "list.txt"])
    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"Count\.\n\nlist\.txt:\n\[data \w+ from a file: .*\]\none lamp\n\[end .*\]", texts()[0])
