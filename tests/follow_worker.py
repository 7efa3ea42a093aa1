"""Processes that serve one database and follow its alias: what ``test_follow_processes.py`` starts.

    python follow_worker.py

imports everything once, then reads lines such as ``{"url": …, "folder": …, "count": 3}`` and forks so many workers for
each. Worker 1 answers chats without end, does what is appended to ``1.todo`` in the folder, and appends a line to
``1.done`` for every run: its thread, what was said, when it began and ended, the versions that spoke in it. The end of
stdin ends them all.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool, tool
from langgraph.graph import END, START, StateGraph
from threadmill.checkpoints import Store, open_store
from threadmill.graphs import AgentState, answer_thread, continue_thread, read_outcome, run_thread
from threadmill.graphs.react import wants_call
from threadmill.nodes import Slot
from threadmill.nodes.act import make_act
from threadmill.nodes.models.trace import read_trace
from threadmill.nodes.observe import make_observe
from threadmill.nodes.think import make_think
from threadmill.nodes.tool import make_tool
from threadmill.training.follow import follow
from threadmill.training.slots import open_slot

SLOT = "desk.think"
LANES = 2
"""Chats at a time."""
PAUSE_S = 0.05
LAZY = ["threadmill.nodes.models.local", "threadmill.checkpoints.postgres", "threadmill.checkpoints.lease_postgres"]
LAZY += ["alembic.command", "sqlalchemy.dialects.postgresql.psycopg", "transformers.models.llama.modeling_llama"]
LAZY += ["transformers.models.auto.modeling_auto", "transformers.tokenization_utils_tokenizers"]


def make_book(folder: Path) -> BaseTool:
    @tool
    def book(thing: str) -> str:
        """Book; what is slow takes until there is a file ``go``."""
        (folder / f"{thing}.begun").touch()
        while thing.startswith("slow") and not (folder / "go").exists():
            time.sleep(0.01)
        return f"booked {thing}"

    return book


def propose(state: AgentState) -> dict[str, Any]:
    """What tiny weights have not learnt: to call the tool, once, when somebody says ``slow …`` or ``ask …``."""
    messages = state.get("messages", [])
    said = next(message.text for message in reversed(messages) if isinstance(message, HumanMessage))
    if said == "hello" or len(run_of(messages)) > 1:
        return {}
    call = {"name": "book", "args": {"thing": said}, "id": said}
    return {"messages": [messages[-1].model_copy(update={"tool_calls": [call]})]}


def run_of(messages: Sequence[Any]) -> list[Any]:
    """The messages since the last of a human, newest first."""
    return list(takewhile(lambda message: not isinstance(message, HumanMessage), reversed(messages)))


def build(slot: Slot, folder: Path) -> StateGraph[AgentState]:
    """The ReAct agent with ``propose`` behind ``think``."""
    tools = [make_book(folder)]
    graph = StateGraph(AgentState)
    graph.add_node("observe", make_observe([slot]), metadata={"agent": "desk"})
    graph.add_node("think", make_think(slot, []))
    graph.add_node("propose", propose)
    graph.add_node("act", make_act(tools, lambda tool, args: "who pays?" if args["thing"].startswith("ask") else None))
    graph.add_node("tool", make_tool(tools), input_schema=AgentState)
    graph.add_edge(START, "observe")
    graph.add_edge("observe", "think")
    graph.add_edge("think", "propose")
    graph.add_conditional_edges("propose", wants_call, {True: "act", False: END})
    graph.add_edge("tool", "observe")
    return graph


class Worker:
    """One process."""

    def __init__(self, store: Store, slot: Slot, folder: Path, number: int) -> None:
        self.graph = build(slot, folder).compile(checkpointer=store.saver)
        self.todo = folder / f"{number}.todo"
        self.done = os.open(folder / f"{number}.done", os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        self.number = number
        self.stopping = False

    def serve(self) -> None:
        read = 0
        with ThreadPoolExecutor(16) as pool:
            lanes = [pool.submit(self.chat, lane) for lane in range(LANES)]
            while not self.stopping:
                time.sleep(PAUSE_S)
                lines = self.todo.read_text().splitlines(keepends=True) if self.todo.exists() else []
                for line in lines[read:]:
                    if line.endswith("\n"):  # else it is being written
                        read += 1
                        do = json.loads(line)
                        if do["do"] == "stop":
                            self.stopping = True
                        else:
                            pool.submit(self.run, **do)
            for lane in lanes:
                lane.result()

    def chat(self, lane: int) -> None:
        for number in count():
            if self.stopping:
                return
            self.run("run", f"chat-{self.number}-{lane}-{number // 3}", "hello")  # three turns in a thread
            time.sleep(PAUSE_S)

    def run(self, do: str, thread: str, text: str = "") -> None:
        begun = time.time()
        try:
            if do == "run":
                outcome = run_thread(self.graph, thread, text)
            elif do == "answer":
                questions = read_outcome(self.graph, thread).questions
                outcome = answer_thread(self.graph, thread, [{"id": q["id"], "type": "approve"} for q in questions])
            else:
                outcome = continue_thread(self.graph, thread)
            spoken = run_of(self.graph.get_state({"configurable": {"thread_id": thread}}).values["messages"])
            traces = [read_trace(message) for message in spoken if isinstance(message, AIMessage)]
            ended: dict[str, Any] = {"status": outcome.status, "said": outcome.versions[SLOT]}
            ended["spoke"] = sorted({trace.version if trace else "nobody" for trace in traces})
        except BaseException as error:
            ended = {"error": repr(error)}
        line = {"do": do, "thread": thread, "text": text, "begun": begun, "ended": time.time(), **ended}
        os.write(self.done, f"{json.dumps({'worker': self.number, 'pid': os.getpid(), **line})}\n".encode())


def live(url: str, folder: Path, number: int) -> None:
    signal.alarm(120)
    with open_store(url) as store:
        slot = open_slot(store, SLOT, max_new_tokens=4)
        with follow(store, [slot]):
            Worker(store, slot, folder, number).serve()


def fork(url: str, folder: str, number: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        live(url, Path(folder), number)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    for name in LAZY:
        with suppress(ImportError):
            import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    workers: list[int] = []
    for line in sys.stdin:
        asked = json.loads(line)
        workers += [fork(asked["url"], asked["folder"], number) for number in range(asked["count"])]
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
