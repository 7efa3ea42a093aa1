"""An agent that pays, driven to its end by processes that die on the way: what ``test_crash.py`` starts.

Orders come on stdin. Everything is imported once and every process is forked from here, before any database is open.
A job names a ``thread`` and the ``deaths`` that its processes die, one after the other; then one lives, unless
``lives`` is false; with ``is_async`` they use the async functions. The thread 'whole' comes first, without a death.
Into the folder go, by thread: ``.ledger`` (what was booked), ``.runs`` (every run of the tool), ``.exits``, ``.state``.
"""

import asyncio
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from importlib import import_module
from pathlib import Path
from threading import Event, Lock
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool
from threadmill.checkpoints import Store, open_store
from threadmill.errors import UnknownThread
from threadmill.graphs import (
    aanswer_thread,
    acontinue_thread,
    answer_thread,
    arun_thread,
    build_react,
    continue_thread,
    read_outcome,
    run_thread,
)
from threadmill.nodes import ScriptedModel, Slot

AT_ONCE = 3
TURNS = ["Pay the rent and the team.", "Pay the state."]
REPLIES = [
    {"rent": 700},
    {"ann": 1, "bob": 2, "cem": 3},
    "Rent and team are paid.",
    {"tax": 500, "fee": 20, "toll": 5},
    "The state is paid.",
]
"""What the model says: text, or the payments it proposes together."""
ANSWERS = [
    {"id": "tax", "type": "edit", "args": {"account": "tax", "amount": 400}, "by": "eve", "at": "2026-01-01T00:00:00"},
    {"id": "fee", "type": "approve", "by": "eve", "at": "2026-01-01T00:00:00"},
]
STAGES = ["entered", "booked", "committed"]


def say(messages: list[BaseMessage]) -> AIMessage:
    place = sum(isinstance(message, AIMessage) for message in messages)
    reply = REPLIES[place]
    if isinstance(reply, str):
        return AIMessage(reply, id=f"ai{place}")
    calls = [
        {"name": "pay", "args": {"account": account, "amount": amount}, "id": account}
        for account, amount in reply.items()
    ]
    return AIMessage("", tool_calls=calls, id=f"ai{place}")


def ask(tool: str, args: dict[str, Any]) -> str | None:
    return "the state wants to be asked" if args["account"] in ("tax", "fee") else None


class Death:
    """When this process kills itself.

    ``{"before": "put", "n": 3}``: before its third ``saver.put``; likewise ``after`` and ``put_writes``.
    ``{"stages": {"ann": "booked", "bob": "entered"}}``: when ann and bob are that far; they wait there.
    ``{}``: never.
    """

    def __init__(self, how: dict[str, Any]) -> None:
        self.how = how
        self.counts = {"put": 0, "put_writes": 0}
        self.reached: dict[str, int] = {}
        self.account_of: dict[str, str] = {}
        self.lock = Lock()

    def watch(self, saver: Any) -> None:
        """Count what ``saver`` writes, and die there if that is how."""
        for name in self.counts:
            setattr(saver, name, self._counted(name, getattr(saver, name)))

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.lock:
                self.counts[name] += 1
                n = self.counts[name]
            if self.how.get("n") == n and self.how.get("before") == name:
                die()
            result = method(*args, **kwargs)
            if self.how.get("n") == n and self.how.get("after") == name:
                die()
            key = key_of(args[0]["configurable"]["thread_id"], args[2]) if name == "put_writes" else ""
            if key in self.account_of:
                self.reach(self.account_of[key], "committed")
            return result

        return counted

    def reach(self, account: str, stage: str) -> None:
        """The payment to ``account`` has come to ``stage``: die if that was the last, stay if it goes no further."""
        plan = self.how.get("stages", {})
        with self.lock:
            self.reached[account] = STAGES.index(stage)
            if plan and all(self.reached.get(name, -1) >= STAGES.index(plan[name]) for name in plan):
                die()
        if plan.get(account) == stage != "committed":
            Event().wait()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def make_pay(ledger: Path, runs: Path, finished: set[str], death: Death) -> BaseTool:
    """A tool that books a payment once per idempotency key and logs every run of itself.

    A run of a call that is among the ``finished`` ones of earlier processes is logged as "again".
    """

    @tool
    def pay(account: str, amount: int, config: RunnableConfig) -> str:
        """Pay."""
        key = config.get("configurable", {})["idempotency_key"]
        append(runs, f"{key} {account} {'again' if key in finished else 'due'}")
        death.account_of[key] = account
        death.reach(account, "entered")
        if not any(line.startswith(key) for line in lines(ledger)):
            append(ledger, f"{key} {account} {amount}")
        death.reach(account, "booked")
        return f"paid {amount} to {account}"

    return pay


def append(path: Path, line: str) -> None:
    file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(file, f"{line}\n".encode())
    os.fsync(file)
    os.close(file)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def live(url: str, folder: Path, thread: str, how: dict[str, Any], *, is_async: bool = False) -> None:
    """Drive ``thread`` to its end, from wherever the last process left it, or die as ``how`` says."""
    signal.alarm(60)
    death = Death(how)
    with open_store(url) as store:
        death.watch(store.saver)
        graph = build(store, folder, thread, death)
        drive(graph, thread, ASYNC if is_async else SYNC)
        values = graph.get_state({"configurable": {"thread_id": thread}}).values
        messages = [message.model_dump(mode="json") for message in values["messages"]]
        ended = {
            "messages": messages,
            "versions": values["versions"],
            "saved": death.counts,
            "imported": [*sys.modules],
        }
        (folder / f"{thread}.state").write_text(json.dumps(ended))


def key_of(thread: str, task: str) -> str:
    """The idempotency key that the call of LangGraph's ``task`` has."""
    return str(uuid5(NAMESPACE_OID, f"{thread}:{task}"))


def build(store: Store, folder: Path, thread: str, death: Death) -> Any:
    """The agent on ``store``, with the books of ``thread``."""
    finished = {
        key_of(thread, task)
        for checkpoint in store.saver.list({"configurable": {"thread_id": thread}})
        for task, channel, _ in checkpoint.pending_writes or []
        if channel == "messages"
    }
    pay = make_pay(folder / f"{thread}.ledger", folder / f"{thread}.runs", finished, death)
    slot = Slot.fixed("bank.think", ScriptedModel(say), "v1")
    return build_react(slot, [pay], ask=ask, name="bank").compile(checkpointer=store.saver)


SYNC = (run_thread, answer_thread, continue_thread)
ASYNC = tuple(lambda *given, go=go: asyncio.run(go(*given)) for go in (arun_thread, aanswer_thread, acontinue_thread))


def drive(graph: Any, thread: str, ways: tuple[Callable[..., Any], ...] = SYNC) -> None:
    """Do what the thread's state demands until both turns are done."""
    run, answer, go_on = ways
    for _ in range(10):
        try:
            status = read_outcome(graph, thread).status
        except UnknownThread:
            run(graph, thread, TURNS[0])
            continue
        messages = graph.get_state({"configurable": {"thread_id": thread}}).values.get("messages", [])
        said = sum(message.type == "human" for message in messages)
        if status == "paused":
            answer(graph, thread, ANSWERS)
        elif status == "failed":
            go_on(graph, thread)
        elif said < len(TURNS):
            run(graph, thread, TURNS[said])
        else:
            return
    raise RuntimeError(f"{thread!r} does not come to its end")


def fork(work: Callable[[], None]) -> int:
    """The id of a new process that does ``work`` and exits with 0, or with 1 if it raises."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def attend(
    url: str, folder: Path, thread: str, deaths: list[dict[str, Any]], *, lives: bool = True, is_async: bool = False
) -> None:
    """Let one process after the other drive ``thread``, until one brings it to its end."""
    exits: list[int] = []
    for how in [*deaths, {}] if lives else deaths:
        pid = fork(lambda how=how: live(url, folder, thread, how, is_async=is_async))
        exits.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        if exits[-1] != -signal.SIGKILL:
            break
    (folder / f"{thread}.exits").write_text(json.dumps(exits))


def warm_up(url: str, folder: Path) -> None:
    """Drive the thread 'whole' without a death, and import here what that took: the next processes need not."""
    attend(url, folder, "whole", [])
    for name in json.loads((folder / "whole.state").read_text())["imported"]:
        with suppress(ImportError):
            import_module(name)
    gc.freeze()  # or the first collection in every process would copy all of it


def carry_out(url: str, folder: Path, jobs: list[dict[str, Any]]) -> None:
    """Do all ``jobs``, some at once."""
    warm_up(url, folder)
    running = 0
    for job in jobs:
        if running == AT_ONCE:
            os.wait()
            running -= 1
        fork(lambda job=job: attend(url, folder, **job))
        running += 1
    while running:
        os.wait()
        running -= 1


def main() -> None:
    """One line of JSON on stdin is one order: ``url``, ``folder``, ``jobs``; it is answered by the line ``done``."""
    for line in sys.stdin:
        order = json.loads(line)
        try:
            carry_out(order["url"], Path(order["folder"]), order["jobs"])
            print("done", flush=True)
        except OSError as error:
            print(f"failed: {error!r}", flush=True)


if __name__ == "__main__":
    main()
