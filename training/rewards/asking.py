"""Ask a model behind a slot for a structured answer, and read it whatever the model makes of the wish.

A model that takes schemas (ours sample only what fits) answers in that form. Others answer in text: the first JSON
object in it counts. An answer that does not fit is sent back with what is wrong, so often; then there is none.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from jsonschema import Draft202012Validator
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from ...errors import BadReward
from ...nodes.models.slot import Slot
from .answer_cache import AnswerCache, key_of

Complaint = Callable[[dict[str, Any]], str]
"""From an answer that fits the schema: what else is wrong with it, or nothing."""

ENOUGH = 20
"""From so many questions on a judge is held to its share of usable answers."""


@dataclass
class Tally:
    """What became of the questions to one judge."""

    counts: Counter[str] = field(default_factory=Counter)
    """``asked`` (of the model), ``known`` (from the cache), ``unreadable``, ``compared``, ``contradictions``."""
    _lock: Any = field(default_factory=Lock, repr=False)

    def add(self, what: str, count: int = 1) -> None:
        """Count ``what``."""
        with self._lock:
            self.counts[what] += count

    def refuse_if_useless(self, bad: str, of: str, most: float) -> None:
        """Raise BadReward if more than the share ``most`` of at least 20 answers are ``bad``."""
        with self._lock:
            wrong, total = self.counts[bad], sum(self.counts[name] for name in of.split("+"))
        if total >= ENOUGH and wrong > most * total:
            raise BadReward(
                f"{wrong} of {total} of the judge's answers are {bad}: it cannot tell these episodes apart; "
                "name another model, or mend the rubric"
            )


@dataclass(frozen=True)
class Judge:
    """A slot whose model is asked, with the memory of what it said."""

    slot: Slot
    cache: AnswerCache | None = None
    tries: int = 2
    most_unreadable: float = 0.5
    """Of all questions; if more answers are unreadable, the reward refuses to go on."""
    tally: Tally = field(default_factory=Tally)

    def ask(
        self, system: str, question: str, schema: Mapping[str, Any], complaint: Complaint = lambda answer: ""
    ) -> dict[str, Any] | None:
        """An answer that fits ``schema`` and has no ``complaint``; None if the model gives none.

        Raises:
            BadReward: too many answers are unreadable.
        """
        version = self.slot.version_now()

        def ask() -> dict[str, Any] | None:
            model = self.slot.model(version)
            messages: list[BaseMessage] = [
                SystemMessage(f"{system}\n\nAnswer with JSON of this schema alone: {json.dumps(schema)}"),
                HumanMessage(question),
            ]
            for _ in range(self.tries):
                self.tally.add("asked")
                raw, answer = _say(model, messages, schema)
                wrong = _wrong(answer, schema, complaint)
                if answer is not None and not wrong:
                    return answer
                messages += [raw, HumanMessage(f"That cannot be used: {wrong}. Answer with JSON of the schema alone.")]
            return None

        if self.cache is None:
            answer, known = ask(), False
        else:
            answer, known = self.cache.answer(key_of(version, system, question, schema), version, ask)
        self.tally.add("known" if known else "answered" if answer is not None else "unreadable")
        if answer is None:
            self.tally.refuse_if_useless("unreadable", "known+answered+unreadable", self.most_unreadable)
        return answer


def read_json(text: str) -> dict[str, Any] | None:
    """The first JSON object in ``text``, whatever stands around it; None if there is none.

    >>> read_json('Sure! ```json\\n{"score": 7}\\n``` {"score": 1}')
    {'score': 7}
    """
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, _ = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        return value if isinstance(value, dict) else None
    return None


def _say(
    model: BaseChatModel, messages: list[BaseMessage], schema: Mapping[str, Any]
) -> tuple[BaseMessage, dict[str, Any] | None]:
    """What the model said, and the object in it."""
    try:
        asked = model.with_structured_output(dict(schema), include_raw=True)
    except NotImplementedError:  # the model knows neither schemas nor tools
        raw = model.invoke(messages)
        return raw, read_json(raw.text)
    found: Any = asked.invoke(messages)
    raw, answer = found["raw"], found["parsed"]
    if not isinstance(answer, dict):
        answer = read_json(raw.text)
    return AIMessage(raw.text or json.dumps(answer)), answer


def _wrong(answer: dict[str, Any] | None, schema: Mapping[str, Any], complaint: Complaint) -> str:
    if answer is None:
        return "there is no JSON object in it"
    error = next(Draft202012Validator(schema).iter_errors(answer), None)
    return complaint(answer) if error is None else f"{error.message} at {error.json_path}"
