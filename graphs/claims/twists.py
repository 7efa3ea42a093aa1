"""What is said otherwise in the passages: claims whose words all stand there, put together differently. Pure."""

import re
from collections.abc import Iterator, Sequence, Set

from .clauses import Clause, words_of
from .words import meanings, stem

_BEGINS = re.compile(r"(?:the |an? )?(\w+)", re.IGNORECASE)
_RANGE = re.compile(r"\b(?:from|between)\b.*\b(?:to|until|till|and)\b|\d[–-]\d", re.IGNORECASE)
_THAN = re.compile(r"\bthan\b|\bas (?:\w+ )?as\b", re.IGNORECASE)
_LESS = re.compile(r"\b(?:less|fewer|least)\b", re.IGNORECASE)
_BY = re.compile(r"\b(?:was|were|is|are|been|be|being)\b(?: \w+)? \w+ by\b|['’]s \w+ by\b")
_ALL = re.compile(r"(?<!not )\b(?:all|every|everyone|entire|entirely|whole)\b", re.IGNORECASE)
_SOME = re.compile(
    r"\b(?:some|most|mostly|many|few|several|usually|often|sometimes|partly|except|apart from|other than|excluding)\b",
    re.I,
)
_SPARED = re.compile(r"\b(?:but|only|not)\b", re.IGNORECASE)


def find_twist(claim: Sequence[Clause], passages: Sequence[Sequence[Clause]], known: Set[str]) -> str:
    """What is twisted; empty if nothing is found. ``{cited}`` stands for the passages."""
    every = [one for clauses in passages for one in clauses]
    for clause in claim:
        found = (
            _compared(clause, every)
            or _denied(clause, every)
            or _of_another_value(clause, passages)
            or _of_another_name(clause, every)
            or _of_another_thing(clause, every)
            or _in_another_order(clause, every, known)
        )
        if found:
            return found
    return ""


def of_all(claim: Clause, sentences: Sequence[Clause]) -> str:
    """Is it said of all, and in the sentence most like it of some?"""
    said = _ALL.search(claim.text)
    if not said or _SOME.search(claim.text) or _SPARED.search(claim.text):
        return ""
    like = max(sentences, key=lambda one: len(claim.said_by(one)))
    some = _SOME.search(like.text) if 2 * len(claim.said_by(like)) >= len(claim.words) else None
    return f"says {said[0]} where {{cited}} says {some[0]}" if some else ""


def _denied(clause: Clause, every: Sequence[Clause]) -> str:
    """The clauses most like it say no to its yes, or yes to its no, or the opposite of one of its words."""
    like = _most_like(clause, every)
    if clause.spares or not like:
        return ""
    for one in like:
        opposed = _opposed(clause, one)
        if (clause.denies != one.denies) == opposed:  # turned round twice is not turned round
            return ""
    return f"seems to turn round what {{cited}} says: {like[0].text}"


def _compared(clause: Clause, every: Sequence[Clause]) -> str:
    """What is compared has changed places, or the comparison its direction, and not both."""
    own = _compared_in(clause.text)
    for one in every if own else ():
        other = _compared_in(one.text)
        if own and other:
            straight, crossed = len(own[1] & other[1]), len(own[1] & other[0])
            opposed = (_LESS.search(clause.text) is None) != (_LESS.search(one.text) is None)
            opposed ^= _opposed(clause, one)
            opposed ^= clause.denies != one.denies
            if straight != crossed and (crossed > straight) != opposed:
                return f"seems to turn round what {{cited}} says: {one.text}"
    return ""


def _compared_in(text: str) -> tuple[set[str], set[str]] | None:
    parts = _THAN.split(text)
    if len(parts) != 2 or re.match(r"\s*(?:\d|(?:an?|one|half)\b)", parts[1]):
        return None
    left, right = ({*map(stem, words_of(part)), *re.findall(r"\d+", part)} for part in parts)
    return left - right, right - left


def _of_another_value(clause: Clause, passages: Sequence[Sequence[Clause]]) -> str:
    """A number or date of it goes with other words there, and its words with another number."""
    for value in sorted(clause.values):
        here = [
            (_likeness(clause, clauses, place), one)
            for clauses in passages
            for place, one in enumerate(clauses)
            if value in one.values
        ]
        if not here:
            continue
        if all(
            _opposed(clause, one) and clause.denies == one.denies and not (":" in value and _RANGE.search(one.text))
            for _, one in here
        ):
            return f"seems to turn round what {{cited}} says: {here[0][1].text}"
        others = [one for clauses in passages for one in clauses if one.values and not one.values & clause.values]
        like = max(others, key=lambda one: _same(clause, one), default=None)
        closest = max(likeness for likeness, _ in here)
        if like and closest and _same(clause, like) >= max(2, 0.5 + closest):
            return f"says {value} of that of which {{cited}} says: {like.text}"
    return ""


def _of_another_name(clause: Clause, every: Sequence[Clause]) -> str:
    """It says of its name what is said of another there."""
    ours = {*clause.names}
    if not ours:
        return ""

    for value in sorted(clause.values):
        here = [one for one in every if value in one.values]
        if here and all(one.names and not ours & {*one.names, *one.subject} for one in here):
            return f"says {value} of {clause.names[0]}, and {{cited}} of {here[0].names[0]}"
    small = {name.casefold() for name in ours}
    rest = [word for word in clause.words if word.removesuffix("'s") not in small]
    begins = _BEGINS.match(clause.text)
    if begins and begins[1] in ours:
        scores = [sum(map(one.has, rest)) + len(clause.values & one.values) for one in every]
        like = [one for score, one in zip(scores, every, strict=True) if score == max(scores) and score >= 2]
        if like and all((one.names or one.subject) and not ours & {*one.names, *one.subject} for one in like):
            return f"says of {clause.names[0]} what {{cited}} says of {(like[0].names or like[0].subject)[0]}"
    return ""


def _of_another_thing(clause: Clause, every: Sequence[Clause]) -> str:
    """Its first word is missing from the clauses most like it, which begin with another, and stands elsewhere."""
    if clause.names or len(clause.words) < 2 or clause.words[0].endswith("ing"):
        return ""
    first, like = clause.words[0], _most_like(clause, every)
    for one in like:
        if one.points_back or one.joins or one.has(first) or clause.has(one.words[0]):
            return ""
    if like and any(one.has(first) for one in every):
        return f"says of {first} what {{cited}} says of {like[0].words[0]}"
    return ""


def _in_another_order(clause: Clause, every: Sequence[Clause], known: Set[str]) -> str:
    """Two names have changed sides of a word."""
    told = {three for one in every for three in _sides(_with_subject(one), known)}
    for left, word, right in _sides(clause.text, known):
        if (right, word, left) in told and (left, word, right) not in told:
            return f"seems to change {left} and {right} about"
    return ""


def _with_subject(clause: Clause) -> str:
    """Its text, with the name that it is about for a pronoun."""
    return f"{' '.join(clause.subject)} {clause.text}" if clause.points_back else clause.text


def _sides(text: str, known: Set[str]) -> Iterator[tuple[str, str, str]]:
    """Each two names with what a word between them means; turned round if the clause is passive."""
    words = re.findall(r"\w+", text)
    names = [(place, word) for place, word in enumerate(words) if word in known]
    passive = _BY.search(text) is not None
    for start, left in names:
        for end, right in names:
            between = [word for word in words[start + 1 : end] if word not in known and words_of(word)]
            for key in {key for word in between for key in meanings(word.casefold())} if left != right else ():
                yield (right, key, left) if passive else (left, key, right)


def _most_like(clause: Clause, every: Sequence[Clause]) -> list[Clause]:
    """The clauses that say most of its words, at least half and two; of those that say as many, the shorter ones."""
    scores: list[tuple[float, Clause]] = []
    for one in every:
        shared = len(clause.said_by(one))
        if shared >= 2 and 2 * shared >= len(clause.words):
            about = 0.05 * one.has(clause.words[0])  # what a clause begins with is what it is about
            scores.append((shared - 0.1 * max(0, len(one.words) - shared) + about, one))
    best = max((score for score, _ in scores), default=0)
    return [one for score, one in scores if score == best]


def _likeness(clause: Clause, clauses: Sequence[Clause], place: int) -> float:
    """How many words of ``clause`` the clause at ``place`` says; if it goes on with another one, that counts half."""
    one = clauses[place]
    if not one.joins:
        return _same(clause, one)
    before = [other for other in clauses[:place] if other.sentence == one.sentence]
    return _same(clause, one) + sum(
        0.5 for word in clause.words if not one.has(word) and any(other.has(word) for other in before)
    )


def _opposed(clause: Clause, one: Clause) -> bool:
    """Does ``one`` say the opposite of one of its words, or of three?"""
    return sum(one.opposes(word) for word in clause.words) % 2 == 1


def _same(clause: Clause, one: Clause) -> int:
    return sum(not one.opposes(word) for word in clause.said_by(one))
