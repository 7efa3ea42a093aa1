"""A chat template in the form of its family: from messages to text, and from sampled ids to what they say."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any

from jinja2 import TemplateError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall

from ...errors import BadModelFolder, CannotRender, NoToolTemplate
from .families.choose import family_of
from .families.family import Family, Said
from .quick_tokens import QuickTokens

GUARD = "\ufdd0"
"""Stands in rendered text where a special token would begin that somebody only spelled: tokens never reach over it.
Unicode has set this character aside for use inside programs; where a text holds it nevertheless, it stands twice."""

_LIKE_A_MARKER = re.compile(r"</?[^\s<>]+>|\[/?[A-Z_]+\]")
"""Added tokens such as ``<tool_response>`` and ``[/TOOL_RESULTS]``, which not every tokenizer calls special."""
_LONE_GUARD = re.compile(f"(?<!{GUARD}){GUARD}(?!{GUARD})")


class ChatTemplate:
    """Writes messages as a model knows them. Of the tokens that were sampled for them it knows nothing.

    ``family`` None finds it out; ``chat_template_kwargs`` go to the template, such as ``enable_thinking``.
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
                'folder, use an instruction-tuned model, or give family="react-text", which serves base models '
                "(where only a folder can be given, save that family's template in it as chat_template.jinja: "
                'threadmill.nodes.models.families.choose.family_named("react-text").template)'
            )
        self.tokenizer = tokenizer
        self.family = family or family_of(tokenizer)
        self._template_kwargs = dict(chat_template_kwargs or {})
        self._openings: dict[str, str] = {}

    def text(self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None, *, ask: bool) -> str:
        """The messages as the template writes them; with ``ask``, up to where the next answer begins.

        Raises:
            CannotRender: the template refuses these messages, or they hold more than text.
            NoToolTemplate: the template has no place for tools.
        """
        _refuse_what_is_no_text(messages)
        if tools and not self.family.takes_tools:
            names = ", ".join(str(tool.get("function", tool).get("name")) for tool in tools)
            raise NoToolTemplate(
                f"the chat template of {self.tokenizer.name_or_path!r} has no place for tools in a form that is known "
                f"here, but there are {len(tools)}: {names}; use a model that was trained to call tools, bind none, or "
                'give family="react-text"'
            )
        try:
            return self.tokenizer.apply_chat_template(
                [self._guarded(said) for said in self.family.write(messages)],
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
        pieces = [piece.replace(GUARD * 2, GUARD) for piece in _LONE_GUARD.split(text) if piece]
        return tuple(i for piece in pieces for i in self.tokenizer(piece, add_special_tokens=False)["input_ids"])

    def ids_of(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of several pieces, each on its own: quicker than one after the other."""
        parts = [[part.replace(GUARD * 2, GUARD) for part in _LONE_GUARD.split(text) if part] for text in texts]
        flat = [part for own in parts for part in own]
        backend = self.tokenizer.backend_tokenizer
        if not flat:
            return [[] for _ in texts]
        if backend.padding is None and backend.truncation is None:
            encoded = iter(self._quick.encode(flat))
        else:
            encoded = iter(self.tokenizer(flat, add_special_tokens=False)["input_ids"])
        return [next(encoded) if len(own) == 1 else [i for _ in own for i in next(encoded)] for own in parts]

    def opening(self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None) -> str:
        """How the prompt after ``messages`` opens the answer, such as ``<|im_start|>assistant\\n<think>\\n``."""
        return self.opening_of(self.text(messages, tools, ask=True), messages, tools)

    def opening_of(self, asking: str, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None) -> str:
        """The opening at the end of ``asking``: what stood there last time after such a message, if it does again."""
        kind = messages[-1].type if messages else ""
        opening = self._openings.get(kind)
        if opening is None or not asking.endswith(opening):
            told = self.text(messages, tools, ask=False)
            opening = self._openings[kind] = asking.removeprefix(told) if asking.startswith(told) else ""
        return opening

    def spoken(self, ids: Sequence[int]) -> str:
        """The text of sampled ``ids`` as the family reads it: without the end of turn, and of the special
        tokens only those that are its markers."""
        if ids and int(ids[-1]) in self.end_ids:
            ids = ids[:-1]
        kept = [token for token in ids if int(token) not in self._hidden_ids]
        return self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def read(self, sampled: Sequence[int] | str, opening: str, tools: Sequence[dict[str, Any]] | None = None) -> Said:
        """What the sampled ids or text say. ``opening`` is that of the prompt; ``tools`` give arguments their types."""
        text = sampled if isinstance(sampled, str) else self.spoken(sampled)
        return self.family.knowing(tools).read(opening, text)

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

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """``ends_of_turn`` as ids."""
        return frozenset(i for i, token in self._special.items() if token in self.ends_of_turn)

    @property
    def endings(self) -> tuple[str, ...]:
        """What ends an answer in the text: a token, or a text at which the family stops."""
        return self.ends_of_turn + self.family.stop

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of the tokenizer and its template."""
        rules = self.tokenizer.backend_tokenizer.to_str() + str(self.family.template or self.tokenizer.chat_template)
        if self._template_kwargs:
            rules += json.dumps(self._template_kwargs, sort_keys=True, default=str)
        return sha256(rules.encode()).hexdigest()[:12]

    @cached_property
    def _quick(self) -> QuickTokens:
        return QuickTokens(self.tokenizer.backend_tokenizer)

    @cached_property
    def _special(self) -> dict[int, str]:
        return {i: str(token) for i, token in self.tokenizer.added_tokens_decoder.items() if token.special}

    @cached_property
    def _hidden_ids(self) -> frozenset[int]:
        return frozenset(i for i, token in self._special.items() if token not in self.family.markers)

    @cached_property
    def spelled(self) -> re.Pattern[str]:
        """Special tokens that only the template may write."""
        tokens = sorted((t for t in self._special.values() if t not in self.family.markers and len(t) > 1), key=len)
        return re.compile("|".join(re.escape(token) for token in reversed(tokens)) or "(?!)")

    @cached_property
    def _control_tokens(self) -> list[str]:
        added = {str(token) for token in self.tokenizer.added_tokens_decoder.values()}
        tokens = {t for t in added if t in self.family.markers or _LIKE_A_MARKER.fullmatch(t)}
        return sorted(tokens | {t for t in self._special.values() if len(t) > 1}, key=len, reverse=True)

    @cached_property
    def _control(self) -> re.Pattern[str]:
        """``spelled`` tokens and the family's markers: what nobody may write but the template and the assistant."""
        return re.compile("|".join(map(re.escape, self._control_tokens)) or "(?!)")

    @cached_property
    def _begins_control(self) -> re.Pattern[str]:
        """The first letters of control tokens: quick to look for, and seldom there."""
        return re.compile("|".join(map(re.escape, sorted({t[0] for t in self._control_tokens}))) or "(?!)")

    def _guarded(self, message: Any) -> Any:
        """What ``message`` says, where text that spells a control token is kept from becoming that token.

        The assistant alone says the family's markers: in data and in questions they are text like any other.
        """
        return self._kept_apart(message, self.spelled if message.get("role") == "assistant" else self._control)

    def _kept_apart(self, said: Any, control: re.Pattern[str]) -> Any:
        if isinstance(said, str):
            if GUARD not in said and not self._begins_control.search(said):
                return said
            said = said.replace(GUARD, GUARD * 2)
            return control.sub(lambda found: found[0][0] + GUARD + found[0][1:], said)
        if isinstance(said, dict):
            return {
                self._kept_apart(key, control): value if key == "role" else self._kept_apart(value, control)
                for key, value in said.items()
            }
        return [self._kept_apart(value, control) for value in said] if isinstance(said, list) else said

    def _end_after(self, message: AIMessage, said: str) -> str:
        """The first special token behind ``said`` in an answer that is none of the family's markers."""
        _, found, after = self.text([HumanMessage("a question"), message], None, ask=False).rpartition(said)
        special = [token for token in self._special.values() if token in after and token not in self.family.markers]
        return min(special, key=lambda token: (after.index(token), -len(token)), default="") if found else ""


_NO_TEXT = {"image", "image_url", "input_image", "audio", "input_audio", "video", "file", "input_file", "media"}
"""Blocks of an answer that would be lost; the others are its text, or told by its calls and its thinking."""


def _refuse_what_is_no_text(messages: Sequence[BaseMessage]) -> None:
    if not messages:
        raise CannotRender("there are no messages to answer; give at least one, such as HumanMessage('Hello')")
    for place, message in enumerate(messages):
        if isinstance(message.content, str):
            continue
        kinds = [str(block.get("type")) for block in message.content if isinstance(block, dict)]
        if isinstance(message, AIMessage):
            lost = [kind for kind in kinds if kind in _NO_TEXT]
        else:
            lost = [kind for kind in kinds if kind != "text"]
        if lost:
            raise CannotRender(
                f"message {place} ({message.type}) holds {', '.join(dict.fromkeys(lost))}, and this model reads only "
                "text; say in text what it shows, leave it out, or use an endpoint with a model that can see it"
            )
