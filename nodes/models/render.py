"""From messages to the token ids that a model must see, continuing recorded ids wherever they hold.

What was sampled is never tokenised again: the prompt of a later turn starts with the exact ids of the
turns before it, and only what was added since is rendered. Where the template no longer gives the
same text for the past (trimmed context, dropped thinking), the prompt starts anew: a restart.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from langchain_core.messages import BaseMessage

from ...errors import CannotRender
from .answer_text import beyond, cut_answer
from .families.family import Family
from .rendered import Rendered, render_rows
from .row_frames import Frames
from .template import ChatTemplate
from .trace import EDIT_KEY, Trace, read_trace, starts_anew

REMEMBERED = 512
"""Prompts whose text is kept, so that the next turn need not render it again."""


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
    opening: str
    """How it opens the answer; see ``Renderer.opening``."""


class Renderer(ChatTemplate):
    """Makes the prompts of a model, and rows of conversations that it might have had."""

    def __init__(
        self,
        tokenizer: Any,
        family: Family | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(tokenizer, family, chat_template_kwargs)
        self._asked: OrderedDict[str, str] = OrderedDict()
        """The texts of the latest prompts by digest: the next turn begins with one of them."""
        self._frames: Frames = {}

    def prompt(self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None) -> Prompt:
        """The prompt of the next call after ``messages``.

        Raises:
            BadTrace: a recorded trace is damaged.
            CannotRender: the template refuses these messages.
            NoToolTemplate: the template has no place for tools.
        """
        text = self.text(messages, tools, ask=True)
        digest, opening = self._digest(text), self.opening_of(text, messages, tools)
        self._remember(digest, text)
        traces = [(i, trace) for i, m in enumerate(messages) if (trace := read_trace(m)) is not None]
        continued = self._continue(messages, tools, text, traces) if traces else None
        if continued is None:
            ids = self.ids(text)
            return Prompt(ids, ids, (), bool(traces), digest, opening)
        before, delta, human = continued
        return Prompt(before + delta, delta, human, False, digest, opening)

    def training_rows(
        self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None = None
    ) -> list[Rendered]:
        """A finished conversation without traces, as the tokens that its model would have seen and sampled.

        One row, or several where the template rewrites what was said before; see ``render_rows``.

        Raises:
            CannotRender: the template refuses these messages.
        """
        return render_rows(self, messages, tools, self._frames)

    def training_ids(
        self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of a finished conversation without traces, and 1 where the assistant speaks.

        Raises:
            CannotRender: the template refuses these messages, or one row cannot hold them.
        """
        rows = self.training_rows(messages, tools)
        if len(rows) > 1:
            raise CannotRender(
                f"the chat template rewrites what was said before, so these {len(messages)} messages make {len(rows)} "
                "rows; use training_rows"
            )
        return list(rows[0].ids), rows[0].mask()

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
        asked = self._asked.get(trace.digest)
        if asked is None or not text.startswith(asked):  # else nothing before the last answer has changed
            asked = self.text(messages[:last], tools, ask=True)
            if self._digest(asked) != trace.digest:
                return None
        past = self.text(messages[: last + 1], tools, ask=False)
        answer, added = cut_answer(asked, past, self.endings), beyond(past, text)
        if answer is None or added is None:
            return None
        end = next((end for end in self.endings if answer.spoken.endswith(end)), "")
        if not end:
            return None  # nothing in the text says where the answer ends
        before = recorded_ids([(messages[i], t) for i, t in traces])
        added = self.ids(answer.tail + added)
        if EDIT_KEY in messages[last].response_metadata:
            forced, written = self.ids(answer.given[len(asked) :]), self.ids(answer.spoken)
            return before, forced + written + added, ((len(forced), len(forced) + len(written)),)
        # It lacks its end if it was cut off, if the caller's text stopped it, or if eos came in place of a text.
        ended = bool(trace.sampled_ids) and trace.sampled_ids[-1] in self.end_ids
        if end in self.family.stop:
            ended = end in self.tokenizer.decode(list(trace.sampled_ids), clean_up_tokenization_spaces=False)
        closing = () if ended else self.ids(end)
        return before, closing + added, ()

    def _remember(self, digest: str, text: str) -> None:
        self._asked[digest] = text
        while len(self._asked) > REMEMBERED:
            with suppress(KeyError):  # another thread was quicker
                self._asked.popitem(last=False)

    def _digest(self, text: str) -> str:
        return sha256(f"{self.fingerprint}\0{text}".encode()).hexdigest()[:16]


def recorded_ids(traced: Sequence[tuple[BaseMessage, Trace]]) -> tuple[int, ...]:
    """The ids that the traced messages, in order, saw and sampled since the last restart.

    The tokens of a proposal that a human replaced are not among them, unless a later message had seen them.
    """
    ids: tuple[int, ...] = ()
    replaced: tuple[int, ...] = ()
    for message, trace in traced:
        if starts_anew(trace):
            ids = ()
        elif trace.before == len(ids) + len(replaced):
            ids += replaced
        ids += trace.prompt_ids
        edited = EDIT_KEY in message.response_metadata
        replaced = trace.sampled_ids if edited else ()
        ids += () if edited else trace.sampled_ids
    return ids
