"""ToolBench answers (Qin et al. 2023, github.com/OpenBMB/ToolBench): a search through a tree of thoughts and calls.

A row becomes one thread: what the search tried is its branches, in the order in which it did. A node is a thought, the
name of a call, or its arguments with the observation; a thought and the call after it are one answer. A path that
gives an answer in a row with ``win`` is a success, every other one a failure. The prompt is the one of
``train_messages``, which rows without an answer lack; the prompts that ask for something else at a node tried before
are not in the tree, so that such an answer stands as if it had been the first one there. Where chains were tried and no
tree searched (``trys``), each is a path; that is built from the public code of ToolBench, no sample at hand.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall, invalid_tool_call

from ..labels import Kind
from .calls import looks_failed, read_call
from .conversation import name_thread, spell
from .files import suffix_of
from .record import BadRow, Record
from .schemas import read_tools

NAME = "toolbench"
WITHOUT_ERROR = (0, 3, 4)
"""Codes of observations: done, answer given, given up."""
UNKNOWN_TOOL = 1
ANSWERED = 3


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like an answer of ToolBench?"""
    return "answer_generation" in row and ("tree" in row or "trys" in row)


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of one search.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    about, tree = row.get("answer_generation"), row.get("tree")
    if not isinstance(about, Mapping):
        raise BadRow("answer_generation is no object")
    root = _chains(row["trys"]) if "trys" in row else tree.get("tree") if isinstance(tree, Mapping) else None
    if not isinstance(root, Mapping):
        raise BadRow("there is no tree")
    thread = _thread(row, file)
    search = _Search(thread, won=row.get("win") is True)
    prompt = _prompt(about)
    for message in prompt:
        search.add(message, len(search.messages) - 1)
    search.walk(root, len(search.messages) - 1)
    if len(search.messages) == len(prompt):
        raise BadRow("nothing was tried in the tree")
    finish = about.get("finish_type")
    return Record(
        thread=thread,
        agent="toolbench",
        task=thread,
        success=float(search.won),
        messages=tuple(search.messages),
        parents=tuple(search.parents),
        endings=tuple(search.endings),
        tools=read_tools(about.get("function")),
        metadata={"termination_reason": finish} if isinstance(finish, str) and about.get("final_answer") else {},
    )


class _Search:
    """The messages of a tree, each with its place and the one before it."""

    def __init__(self, thread: str, *, won: bool) -> None:
        self.won = won
        self.messages: list[BaseMessage] = []
        self.parents: list[int] = []
        self.endings: list[tuple[str, Kind, float]] = []
        self._thread = thread

    def add(self, message: BaseMessage, parent: int) -> int:
        """Add ``message`` behind ``parent`` and return its place."""
        message.id = f"{self._thread}:{len(self.messages)}"
        self.messages.append(message)
        self.parents.append(parent)
        return len(self.messages) - 1

    def walk(self, root: Mapping[str, Any], at: int) -> None:
        """Add all that is below ``root``, first tried first; without recursion, because trees are deep."""
        waiting: list[tuple[Mapping[str, Any], int, str, str]] = [(root, at, "", "")]
        while waiting:
            node, at, thought, name = waiting.pop()
            kind, text = node.get("node_type"), node.get("description")
            if not isinstance(text, str):
                raise BadRow(f"a node of the tree has no text: {text!r:.100}")
            if kind == "Thought":
                thought = f"{thought}\n\n{text}" if thought else text
            elif kind == "Action":
                name = text
            elif kind == "Action Input":
                at = self._call(thought, name, node, at) if name or text else at
                thought = name = ""
            else:
                raise BadRow(f"a node of the tree is of the unknown kind {kind!r}")
            children = node.get("children")
            if not isinstance(children, list) or not all(isinstance(child, Mapping) for child in children):
                raise BadRow("the children of a node are no list of nodes")
            if not children:
                self._end(node, at, thought, name)
            waiting += [(child, at, thought, name) for child in reversed(children)]

    def _call(self, thought: str, name: str, node: Mapping[str, Any], at: int) -> int:
        asked = read_call(name, node["description"])
        answer = AIMessage(thought)
        own = f"{self._thread}:{len(self.messages)}:0"
        if asked.error:
            answer.invalid_tool_calls = [invalid_tool_call(name=name, args=asked.raw, id=own, error=asked.error)]
        else:
            answer.tool_calls = [ToolCall(name=name, args=asked.args, id=own, type="tool_call")]
        at = self.add(answer, at)
        code = node.get("observation_code")
        told = spell(node.get("observation") or "")
        failed = code not in WITHOUT_ERROR or looks_failed(told)
        kind = (
            "unknown_tool" if code == UNKNOWN_TOOL else "invalid" if asked.error else "failed" if failed else "result"
        )
        result = ToolMessage(
            told,
            tool_call_id=own,
            name=name,
            status="success" if kind == "result" else "error",
            additional_kwargs={"kind": kind},
        )
        return self.add(result, at)

    def _end(self, leaf: Mapping[str, Any], at: int, thought: str, name: str) -> None:
        """The end of a path; a thought that nothing followed is an answer, the name of a call without more is left."""
        if thought:
            at = self.add(AIMessage(thought), at)
        good = self.won and leaf.get("observation_code") == ANSWERED
        self.endings.append((str(self.messages[at].id), "success", float(good)))


def _prompt(about: Mapping[str, Any]) -> list[BaseMessage]:
    """What the search began with: the messages before the first answer, or the query alone."""
    rounds = about.get("train_messages")
    first = rounds[0] if isinstance(rounds, list) and rounds else None
    said: list[BaseMessage] = []
    for message in first if isinstance(first, list) else []:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, Mapping) else (None, None)
        if role not in ("system", "user") or not isinstance(content, str):
            break
        said.append(SystemMessage(content) if role == "system" else HumanMessage(content))
    if any(isinstance(message, HumanMessage) for message in said):
        return said
    if not isinstance(about.get("query"), str):
        raise BadRow("answer_generation has neither a query nor messages")
    return [HumanMessage(about["query"])]


def _chains(tried: Any) -> Mapping[str, Any]:
    """Chains as a tree that splits at its root."""
    if not isinstance(tried, list) or not all(isinstance(one, Mapping) for one in tried):
        raise BadRow("trys is no list of chains")
    children = [_nested(one.get("chain")) for one in tried]
    return {"node_type": "Action Input", "description": "", "children": children}


def _nested(chain: Any) -> Mapping[str, Any]:
    if not isinstance(chain, list) or not chain or not all(isinstance(node, Mapping) for node in chain):
        raise BadRow("a chain is no list of nodes")
    below: list[Mapping[str, Any]] = []
    for node in reversed(chain):
        below = [{**node, "children": below}]
    return below[0]


def _thread(row: Mapping[str, Any], file: Path) -> str:
    """From the name of the answer's own file, which the row may name."""
    path = row.get("upstream_path")
    if suffix_of(file) == ".json" and path is None:
        path = f"{file.parent.name}/{file.name.removesuffix('.gz')}"
    if not isinstance(path, str) or not path:
        return name_thread(NAME, row)
    named = PurePosixPath(path)
    return "-".join([NAME, *([named.parent.name.removesuffix("_answer")] if named.parent.name else []), named.stem])
