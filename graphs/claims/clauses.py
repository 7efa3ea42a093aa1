"""A text as clauses, for the check of claims: what each says, of whom, and whether it denies it. Pure.

Clauses are cut at punctuation and at words that join ("and", "because", "without"); nothing is parsed beyond that.
"""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

from .quantities import quantities_in
from .values import stated_in
from .words import DENIALS, LITTLE, meanings, split_word, stem

_SENTENCE = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b(?:Mr|Dr|St|No)\.)\s+|(?<=[。！？])")
_CLAUSE = re.compile(
    r"[,;:!?。，；：！？]+(?=\s|$|[^\W\d])|\s[–—-]\s|\n|"
    r"\b(?=(?:but|and|while|whereas|because|although|though|which|where|who|if|unless|until)\b)|"
    r"\b(?=(?:without|except|excluding|instead of|rather than)\b)",
    re.IGNORECASE,
)
_LEANS = re.compile(r"(?:but\s+|and\s+)?(?:not|no|except|excluding|without|instead of|rather than)\b", re.IGNORECASE)
_SPARES = re.compile(r"(?i:except|excluding|other than|apart from)\b|but [A-Z]")
_INSTEAD = re.compile(r"(?:instead of|rather than)\b", re.IGNORECASE)
_JOINS = re.compile(r"(?:and|but|which|who|where|while)\b", re.IGNORECASE)
_PRONOUN = re.compile(
    r"(?:(?:and|but|there|then)\s+)?(?:it|its|he|she|his|her|they|their|this|these|who|which)\b", re.I
)
_DENIES = re.compile(
    rf"(?<!for )\b(?:{'|'.join(sorted(DENIALS))}|instead of|rather than)\b(?! (?:all|every|each|only|just|until|"
    r"more than|less than|later than|matter|but)\b)|n['’]t\b(?! (?:all|every|only)\b)",
    re.IGNORECASE,
)
_NO_SUBJECT = re.compile(
    r"(?:and|but|which|who)\s+(?:(?:also|then|now|still|only|not|never)\s+)*(?:is|are|was|were|has|have|had|may|might|can|"
    r"could|must|will|would|should|does|do|did|cannot|\w+ed|\w+s(?! (?:is|are|was|were|have|has|can|may|must)\b))\b",
    re.IGNORECASE,
)
_WEAK = re.compile(r"\b(?:may|can|could|up(?! to\b))\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NAME = re.compile(r"(?<![.!?:]\s)(?<!^)(?<![\w\"“])[^\W\d_a-z]\w+")
_FIRST_NAME = re.compile(r"(?:^|[.!?:]\s)([^\W\d_a-z]\w+)(?= [^\W\d_a-z]\w)")
_DAY = re.compile(
    r"\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|march|april|june|july|august|september|october|"
    r"november|december)\b"
)


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence."""

    text: str
    words: tuple[str, ...]
    """Each once, in order, in small letters, without the little ones."""
    meant: frozenset[tuple[str, int]]
    """What the words mean, each with its sign."""
    denies: bool = False
    values: frozenset[str] = frozenset()
    """Its numbers, dates, times, weekdays and months."""
    names: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    """The names that its sentence begins with; if it begins with none, those of the one before."""
    sentence: int = 0

    def has(self, word: str) -> bool:
        """Does it say ``word``, or something that means the same or the opposite?"""
        return any((key, 1) in self.meant or (key, -1) in self.meant for key in meanings(word))

    def opposes(self, word: str) -> bool:
        """Does it say only the opposite of ``word``?"""
        signs = meanings(word).items()
        return not any(pair in self.meant for pair in signs) and any((key, -sign) in self.meant for key, sign in signs)

    def said_by(self, other: "Clause") -> list[str]:
        """Those of its words that ``other`` says, or the opposite of."""
        return [word for word in self.words if other.has(word)]

    @property
    def joins(self) -> bool:
        """Does it go on with what the clause before it is about?"""
        return _JOINS.match(self.text) is not None

    @property
    def spares(self) -> bool:
        """Does it name an exception?"""
        return _SPARES.match(self.text) is not None

    @property
    def points_back(self) -> bool:
        """Does it begin with a pronoun?"""
        return _PRONOUN.match(self.text) is not None


@lru_cache(maxsize=256)
def clauses_in(text: str, known: Set[str]) -> tuple[Clause, ...]:
    """The clauses of ``text`` in order; ``known`` are names.

    What leans on the words before it ("but not glass") has them too, what has no subject ("and is new") means the first
    two besides.

    >>> [(one.words, one.denies) for one in clauses_in("It covers parts, but not glass.", frozenset())]
    [(('covers', 'parts'), False), (('covers', 'parts', 'glass'), True)]
    """
    return tuple(_clauses(text, known))


def whole_of(clauses: Sequence[Clause]) -> Clause:
    """One clause with the words of all."""
    return _clause(" ".join(one.text for one in clauses), [word for one in clauses for word in one.words])


def words_of(text: str) -> tuple[str, ...]:
    """The words that mean something, in small letters, without those of values and quantities."""
    words = _WORD.findall(without_quantities(text).casefold().replace("’", "'"))
    return tuple(part for word in words if word not in LITTLE for part in split_word(word.removesuffix("n't")))


@lru_cache(maxsize=256)
def names_in(text: str) -> frozenset[str]:
    """Words with a capital that do not owe it to their place; weekdays and months are none."""
    found = {*capitals_in(text), *_FIRST_NAME.findall(text)}
    return frozenset(
        name
        for name in found
        if name[0].isupper() and name.casefold() not in LITTLE and not _DAY.match(name.casefold())
    )


def capitals_in(text: str) -> list[str]:
    """Words with a capital that begin no sentence, in order."""
    return [name for name in _NAME.findall(without_quantities(text)) if name[0].isupper()]


@lru_cache(maxsize=1024)
def without_values(text: str) -> str:
    """``text`` with blanks for its ids, dates, times and addresses."""
    for kind, words, _ in stated_in(text):
        if kind not in ("number", "quote"):
            text = text.replace(words, " " * len(words))
    return text


@lru_cache(maxsize=1024)
def without_quantities(text: str) -> str:
    """The same, with blanks for numbers and their units too."""
    text = without_values(text)
    for one in quantities_in(text):
        text = text[: one.start] + " " * (one.end - one.start) + text[one.end :]
    return text


def _clauses(text: str, known: Set[str]) -> Iterator[Clause]:
    subject: tuple[str, ...] = ()
    for number, sentence in enumerate(_SENTENCE.split(text)):
        before: Clause | None = None
        little = ""
        for piece in map(str.strip, _CLAUSE.split(sentence)):
            part = f"{little} {piece}".strip()
            words, values = words_of(part), _values(part)
            if not words and not values:  # as in "some of | which are new"
                little = piece
                continue
            little = ""
            names = tuple(word for word in re.findall(r"\w+", part) if word in known)
            if before is None and names and not _PRONOUN.match(sentence):
                subject = names
            leans = before is not None and _LEANS.match(part) is not None
            joined = (*before.words, *words) if before and leans else words
            denies = len(_DENIES.findall(part)) % 2 == 1 and not (before is None and _INSTEAD.match(part))
            own = {key for word in words for key in meanings(word)}
            implied = [word for word in before.words[:2] if not own & meanings(word).keys()] if before else []
            implied = implied if _NO_SUBJECT.match(part) else []
            clause = _clause(part, joined, denies, values, names, subject, number, implied)
            yield clause
            before = before if leans else clause


def _clause(
    text: str,
    words: Sequence[str],
    denies: bool = False,
    values: frozenset[str] = frozenset(),
    names: tuple[str, ...] = (),
    subject: tuple[str, ...] = (),
    sentence: int = 0,
    implied: Sequence[str] = (),
) -> Clause:
    told = [*words, *implied, *map(str.casefold, _WEAK.findall(text))]
    meant = frozenset(pair for word in told for pair in meanings(word).items())
    return Clause(text, tuple(dict.fromkeys(words)), meant, denies, values, names, subject, sentence)


def _values(text: str) -> frozenset[str]:
    told = {value for kind, _, value in stated_in(text) if kind in ("date", "time")}
    days = {stem(day) for day in _DAY.findall(text.casefold())}
    return frozenset(told | days | {f"{one.number:g}" for one in quantities_in(without_values(text))})
