"""ShareGPT as LLaMA-Factory reads it: ``conversations`` of human, gpt, function_call and observation, in turn.

As documented at https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md. Calls of one answer are a list of
``{"name", "arguments"}``, and their results one observation, in the order of the calls, with the text between them
that LLaMA-Factory itself puts there when it reads OpenAI's form. Thinking stands in front, between its tags. There is
no place for text beside a call, for a failure, or to say that an answer is not to be trained.
"""

import json
from collections.abc import Sequence, Set
from typing import Any

from ...errors import CannotWrite
from ..branches import Branch
from .reading import UNASKED, Chat, Said, read_chat, refusal

BETWEEN = "\n</tool_response>\n<tool_response>\n"
"""Between the results of parallel calls."""
OPEN, CLOSE = "<think>", "</think>"


def sharegpt_record(branch: Branch, *, nodes: Set[str] | None = None) -> dict[str, Any]:
    """The record of ``branch``, all of whose answers are to be trained, by ``nodes`` if they are given.

    Raises:
        CannotWrite: the form has no place for what it holds.
    """
    return write_sharegpt(read_chat(branch, nodes), branch)


def write_sharegpt(chat: Chat, branch: Branch) -> dict[str, Any]:
    """The record of a conversation; ``system`` and ``tools`` are empty where there are none."""
    said = list(chat.said)
    system = said.pop(0).text if said[0].role == "system" else ""
    try:
        turns = _turns(said)
    except CannotWrite as error:
        raise refusal(error.reason, branch) from error
    tools = json.dumps([dict(function) for function in chat.tools], ensure_ascii=False) if chat.tools else ""
    return {"conversations": turns, "system": system, "tools": tools}


def _turns(said: Sequence[Said]) -> list[dict[str, str]]:
    turns: list[dict[str, str]] = []
    results: dict[str, str] = {}
    asked: list[str] = []
    for one in said:
        if one.role == "system":
            raise CannotWrite("a second system message")
        if one.untrained:
            raise CannotWrite(one.untrained)
        if one.role == "tool":
            results[one.call] = one.text
            if len(results) == len(asked):
                turns.append({"from": "observation", "value": _observation([results[id_] for id_ in asked])})
                results = {}
            continue
        if one.name:
            raise CannotWrite("the name of a person who speaks")
        asked = [str(call["id"]) for call in one.calls]
        turn = _answer(one) if one.role == "assistant" else {"from": "human", "value": one.text}
        answers = one.role == "assistant"
        if answers and not turns:
            raise CannotWrite(UNASKED)
        if answers == (len(turns) % 2 == 0):
            raise CannotWrite("two answers in a row" if answers else "a person who speaks where an answer is due")
        turns.append(turn)
    return turns


def _answer(said: Said) -> dict[str, str]:
    if said.text and said.calls:
        raise CannotWrite("text beside a call")
    if any(tag in text for tag in (OPEN, CLOSE) for text in (said.text, said.thinking)):
        raise CannotWrite("text that spells the tags of thinking")
    thought = f"{OPEN}\n{said.thinking}\n{CLOSE}\n\n" if said.thoughts else ""
    if not said.calls:
        return {"from": "gpt", "value": thought + said.text}
    calls = [{"name": call["name"], "arguments": call["args"]} for call in said.calls]
    value = json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False)
    return {"from": "function_call", "value": thought + value}


def _observation(results: Sequence[str]) -> str:
    if any(BETWEEN in result for result in results):
        raise CannotWrite("results that spell what stands between results")
    return BETWEEN.join(results)
