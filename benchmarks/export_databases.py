"""Databases for the benchmark of the export: threads of our agent with recorded tokens, and of a plain LangGraph agent.

A few threads of each are run, by a scripted model; the others are copies of their rows, in which the thread's number,
which stands in ids and texts, is another one of the same length. So every thread has messages and ids of its own.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from threadmill.checkpoints import Store, open_store
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import Trace, write_trace

RUN = 8
"""Threads that are run; the others are copies."""
ASKED = "Order T{number:06d}-{turn} was to arrive on Monday, and nobody rang my bell. Where is it now? " * 2
CALLED = "I look up where the parcel of order T{number:06d}-{turn} was seen last, and who had it in hand. " * 2
FOUND = "It left the depot at 8:40, was scanned at the hub at 14:05, and waits for its next van since then. " * 2
TOLD = "Your parcel T{number:06d}-{turn} is at the hub, leaves it this evening, and comes tomorrow before noon. " * 2


@tool
def look_up(order: str) -> str:
    """Look up where an order is."""
    return FOUND


def build_renderer() -> Renderer:
    """A byte-level BPE of 600 tokens that knows these texts, with the chat template of Qwen2.5."""
    from importlib import resources

    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, special_tokens=[], show_progress=False)
    bpe.train_from_iterator([text.format(number=3, turn=0) for text in (ASKED, CALLED, FOUND, TOLD)] * 20, trainer)
    special = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    bpe.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    bpe.add_tokens([AddedToken(text, normalized=False) for text in ("<tool_call>", "</tool_call>")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = (resources.files("trl") / "chat_templates" / "qwen2_5.jinja").read_text(encoding="utf-8")
    return Renderer(tokenizer)


class Speaker:
    """Answers one thread: a call, then the answer, again and again; with traces if there is a ``renderer``."""

    def __init__(self, number: int, renderer: Renderer | None = None) -> None:
        self.number, self.renderer = number, renderer

    def __call__(self, messages: list[BaseMessage]) -> AIMessage:
        made = sum(message.type == "ai" for message in messages)
        about = {"number": self.number, "turn": made // 2}
        id_ = f"T{self.number:06d}-a{made}"
        if made % 2:
            said = AIMessage(TOLD.format(**about), id=id_)
        else:
            call = {"name": "look_up", "args": {"order": "T{number:06d}-{turn}".format(**about)}, "id": f"c{made}"}
            said = AIMessage(CALLED.format(**about), id=id_, tool_calls=[{**call, "type": "tool_call"}])
        if self.renderer is None:
            return said
        prompt = self.renderer.prompt(messages, None)
        row = self.renderer.training_rows([*messages, said])[-1]
        sampled = row.ids[row.turns[-1].low : row.turns[-1].high]
        logprobs = tuple(-0.01 - (token * 37 % 101) / 50 for token in sampled)
        trace = Trace("shop.think@0001", prompt.delta_ids, sampled, logprobs, (), prompt.restart, digest=prompt.digest)
        return said.model_copy(update={"response_metadata": {"trace": write_trace(trace)}})


def build_ours(number: int, renderer: Renderer | None) -> Any:
    """Our agent, uncompiled."""
    slot = Slot.fixed("shop.think", ScriptedModel(Speaker(number, renderer)), "shop.think@0001")
    return build_react(slot, [look_up], name="shop")


def build_plain(number: int) -> Any:
    """LangGraph's own example of a loop, uncompiled: nothing of ours."""
    speaker = Speaker(number)
    graph = StateGraph(MessagesState)
    graph.add_node("chatbot", lambda state: {"messages": [speaker(state["messages"])]})
    graph.add_node("tools", ToolNode([look_up]))
    graph.add_edge(START, "chatbot")
    graph.add_conditional_edges("chatbot", tools_condition)
    graph.add_edge("tools", "chatbot")
    return graph


def write_database(url: str, kind: str, threads: int, turns: int, renderer: Renderer) -> None:
    """Fill the new database at ``url`` with ``threads`` of the kind ``ours`` or ``plain``, of ``turns`` model calls."""
    with saver_at(url, kind) as saver:
        for number in range(min(threads, RUN)):
            building = build_ours(number, renderer) if kind == "ours" else build_plain(number)
            graph = building.compile(checkpointer=saver)
            config = {"configurable": {"thread_id": thread_name(number)}, "metadata": {"agent": "shop"}}
            for turn in range(turns // 2):
                asked = HumanMessage(ASKED.format(number=number, turn=turn), id=f"{thread_name(number)}-h{turn}")
                graph.invoke({"messages": [asked]}, config, durability="sync")
    (copy_in_sqlite if url.startswith("sqlite") else copy_in_postgres)(url, threads)


@contextmanager
def saver_at(url: str, kind: str) -> Iterator[Any]:
    """A saver for ``url``: ours, or LangGraph's own for the plain agent."""
    if kind == "ours":
        with open_store(url) as store:
            yield store.saver
    elif url.startswith("sqlite"):
        with SqliteSaver.from_conn_string(url.removeprefix("sqlite:///")) as saver:
            yield saver
    else:
        with PostgresSaver.from_conn_string(url) as saver:
            saver.setup()
            yield saver


def thread_name(number: int) -> str:
    """The id of a thread; it stands in its messages too."""
    return f"T{number:06d}"


def copy_in_sqlite(url: str, threads: int) -> None:
    """Make the threads that were not run."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        for table in ("checkpoints", "writes"):
            originals = [
                connection.execute(f"SELECT * FROM {table} WHERE thread_id = ?", (thread_name(number),)).fetchall()
                for number in range(min(threads, RUN))
            ]
            if not originals[0]:
                continue
            marks = ", ".join("?" * len(originals[0][0]))
            for number in range(RUN, threads):
                rows = renamed(originals[number % RUN], number % RUN, number)
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
            connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def copy_in_postgres(url: str, threads: int) -> None:
    """Make the threads that were not run."""
    import psycopg

    with psycopg.connect(url) as connection:
        for table, jsons in (("checkpoints", (5, 6)), ("checkpoint_blobs", ()), ("checkpoint_writes", ())):
            columns = [
                name
                for (name,) in connection.execute(
                    "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
                    (table,),
                ).fetchall()
            ]
            as_text = {"checkpoint", "metadata"} if jsons else set()
            listed = ", ".join(f"{name}::text" if name in as_text else name for name in columns).encode()
            for number in range(RUN, threads):
                query = b"SELECT " + listed + f" FROM {table} WHERE thread_id = %s".encode()
                rows = connection.execute(query, (thread_name(number % RUN),)).fetchall()
                with connection.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()) as copying:
                    for row in renamed(rows, number % RUN, number):
                        copying.write_row(row)
        connection.commit()
        connection.execute(b"ANALYZE")


def renamed(rows: Sequence[Sequence[Any]], old: int, new: int) -> Iterator[list[Any]]:
    """``rows`` with another thread's number."""
    texts = (thread_name(old), thread_name(new))
    content = (texts[0].encode(), texts[1].encode())
    for row in rows:
        yield [
            value.replace(*texts) if isinstance(value, str) else value.replace(*content) if isinstance(value, bytes) else value
            for value in row
        ]
