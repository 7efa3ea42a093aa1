"""A candidate for selection in one line, and what selection decides about a list of them."""

from dataclasses import replace
from typing import Any

from threadmill.training.selection.facts import Facts, split_key
from threadmill.training.selection.fingerprints import Fingerprint, fingerprint
from threadmill.training.selection.select import Candidate, Selected, Selection, select

PLAIN = Facts(
    thread="t",
    checkpoint="c",
    agent="shop",
    task=None,
    tier=None,
    success=None,
    reward=None,
    source="check",
    behaviours=("success",),
    tools=(),
    turns=1,
    calls=0,
    acts=0,
    errors=0,
    asked=Fingerprint("", ""),
    opening="",
    split_key="",
)


def row(place: int, *, digest: str | None = None, tokens: int = 10, text: str = "", **known: Any) -> Candidate:
    """The candidate at ``place``: by default of a thread and with a content of its own.

    ``opening`` and ``later`` are what people said.
    """
    known = {"thread": f"t{place}", **known}
    if "behaviour" in known:
        known["behaviours"] = (known.pop("behaviour"),)
    said = [known.pop("opening", ""), *known.pop("later", ())]
    known |= {"asked": fingerprint(said), "opening": fingerprint(said[:1]).texts}
    facts = replace(PLAIN, **known)
    facts = replace(facts, split_key=split_key(facts.thread, facts.task, facts.opening))
    return Candidate(place, facts, (digest or f"content {place}").encode(), tokens, text)


def decide(rows: list[Candidate], **wishes: Any) -> Selected:
    """What a selection with these wishes decides."""
    return select(lambda: iter(rows), Selection(**wishes))


def decisions(rows: list[Candidate], **wishes: Any) -> list[str]:
    """The decisions about ``rows``, in their order."""
    decided = decide(rows, **wishes).decisions
    return [decided[candidate.place] for candidate in rows]
