"""ReAct as plain text, for base models without a chat template: Thought, Action, Observation, Final Answer.

It must be asked for by name, or its template be saved with the tokenizer. The prompt lists the tools and ends with
``Thought:``. What ends a turn: after an action the model goes on to ``Observation:``, which is sampled and trained, and
the tool's result follows it; a final answer ends with eos. A model that has not learnt that yet goes on to the next
``Question:``.

One call a turn is the format. Several, one below the other, are read and written all the same; what stands
behind the first ``Observation:`` is invented and not read. There is no place for text beside a call: it is
told as thought. An answer that gives neither action nor final answer is thinking only.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from .chat import as_chat, reasoning_of
from .family import Family, Said, SpokenCall
from .json_text import scan_json

_SECTION = re.compile(r"\n(Thought|Action|Action Input|Final Answer):")
_END = re.compile(r"\n(?:Observation|Question):")


def read(opening: str, text: str, end_of_turn: re.Pattern[str] = _END) -> Said:
    """Thoughts, final answer and calls, up to the first observation.

    >>> read("Thought:", ' Hm.\\nAction: look\\nAction Input: {"id": 1}\\nObservation:').calls[0].args
    '{"id": 1}'
    """
    end = end_of_turn.search(text)
    spoken, _, answer = text[: end.start() if end else len(text)].partition("\nFinal Answer:")
    lead, *rest = _SECTION.split(spoken)
    thoughts, calls = [lead.strip()], list[SpokenCall]()
    actions: list[tuple[str, str | None]] = []
    waiting = False  # an action for its input
    for section, body in zip(rest[::2], rest[1::2], strict=True):
        if section == "Action Input" and waiting:
            actions[-1] = (actions[-1][0], body)
        elif section != "Thought":
            actions.append((body, None) if section == "Action" else ("", body))
        else:
            thoughts.append(body.strip())
        waiting = section == "Action"
    last = rest[-2] if rest else ""
    open_ended = spoken == text and last != "Thought"
    for place, (name, args) in enumerate(actions):
        calls.append(_call(name, args, open_ended and place + 1 == len(actions)))
    return Said(answer.strip(), "\n".join(filter(None, thoughts)), tuple(calls))


def _call(name: str, args: str | None, open_ended: bool) -> SpokenCall:
    if args is None:
        return SpokenCall(None, "", name.strip(), "" if open_ended else "no Action Input", closed=not open_ended)
    raw = f"{name.strip()}\nAction Input: {args.strip()}".strip()
    if not name.strip():
        return SpokenCall(None, args.strip(), raw, "no Action")
    return SpokenCall(name.strip(), args.strip(), raw, closed=not open_ended or scan_json(args).state != "begun")


def write(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Of each answer its ``thought``, its ``actions`` as they stand below one another, and its ``content``."""
    chat = as_chat(messages)
    for message, told in zip(messages, chat, strict=True):
        if not isinstance(message, AIMessage):
            continue
        actions = [call["args"] or "" for call in message.invalid_tool_calls] + [
            f"{call['name']}\nAction Input: {json.dumps(call['args'], ensure_ascii=False)}"
            for call in message.tool_calls
        ]
        beside = message.text if actions else ""
        told["thought"] = "\n".join(filter(None, (reasoning_of(message), beside)))
        told["actions"] = actions
        told["content"] = "" if actions else message.text
    return chat


REACT_TEXT = Family(
    name="react-text",
    markers=("\nThought:", "\nAction:", "\nAction Input:", "\nObservation:", "\nFinal Answer:", "\nQuestion:"),
    read=read,
    write=write,
    template=Path(__file__).with_name("react_text.jinja").read_text(encoding="utf-8"),
    stop=("\nObservation:", "\nQuestion:"),
)
