"""Databases for the benchmark of the export: threads of our agent with recorded tokens, and of a plain LangGraph agent.

A few threads of each are run, by a scripted model; the others are copies of their rows, in which the thread's number,
which stands in ids and texts, is another one of the same length. So every thread has messages and ids of its own.
"""

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from threadmill.checkpoints import open_store
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import Trace, write_trace

VERSION = "shop.think@0001"
RUN = 8
"""Threads that are run; the others are copies."""
WORDS = (
    "about after again all always another answer arrive ask away back before begin behind bell between bring call "
    "came carry change city close come could customer day depot did door down driver early evening every fast few "
    "find first follow found from give go good had hand hour house hub into keep kind know last late leave left "
    "letter line little long look made many more morning move name near need never new next night note now number "
    "often only open order other parcel part people place point quick rang read right road same say scan seem "
    "send sent set show side some soon stand start status still stop street take tell than then there thing think "
    "time today told tomorrow took try turn under until use van very wait was way week went were what where which "
    "while who will with word work write year"
).split()
LENGTH = 36
"""Words in a text: about 200 characters."""


def text_of(number: int, turn: int, who: str) -> str:
    """Something that nobody else says; the thread's number is in it."""
    chosen = random.Random(f"{number % RUN} {turn} {who}").choices(WORDS, k=LENGTH)
    return f"{thread_name(number)}-{turn}: {' '.join(chosen)}."


@tool
def look_up(order: str) -> str:
    """Look up where an order is."""
    thread, turn = order.split("-")
    return text_of(int(thread[1:]), int(turn), "tool")


def build_renderer() -> Renderer:
    """A byte-level BPE of 1,000 tokens that knows these words, with the chat template of Qwen2.5."""
    from importlib import resources

    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1000, initial_alphabet=alphabet, special_tokens=[], show_progress=False)
    bpe.train_from_iterator([text_of(n, n, "") for n in range(200)], trainer)
    special = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    bpe.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    bpe.add_tokens([AddedToken(text, normalized=False) for text in ("<tool_call>", "</tool_call>")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = (resources.files("trl") / "chat_templates" / "qwen2_5.jinja").read_text(encoding="utf-8")
    return Renderer(tokenizer)


class Speaker:
    """The model of one thread, which calls the tool each time it is asked; with traces if there is a ``renderer``."""

    def __init__(self, number: int, renderer: Renderer | None = None) -> None:
        self.number, self.renderer = number, renderer

    def __call__(self, messages: list[BaseMessage]) -> AIMessage:
        turn = sum(message.type == "ai" for message in messages)
        name = thread_name(self.number)
        call = {"name": "look_up", "args": {"order": f"{name}-{turn}"}, "id": f"c{turn}", "type": "tool_call"}
        said = AIMessage(text_of(self.number, turn, "ai"), id=f"{name}-a{turn}", tool_calls=[call])
        if self.renderer is None:
            return said
        prompt = self.renderer.prompt(messages, None)
        row = self.renderer.training_rows([*messages, said])[-1]
        sampled = row.ids[row.turns[-1].low : row.turns[-1].high]
        logprobs = tuple(-0.01 - (token * 37 % 101) / 50 for token in sampled)
        trace = Trace(VERSION, prompt.delta_ids, sampled, logprobs, (), prompt.restart, digest=prompt.digest)
        return said.model_copy(update={"response_metadata": {"trace": write_trace(trace)}})


def build_ours(number: int, renderer: Renderer | None) -> Any:
    """Our agent, uncompiled; a run is one model call and its tool."""
    slot = Slot.fixed("shop.think", ScriptedModel(Speaker(number, renderer)), VERSION)
    return build_react(slot, [look_up], name="shop", max_calls=1)


def build_plain(number: int) -> Any:
    """The same with nothing of ours, uncompiled: LangGraph's own state and nodes."""
    speaker = Speaker(number)
    graph = StateGraph(MessagesState)

    def chatbot(state: MessagesState) -> dict[str, Any]:
        return {"messages": [speaker([*state["messages"]])]}

    graph.add_node("chatbot", chatbot)
    graph.add_node("tools", ToolNode([look_up]))
    graph.add_edge(START, "chatbot")
    graph.add_edge("chatbot", "tools")
    return graph


def write_database(url: str, kind: str, threads: int, turns: int) -> None:
    """Fill the new database at ``url`` with ``threads`` of the kind ``ours`` or ``plain``, of ``turns`` model calls."""
    renderer = build_renderer()
    with saver_at(url, kind) as saver:
        for number in range(min(threads, RUN)):
            building = build_ours(number, renderer) if kind == "ours" else build_plain(number)
            graph = building.compile(checkpointer=saver)
            for turn in range(turns):
                text = text_of(number, turn, "human")
                if kind == "ours":
                    run_thread(graph, thread_name(number), text)
                else:
                    config = {"configurable": {"thread_id": thread_name(number)}}
                    graph.invoke({"messages": [HumanMessage(text)]}, config)
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
                    "SELECT column_name FROM information_schema.columns WHERE table_name = %s "
                    "ORDER BY ordinal_position",
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
            value.replace(*texts)
            if isinstance(value, str)
            else value.replace(*content)
            if isinstance(value, bytes)
            else value
            for value in row
        ]
