"""Who speaks in which tokens of a row, found by the markers that a chat template puts around messages.

How sure that is: markers that are tokens of their own are found by their ids, so text that only spells one is not
taken for it. Where a tokenizer has no token for a marker (``<tool_response>`` of Qwen2.5), the text counts, and a
message that holds it can deceive. A form is only used if it tells a small conversation apart that the tokenizer's own
template has rendered; otherwise nothing is claimed, and ``unknown`` says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

from ...errors import CannotRender, NoToolTemplate
from ...nodes.models.families.choose import family_named, template_text
from ...nodes.models.template import ChatTemplate
from .markers import FORMS, ROLES, Markers
from .texts import TokenTexts

_CALL = ToolCall(name="find", args={"of": "pears"}, id="call00000")
_TALK: tuple[BaseMessage, ...] = (HumanMessage("any apples?"), AIMessage("two apples."), HumanMessage("any pears?"))
_TOOLS: tuple[BaseMessage, ...] = (
    AIMessage("", tool_calls=[_CALL]),
    ToolMessage("three plums", tool_call_id="call00000", name="find"),
    AIMessage("none here."),
)
_SAID = {"any apples?": "user", "two apples.": "assistant", "any pears?": "user", "three plums": "tool"}


@dataclass(frozen=True, slots=True)
class Speech:
    """One message in a row of tokens; half-open ranges of their places."""

    role: str
    """``system``, ``user``, ``assistant``, ``tool``, or another word that the template uses; empty if none is said."""
    low: int
    body: int
    """Behind the marker that opens it."""
    end: int
    """Where the marker stands that closes it; ``high`` if none does."""
    high: int
    cut: bool = False
    """True if another message began in it."""


class RoleReader:
    """Finds the messages in rows of one tokenizer."""

    def __init__(self, tokenizer: Any, family: str | None = None) -> None:
        self.texts = TokenTexts(tokenizer)
        self.tokenizer = tokenizer
        self.template = _template_of(tokenizer, family)
        self._owned = {text: token for token, text in self.texts.added.items()}
        self._firsts: dict[str, int | None] = {}
        """The first token of a marker; None if there is no token for it."""
        self.markers = _form_of(tokenizer, self.template, self.texts)
        self.unknown = ""
        """Why nobody can say who speaks; empty if the markers are known."""
        if self.markers is None:
            self.unknown = "the markers of its chat template are not known here"
        elif self.template is not None and (wrong := self._deceived(self.template)):
            self.unknown = f"the {self.markers.name} markers do not find {wrong!r} in what its chat template writes"
            self.markers = None

    def read(self, ids: Sequence[int]) -> list[Speech]:
        """The messages in order; together they are all of ``ids``. Empty if nobody can say."""
        if self.markers is None or not ids:
            return []
        texts = [self.texts.one(token) for token in ids]
        starts: list[int] = []
        length = 0
        for text in texts:
            starts.append(length)
            length += len(text)
        places = {start: place for place, start in reversed(list(enumerate(starts)))}
        found: list[Speech] = []
        current = Speech(self.markers.begins, 0, 0, len(ids), len(ids))
        for match in self.markers.pattern.finditer("".join(texts)):
            if not self._is_real(match, ids, places):
                continue
            low, behind = _token_at(starts, match.start()), _token_at(starts, match.end())
            role = _role(match)
            if role == "close":
                if current.end == len(ids):
                    current = replace(current, end=low)
                continue
            if self.markers.joined and role == current.role == "assistant":
                current = replace(current, end=len(ids))
                continue
            open_still = current.end == len(ids) and bool(current.role)
            found.append(_ended(current, low, cut=open_still and self._must_close(match)))
            current = Speech(role, low, behind, len(ids), len(ids))
        found.append(_ended(current, len(ids), cut=False))
        return [speech for speech in found if speech.low < speech.high]

    def _must_close(self, match: Any) -> bool:
        """Whether the message in front should have been closed: its form closes all, and this marker does not do it."""
        assert self.markers is not None
        opening = match[0].lstrip("\n")
        return self.markers.name in ("chatml", "llama3", "harmony", "gemma", "cohere") and not opening.startswith("</")

    def _is_real(self, match: Any, ids: Sequence[int], places: dict[int, int]) -> bool:
        """Whether the marker's first token is the token of that text, if the tokenizer has one."""
        opening = match[0].lstrip("\n")
        if opening not in self._firsts:
            owned = max((text for text in self._owned if opening.startswith(text)), key=len, default=None)
            self._firsts[opening] = None if owned is None else self._owned[owned]
        first = self._firsts[opening]
        place = places.get(match.end() - len(opening))
        return first is None or (place is not None and ids[place] == first)

    def _deceived(self, template: ChatTemplate) -> str:
        """What of a conversation that the template itself has written is not found; empty if all is."""
        for talk in ((*_TALK, *_TOOLS), (*_TALK, AIMessage("none here."))):
            try:
                text = template.text(talk, None, ask=False)
            except (CannotRender, NoToolTemplate):
                continue
            ids = template.ids(text)
            told = [(s.role, self.tokenizer.decode(list(ids[s.body : s.end]))) for s in self.read(ids)]
            missing = (s for s, role in _SAID.items() if not any(role == r and s in words for r, words in told))
            return next((said for said in missing if said in text), "")
        return "any apples?"


def _template_of(tokenizer: Any, family: str | None) -> ChatTemplate | None:
    if not tokenizer.chat_template and family is None:
        return None
    return ChatTemplate(tokenizer, family_named(family) if family else None)


def _form_of(tokenizer: Any, template: ChatTemplate | None, texts: TokenTexts) -> Markers | None:
    told = (template.family.template if template else None) or template_text(tokenizer)
    told = told or "".join(texts.added.values())
    return next((form for form in FORMS if form.sign in told), None)


def _role(match: Any) -> str:
    named: dict[str, str | None] = match.groupdict()
    if spelled := named.get("role"):
        return ROLES.get(spelled.lower(), spelled.lower())
    return next((name for name, text in named.items() if text is not None), "")


def _token_at(starts: Sequence[int], at: int) -> int:
    """The first token that begins at or behind the character ``at``."""
    from bisect import bisect_left

    return bisect_left(starts, at)


def _ended(speech: Speech, high: int, *, cut: bool) -> Speech:
    return replace(speech, end=min(speech.end, high), body=min(speech.body, high), high=high, cut=cut)
