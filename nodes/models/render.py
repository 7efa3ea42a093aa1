"""From messages to the token ids that a model must see, continuing recorded ids wherever they hold.

What was sampled is never tokenised again: the prompt of a later turn starts with the exact ids of the
turns before it, and only what was added since is rendered. Where the template no longer gives the
same text for the past (trimmed context, dropped thinking), the prompt starts anew: a restart.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from ...errors import BadModelFolder
from .hermes import CLOSE, OPEN
from .trace import EDIT_KEY, Trace, read_trace

_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens of one model call."""

    full_ids: tuple[int, ...]
    """All that the model sees."""
    delta_ids: tuple[int, ...]
    """The end of ``full_ids`` that was added since the last sampled span."""
    human: tuple[tuple[int, int], ...]
    """Half-open ranges of ``delta_ids`` that a human wrote in the policy's place."""
    restart: bool
    """True if recorded ids exist but no longer hold, so ``delta_ids`` is the whole prompt."""
    digest: str
    """Of tokenizer and prompt text; see ``Trace.digest``."""


class Renderer:
    """Renders messages for one tokenizer and its chat template."""

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise BadModelFolder(
                f"the tokenizer of {tokenizer.name_or_path!r} has no chat template; "
                "add chat_template.jinja to the folder, or use an instruction-tuned model"
            )
        self.tokenizer = tokenizer

    @cached_property
    def end_of_turn(self) -> str:
        """The token with which the template ends the assistant's turn, often not eos; empty if there is none."""
        said = "the answer"
        after = self._text([HumanMessage("a question"), AIMessage(said)], None, ask=False).rpartition(said)[2]
        special = [str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        found = [token for token in special if token in after]
        return min(found, key=lambda token: (after.index(token), -len(token)), default="")

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of the tokenizer and its template."""
        rules = self.tokenizer.backend_tokenizer.to_str() + str(self.tokenizer.chat_template)
        return sha256(rules.encode()).hexdigest()[:12]

    def prompt(self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None) -> Prompt:
        """The prompt of the next call after ``messages``.

        Raises:
            BadTrace: a recorded trace is damaged.
        """
        text = self._text(messages, tools, ask=True)
        digest = self._digest(text)
        traces = [(i, trace) for i, m in enumerate(messages) if (trace := read_trace(m)) is not None]
        continued = self._continue(messages, tools, text, traces) if traces else None
        if continued is None:
            ids = self._ids(text)
            return Prompt(ids, ids, (), bool(traces), digest)
        before, delta, human = continued
        return Prompt(before + delta, delta, human, False, digest)

    def _continue(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[dict[str, Any]] | None,
        text: str,
        traces: list[tuple[int, Trace]],
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]] | None:
        """Recorded ids, what follows them, and its human ranges; None if the record no longer holds."""
        last, trace = traces[-1]
        if last == 0:  # what it answered is gone
            return None
        asked = self._text(messages[:last], tools, ask=True)
        if self._digest(asked) != trace.digest:
            return None
        past = self._text(messages[: last + 1], tools, ask=False)
        if not past.startswith(asked) or not text.startswith(past):
            return None
        before = recorded_ids([(messages[i], t) for i, t in traces])
        if not self.end_of_turn or self.end_of_turn not in past[len(asked) :]:
            return None  # nothing in the text says where the answer ends
        spoken, end, tail = past[len(asked) :].rpartition(self.end_of_turn)
        added = tail + text[len(past) :]
        if EDIT_KEY in messages[last].response_metadata:
            written = self._ids(spoken + end)
            return before, written + self._ids(added), ((0, len(written)),)
        closing = self._ids(end) if trace.finish == "length" else ()
        return before, closing + self._ids(added), ()

    def training_ids(
        self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of a finished conversation without traces, and 1 where the assistant speaks.

        Raises:
            BadModelFolder: neither the template nor TRL knows which tokens the assistant wrote.
        """
        template = self.tokenizer.chat_template
        if not _MARKER.search(template):
            from trl.chat_template_utils import get_training_chat_template

            try:
                template = get_training_chat_template(self.tokenizer) or template
            except ValueError as error:
                raise BadModelFolder(
                    f"the chat template of {self.tokenizer.name_or_path!r} has no generation markers and is none "
                    "that TRL can patch; add {% generation %} … {% endgeneration %} around the assistant's text"
                ) from error
        out = self.tokenizer.apply_chat_template(
            as_chat(messages),
            tools=list(tools) if tools else None,
            chat_template=template,
            return_assistant_tokens_mask=True,
            return_dict=True,
        )
        ids, mask = list(out["input_ids"]), list(out["assistant_masks"])
        self._spare_glue(ids, mask)
        return ids, mask

    def _spare_glue(self, ids: list[int], mask: list[int]) -> None:
        """Unmark what frames an answer: TRL's Qwen templates mark the line breaks around it."""
        question = [HumanMessage("a question")]
        asking = self._text(question, None, ask=True).removeprefix(self._text(question, None, ask=False))
        opening = list(self._ids(asking))
        end = self.tokenizer.convert_tokens_to_ids(self.end_of_turn) if self.end_of_turn else None
        edges = [0, *(i for i in range(1, len(mask)) if mask[i] != mask[i - 1]), len(mask)]
        for low, high in pairwise(edges):
            if not mask[low]:
                continue
            marked = next((k for k in range(1, len(opening)) if ids[: low + k][-len(opening) :] == opening), 0)
            mask[low : low + marked] = [0] * marked
            if end in ids[low:high]:
                after = high - ids[low:high][::-1].index(end)
                mask[after:high] = [0] * (high - after)

    def _text(self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None, *, ask: bool) -> str:
        return self.tokenizer.apply_chat_template(
            as_chat(messages), tools=list(tools) if tools else None, tokenize=False, add_generation_prompt=ask
        )

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()

    def _digest(self, text: str) -> str:
        return sha256(f"{self.fingerprint}\0{text}".encode()).hexdigest()[:16]


def recorded_ids(traced: Sequence[tuple[BaseMessage, Trace]]) -> tuple[int, ...]:
    """The ids that the traced messages, in order, saw and sampled since the last restart.

    The tokens of a proposal that a human replaced are not among them.
    """
    ids: tuple[int, ...] = ()
    for message, trace in traced:
        if trace.restart:
            ids = ()
        ids += trace.prompt_ids
        if EDIT_KEY not in message.response_metadata:
            ids += trace.sampled_ids
    return ids


def as_chat(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The messages in the form that chat templates take."""
    return [_as_dict(message) for message in messages]


def _as_dict(message: BaseMessage) -> dict[str, Any]:
    if isinstance(message, SystemMessage):
        return {"role": "system", "content": message.text}
    if isinstance(message, ToolMessage):
        return {
            "role": "tool",
            "content": message.text,
            "name": message.name or "",
            "tool_call_id": message.tool_call_id,
        }
    if not isinstance(message, AIMessage):
        return {"role": "user", "content": message.text}
    broken = "".join(f"{OPEN}{call['args'] or ''}{CLOSE}" for call in message.invalid_tool_calls)
    chat: dict[str, Any] = {"role": "assistant", "content": message.text + broken}
    if message.tool_calls:
        chat["tool_calls"] = [
            {
                "type": "function",
                "id": call["id"],
                "function": {"name": call["name"], "arguments": call["args"]},
            }
            for call in message.tool_calls
        ]
    return chat
