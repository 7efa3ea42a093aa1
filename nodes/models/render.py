"""From messages to the token ids that a model must see, continuing recorded ids wherever they hold.

What was sampled is never tokenised again: the prompt of a later turn starts with the exact ids of the
turns before it, and only what was added since is rendered. Where the template no longer gives the
same text for the past (trimmed context, dropped thinking), the prompt starts anew: a restart.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from jinja2 import TemplateError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall

from ...errors import BadModelFolder, CannotRender, NoToolTemplate
from .answer_text import beyond, cut_answer
from .families.choose import family_of
from .families.family import Family, Said
from .rendered import Rendered, render_rows
from .trace import EDIT_KEY, Trace, read_trace

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


class Renderer:
    """Renders messages for one tokenizer in the form of its family, and reads what the model answers.

    ``chat_template_kwargs`` go to the chat template, such as ``enable_thinking``.
    """

    def __init__(
        self,
        tokenizer: Any,
        family: Family | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if not tokenizer.chat_template and not (family and family.template):
            raise BadModelFolder(
                f"the tokenizer of {tokenizer.name_or_path!r} has no chat template; add chat_template.jinja to the "
                'folder, use an instruction-tuned model, or give family="react-text", which serves base models'
            )
        self.tokenizer = tokenizer
        self.family = family or family_of(tokenizer)
        self._template_kwargs = dict(chat_template_kwargs or {})
        self._openings: dict[str, str] = {}
        self._asked: OrderedDict[str, str] = OrderedDict()
        """The texts of the latest prompts by digest: the next turn begins with one of them."""

    @cached_property
    def end_of_turn(self) -> str:
        """The token with which the template ends an answer, often not eos; empty if there is none."""
        return self._end_after(AIMessage("the answer"), "the answer")

    @cached_property
    def ends_of_turn(self) -> tuple[str, ...]:
        """``end_of_turn``, and the token that ends an answer with calls where that is another one."""
        call = ToolCall(name="ask", args={"of": "the argument"}, id="call00000")
        try:
            after_call = self._end_after(AIMessage("", tool_calls=[call]), "the argument")
        except CannotRender:
            after_call = ""
        return tuple(dict.fromkeys(end for end in (self.end_of_turn, after_call) if end))

    @property
    def endings(self) -> tuple[str, ...]:
        """What ends an answer in the text: a token, or a text at which the family stops."""
        return self.ends_of_turn + self.family.stop

    @property
    def ends(self) -> tuple[str, ...]:
        """All that can end an answer: tokens, and texts where the family has such."""
        return self.ends_of_turn + self.family.stop

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of the tokenizer and its template."""
        rules = self.tokenizer.backend_tokenizer.to_str() + str(self.family.template or self.tokenizer.chat_template)
        if self._template_kwargs:
            rules += json.dumps(self._template_kwargs, sort_keys=True, default=str)
        return sha256(rules.encode()).hexdigest()[:12]

    def prompt(self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None) -> Prompt:
        """The prompt of the next call after ``messages``.

        Raises:
            BadTrace: a recorded trace is damaged.
            CannotRender: the template refuses these messages.
            NoToolTemplate: the template has no place for tools.
        """
        text = self.text(messages, tools, ask=True)
        digest, opening = self._digest(text), self._opening(text, messages, tools)
        self._remember(digest, text)
        traces = [(i, trace) for i, m in enumerate(messages) if (trace := read_trace(m)) is not None]
        continued = self._continue(messages, tools, text, traces) if traces else None
        if continued is None:
            ids = self.ids(text)
            return Prompt(ids, ids, (), bool(traces), digest, opening)
        before, delta, human = continued
        return Prompt(before + delta, delta, human, False, digest, opening)

    def opening(self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None) -> str:
        """How the prompt after ``messages`` opens the answer, such as ``<|im_start|>assistant\\n<think>\\n``."""
        return self._opening(self.text(messages, tools, ask=True), messages, tools)

    def spoken(self, ids: Sequence[int]) -> str:
        """The text of sampled ``ids`` as the family reads it: without the end of turn, and of the special
        tokens only those that are its markers."""
        if ids and int(ids[-1]) in self._end_ids:
            ids = ids[:-1]
        kept = [token for token in ids if int(token) not in self._hidden_ids]
        return self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def read(self, sampled: Sequence[int] | str, opening: str, tools: Sequence[dict[str, Any]] | None = None) -> Said:
        """What the sampled ids or text say. ``opening`` is that of the prompt; ``tools`` give arguments their types."""
        text = sampled if isinstance(sampled, str) else self.spoken(sampled)
        return self.family.knowing(tools).read(opening, text)

    def training_rows(
        self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None = None
    ) -> list[Rendered]:
        """A finished conversation without traces, as the tokens that its model would have seen and sampled.

        One row, or several where the template rewrites what was said before; see ``render_rows``.

        Raises:
            CannotRender: the template refuses these messages.
        """
        return render_rows(self, messages, tools)

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

    def text(self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None, *, ask: bool) -> str:
        """The messages as the template writes them; with ``ask``, up to where the next answer begins.

        Raises:
            CannotRender: the template refuses these messages.
            NoToolTemplate: the template has no place for tools.
        """
        if tools and not self.family.takes_tools:
            names = ", ".join(str(tool.get("function", tool).get("name")) for tool in tools)
            raise NoToolTemplate(
                f"the chat template of {self.tokenizer.name_or_path!r} has no place for tools in a form that is known "
                f"here, but there are {len(tools)}: {names}; use a model that was trained to call tools, bind none, or "
                'give family="react-text"'
            )
        try:
            return self.tokenizer.apply_chat_template(
                self.family.write(messages),
                tools=list(tools) if tools else None,
                chat_template=self.family.template,
                tokenize=False,
                add_generation_prompt=ask,
                **self._template_kwargs,
            )
        except (TemplateError, TypeError, ValueError, AttributeError) as error:
            roles = ", ".join(message.type for message in messages)
            raise CannotRender(
                f"the chat template of {self.tokenizer.name_or_path!r} refuses these messages ({roles}): {error}; "
                "change their order or form, or use a model with another template"
            ) from error

    def ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a piece of the prompt."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()

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
        ended = bool(trace.sampled_ids) and trace.sampled_ids[-1] in self._end_ids
        if end in self.family.stop:
            ended = end in self.tokenizer.decode(list(trace.sampled_ids), clean_up_tokenization_spaces=False)
        closing = () if ended else self.ids(end)
        return before, closing + added, ()

    def _ended(self, sampled_ids: Sequence[int], end: str) -> bool:
        """False if the answer was cut off, or stopped at a text of the caller's."""
        if end in self.family.stop:
            return end in self.spoken(sampled_ids)
        return bool(sampled_ids) and sampled_ids[-1] in self._end_ids

    def _opening(self, asking: str, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None) -> str:
        """The opening at the end of ``asking``: what stood there last time after such a message, if it does again."""
        kind = messages[-1].type if messages else ""
        opening = self._openings.get(kind)
        if opening is None or not asking.endswith(opening):
            told = self.text(messages, tools, ask=False)
            opening = self._openings[kind] = asking.removeprefix(told) if asking.startswith(told) else ""
        return opening

    def _remember(self, digest: str, text: str) -> None:
        self._asked[digest] = text
        while len(self._asked) > REMEMBERED:
            with suppress(KeyError):  # another thread was quicker
                self._asked.popitem(last=False)

    def _end_after(self, message: AIMessage, said: str) -> str:
        """The first special token behind ``said`` in an answer that is none of the family's markers."""
        _, found, after = self.text([HumanMessage("a question"), message], None, ask=False).rpartition(said)
        special = [token for token in self._special.values() if token in after and token not in self.family.markers]
        return min(special, key=lambda token: (after.index(token), -len(token)), default="") if found else ""

    @cached_property
    def _special(self) -> dict[int, str]:
        return {i: str(token) for i, token in self.tokenizer.added_tokens_decoder.items() if token.special}

    @cached_property
    def _hidden_ids(self) -> frozenset[int]:
        return frozenset(i for i, token in self._special.items() if token not in self.family.markers)

    @cached_property
    def _end_ids(self) -> frozenset[int]:
        return frozenset(i for i, token in self._special.items() if token in self.ends_of_turn)

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
