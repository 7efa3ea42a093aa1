"""What is wrong with a claim, as against the passages that it cites? By rules over numbers, names and words. Pure."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

from .clauses import Clause, capitals_in, clauses_in, names_in, whole_of, without_values, words_of
from .quantities import follows, is_multiple, quantities_in, says_worked_out, worked_out
from .twists import find_twist, of_all
from .values import Told, stated_in
from .words import LITTLE

_MONTH = re.compile(
    r"\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? (?:of )?([12]\d{3})\b", re.IGNORECASE
)
_RATE = re.compile(
    r"\b(?:per|an?|each|every)[ -](second|minute|hour|day|night|week|month|year|person)\b", re.IGNORECASE
)
_EVERY = re.compile(r"\b(dai|hour|week|month|year)ly\b", re.IGNORECASE)
_YEARS = re.compile(r"\byears? (?:later|earlier|before|after)\b")
_TWICE = re.compile(r"\b(?:twice|half|double|triple|three times)\b", re.IGNORECASE)
_GERMAN = re.compile(r"\b(?:der|das|und|ist|nicht|eine|wird)\b")
"""Where every noun has a capital, a capital says nothing."""
_DOER = re.compile(r"\w(?:ed|[dt]e|[elw]n|[ln]t|ld) by (?:the |an? )?(?!mistake|accident|hand|law)([a-z]{4,})\b")
_ACCORDING = re.compile(r"^according to [^,]+,\s*", re.IGNORECASE)
_ALONE = 0.34
"""The share of a clause's words that must stand in the passages."""


def find_fault(claim: str, passages: Sequence[str], overlap: float) -> str:
    """What is wrong; empty if nothing is found. ``{cited}`` stands for the passages."""
    if any(claim.strip(" .").casefold() in passage.casefold() for passage in passages):
        return ""
    told = " \n".join(passages)
    known = names_in(claim).union(*map(names_in, passages)).intersection(re.findall(r"\w+", told))
    there = [clauses_in(passage, known) for passage in passages]
    sentences = [whole_of([*some]) for one in there for _, some in groupby(one, lambda clause: clause.sentence)]
    own = clauses_in(_ACCORDING.sub("", claim), known)
    if not sentences:
        return "is about what {cited} does not say"
    everything = whole_of(sentences)
    return (
        _value(claim, passages)
        or _quantity(claim, passages)
        or _name(claim, told, everything)
        or _words(own, sentences, everything, overlap)
        or find_twist(own, there, known)
        or of_all(whole_of(own), sentences)
    )


@lru_cache(maxsize=64)
def _told(passages: tuple[str, ...]) -> Told:
    told = Told()
    for passage in passages:
        told.add(passage)
    return told


def _value(claim: str, passages: Sequence[str]) -> str:
    """A date, time, id, address, quote or rate that is not there."""
    told, text = _told(tuple(passages)), " \n".join(passages)
    for kind, words, value in stated_in(claim):
        if kind != "number" and not told.holds(kind, words, value):
            return f"says {words}, which is not in {{cited}}"
    months = {(month.casefold(), year) for month, year in _MONTH.findall(text)}
    for found in _MONTH.finditer(without_values(claim)):
        if (found[1].casefold(), found[2]) not in months:
            return f"says {found[0]}, which is not in {{cited}}"
    rates = {rate.casefold() for rate in (*_RATE.findall(text), *_EVERY.findall(text))}
    for found in _RATE.finditer(claim):
        rate = found[1].casefold()
        if found[0].casefold().startswith("per") and not {rate, rate[:3] + "i"} & rates:
            return f"says {found[0]}, which is not in {{cited}}"
    return ""


def _quantity(claim: str, passages: Sequence[str]) -> str:
    """A number that is not there, nor bounded by one that is, nor (where the claim says so) worked out."""
    own = [*quantities_in(without_values(claim))]
    told = [one for passage in passages for one in quantities_in(without_values(passage))]
    new = [one for one in own if not follows(one, told)]
    if not new:
        return ""
    if all(one.number > 999 and worked_out(one, told) for one in new) and any(map(_YEARS.search, passages)):
        return ""
    if all(one.kind and is_multiple(one, told) for one in new) and any(map(_TWICE.search, passages)):
        return ""
    if says_worked_out(claim) and any(worked_out(one, [*told, *(o for o in own if o is not one)]) for one in new):
        return ""
    return f"says {new[0].words}, which is not in {{cited}}"


def _name(claim: str, told: str, everything: Clause) -> str:
    """A name, or one who did it, that is not there. An abbreviation of what is there is."""
    for name in () if _GERMAN.search(told) else capitals_in(claim):
        words = words_of(name)
        if all(map(everything.has, words)) if words else re.search(rf"\b{name}\b", told):
            continue
        initials = "".join(word[0] for word in re.findall(r"\w+", told)).casefold()
        if not (len(name) > 2 and name.isupper() and name.casefold() in initials):
            return f"names {name}, which is not in {{cited}}"
    for doer in _DOER.findall(claim):
        if doer not in LITTLE and not doer.endswith("ing") and not everything.has(doer):
            return f"names {doer}, which is not in {{cited}}"
    return ""


def _words(own: Sequence[Clause], sentences: Sequence[Clause], everything: Clause, overlap: float) -> str:
    """Too few of its words are there; those outside the sentences that are most like its clauses count half."""
    words = {word for clause in own for word in clause.words}
    close: set[str] = set()
    for clause in own:
        close.update(clause.said_by(max(sentences, key=lambda one: len(clause.said_by(one)))))
    found = {word for word in words if everything.has(word)}
    if (len(close) + len(found)) / 2 < overlap * len(words):
        return f"only {len(found)} of its {len(words)} words are in {{cited}}"
    for place, clause in enumerate(own):
        alone = len(clause.words) == 1 and (place == 0 or clause.words[0].endswith("ly"))
        if not alone and len(clause.said_by(everything)) < _ALONE * len(clause.words):
            return f"adds {clause.text}"
    return ""
