"""Is an answer's every claim in the passages that it cites? By what can be looked up, without a model. Pure.

A claim is a sentence. It is grounded if it cites passages that were retrieved, its numbers, ids, dates, times,
addresses, quotes and names stand in them, so do most of its other words, and it denies what they deny. What is
twisted in words that all stand there (two names changed about) passes: only a judge can tell, and one may be asked
besides.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from .values import Told, stated_in


class Passage(TypedDict):
    """A piece of a document, as a search tool gives it in its ``artifact``."""

    id: str
    """What an answer cites, as in ``[guide.md#3]``."""
    text: str
    source: NotRequired[str]


class Claim(TypedDict):
    """A sentence of an answer, and what is to be thought of it."""

    text: str
    cites: list[str]
    verdict: Literal["grounded", "ungrounded", "no claim"]
    why: str
    """What is wrong with one that is ungrounded."""


OVERLAP = 0.5
"""The share of a claim's words that the cited passages must have."""
_CITATION = re.compile(r"\[([^\[\]\n]+)\]")
_CITED_AFTER = re.compile(r"([.!?])((?:\s*\[[^\[\]\n]+\])+)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_ITEM = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NAME = re.compile(r"(?<![.!?:]\s)(?<!^)(?<![\w\"“])[^\W\d_a-z]\w+")
_CLAUSE = re.compile(r"[.;,:!?]|\b(?:and|but|while|because)\b")
_NOT = re.compile(r"\b(?:no|not|never|none|nobody|nothing|neither|nor|cannot|without)\b|n['’]t\b", re.IGNORECASE)
_NOTHING = re.compile(
    r"\b(?:(?:do|does|did|could|can) ?(?:not|n[o']t) (?:know|find|say|mention|tell|contain)|cannot (?:say|tell|find)|"
    r"(?:nothing|no (?:information|mention|passage|document)s?) (?:about|on|of|in|says|mentions))\b",
    re.IGNORECASE,
)
_LITTLE = frozenset(
    "a an and are as at be been but by can do does for from had has have he her his how i if in into is it its may me "
    "more most must my no nor not of on or our out she should so some such than that the their them then there these "
    "they this those to up was we were what when where which who will with would you your yes also".split()
)


def check_answer(answer: str, passages: Sequence[Passage], overlap: float = OVERLAP) -> list[Claim]:
    """The claims of ``answer`` in order, each with a verdict.

    A sentence without a citation has that of the next sentence in its line.

    >>> tea = Passage(id="tea.md#1", text="Green tea is steeped for three minutes at 80 degrees.")
    >>> [(claim["verdict"], claim["why"]) for claim in check_answer("Green tea is steeped for 3 minutes [tea.md#1]. "
    ...  "It was discovered in 1610 [tea.md#1].", [tea])]
    [('grounded', ''), ('ungrounded', 'says 1610, which is not in [tea.md#1]')]
    """
    known = {passage["id"]: passage for passage in passages}
    return [_judged(sentence, cites, known, overlap) for sentence, cites in split_claims(answer)]


def split_claims(answer: str) -> Iterator[tuple[str, list[str]]]:
    """The sentences of ``answer`` without their citations, each with what it cites.

    >>> list(split_claims("Tea is hot. So is coffee [a#1, b#2]. Is it?"))
    [('Tea is hot.', ['a#1', 'b#2']), ('So is coffee.', ['a#1', 'b#2']), ('Is it?', [])]
    """
    for line in answer.splitlines():
        cited_within = _CITED_AFTER.sub(r"\2\1", _ITEM.sub("", line))
        sentences = [part for part in _SENTENCE.split(cited_within) if part.strip()]
        cited = [_cites(sentence) for sentence in sentences]
        for place in reversed(range(len(sentences) - 1)):
            cited[place] = cited[place] or cited[place + 1]
        for sentence, cites in zip(sentences, cited, strict=True):
            text = re.sub(r"\s+([.,;!?])", r"\1", " ".join(_CITATION.sub(" ", sentence).split()))
            if text.strip(" .,;:"):
                yield text, cites


def ungrounded(claims: Sequence[Claim]) -> list[Claim]:
    """Those that are."""
    return [claim for claim in claims if claim["verdict"] == "ungrounded"]


def words_of(text: str) -> set[str]:
    """The words that mean something, without the commonest endings."""
    return {_stem(word) for word in _WORD.findall(text.casefold().replace("’", "'")) if word not in _LITTLE}


def _judged(text: str, cites: list[str], known: dict[str, Passage], overlap: float) -> Claim:
    verdict, why = _verdict(text, cites, known, overlap)
    return Claim(text=text, cites=cites, verdict=verdict, why=why)


def _verdict(
    text: str, cites: list[str], known: dict[str, Passage], overlap: float
) -> tuple[Literal["grounded", "ungrounded", "no claim"], str]:
    if text.endswith(("?", ":")) or _NOTHING.search(text) or (len(words_of(text)) < 2 and not list(stated_in(text))):
        return "no claim", ""
    if not cites:
        return "ungrounded", "cites nothing"
    if strange := [name for name in cites if name not in known]:
        return "ungrounded", f"cites {_shown(strange)}, which was not retrieved"
    told = Told()
    for name in cites:
        told.add(known[name]["text"])
    for kind, words, value in stated_in(text):
        if not told.holds(kind, words, value):
            return "ungrounded", f"says {words}, which is not in {_shown(cites)}"
    there = words_of(" ".join(told.texts))
    for name in _NAME.findall(text):
        if name.casefold() not in _LITTLE and not words_of(name) <= there:
            return "ungrounded", f"names {name}, which is not in {_shown(cites)}"
    own = words_of(text)
    found = len(own & there)
    if found < overlap * len(own):
        return "ungrounded", f"only {found} of its {len(own)} words are in {_shown(cites)}"
    if denied := _denied(text, told.texts):
        return "ungrounded", f"seems to turn round what {_shown(cites)} says: {denied}"
    return "grounded", ""


def _denied(text: str, passages: Sequence[str]) -> str:
    """A clause of the passages that has the most words of one of ``text`` and says yes to its no, or no to its yes."""
    there = [clause.strip() for passage in passages for clause in _CLAUSE.split(passage) if words_of(clause)]
    for clause in _CLAUSE.split(text):
        own = words_of(clause)
        like = max(there, key=lambda one: len(own & words_of(one)), default="")
        shared = len(own & words_of(like))
        if shared >= 2 and 2 * shared >= len(own) and bool(_NOT.search(clause)) != bool(_NOT.search(like)):
            return like
    return ""


def _cites(sentence: str) -> list[str]:
    names = [name.strip() for found in _CITATION.findall(sentence) for name in re.split("[,;]", found)]
    return list(dict.fromkeys(name for name in names if name))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
