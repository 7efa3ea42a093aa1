"""Why episodes fail: a short list of kinds, and what of an episode belongs to each. Pure.

An episode that did not succeed has at least one; one that succeeded can have slips, such as a call that was repeated.
What the answer claims is told by English words of doing (``cancelled``, ``booked`` …): a hint, no proof.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..rewards.finished import Finished
from ..rewards.made import MALFORMED, WORKED, Made, worked_for
from ..rewards.transcript import shorten
from .calls_measured import NO_NAME, call_key, find_repeated, find_unrecovered, pair_calls, wrong_arguments
from .due import asks, calls_beyond, last_answer
from .grounded import Claim

KINDS = {
    "crashed": "an exception stopped the episode",
    "out_of_budget": "it ran out of calls, tokens or context before it answered",
    "left_waiting": "it ended while somebody was asked to decide",
    "invalid_json": "a call could not be read",
    "wrong_schema": "a call's arguments did not fit the tool's schema",
    "unknown_tool": "a call named a tool that the agent does not have",
    "refused_call": "a person refused or changed a call, or a rule refused it",
    "error_not_recovered": "a tool failed or took too long, and the same tool did not work later",
    "repeated_call": "the same call was made again, and the answer was the same",
    "should_have_asked": "something was missing, and the agent did not ask for it",
    "should_have_refused": "it called a tool that was not due, where it should have refused",
    "needless_question": "it asked where it should have acted, and failed",
    "wrong_tool": "it called a tool that is not needed, and a needed tool not at all",
    "wrong_argument": "a needed tool was called with other arguments",
    "claimed_without_acting": "the answer speaks of something done, and a needed call was not made",
    "stopped_early": "it answered before the last needed call",
    "skipped_call": "it left out a needed call, and went on to the last one",
    "acted_too_much": "all needed calls were made, and others worked as well",
    "ungrounded_claim": "an answer holds a number, id, date or quote that nobody had told the agent",
    "wrong_answer": "the calls were the needed ones, and the answer was not what the task asks for",
    "other": "it did not succeed, and nothing above says why",
}
"""Kind to what it means, in the order in which the failures of an episode are listed."""

_DONE = re.compile(
    r"\b(done|completed|cancell?ed|refunded|changed|updated|booked|sent|moved|deleted|removed|created|added|paid|"
    r"i have|i've|has been|have been|goes to)\b",
    re.IGNORECASE,
)
_EXPLAIN = {"out_of_budget", "left_waiting", "error_not_recovered", "refused_call"}
"""Besides what is compared with the needed calls: enough to explain that an episode did not succeed."""
_LONGEST = 160


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong in an episode."""

    kind: str
    thread: str
    message: str | None
    """Id of the message where it shows; None if no single one does."""
    tool: str | None
    text: str

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def find_failures(
    finished: Finished, calls: Sequence[Made], claims: Sequence[Claim], *, success: bool | None
) -> tuple[Failure, ...]:
    """What went wrong, in the order of ``KINDS``, the same only once; ``success`` is None where nobody judged."""
    last = finished.messages[-1].id if finished.messages else None
    found = [*_endings(finished), *_slips(finished, calls, success=bool(success)), *_claimed(claims)]
    if success is False and finished.status != "failed":
        reasons = [*_reasons(finished, calls)]
        explained = reasons or any(kind in _EXPLAIN for kind, *_ in found)
        found += reasons if explained else _answered_wrong(finished)
    if success is False and not found:
        found.append(("other", None, None, KINDS["other"]))
    order = list(KINDS)
    found.sort(key=lambda one: order.index(one[0]))
    failures: dict[tuple[str, str | None, str], Failure] = {}
    for kind, call, message, text in found:
        tool = (call.name or NO_NAME) if call else None
        short = shorten(text, _LONGEST)
        shown = call.message if call else message or last
        failures.setdefault((kind, tool, short), Failure(kind, finished.thread, shown, tool, short))
    return tuple(failures.values())


_Found = tuple[str, Made | None, str | None, str]
"""Kind, the call or the message where it shows, and words."""


def _endings(finished: Finished) -> Iterator[_Found]:
    words = {"failed": "crashed", "truncated": "out_of_budget", "paused": "left_waiting"}
    if finished.status in words:
        kind = words[finished.status]
        yield kind, None, None, KINDS[kind]


def _slips(finished: Finished, calls: Sequence[Made], *, success: bool) -> Iterator[_Found]:
    for call in calls:
        if call.became == "invalid":
            said = call.answer.text if call.answer else "the call could not be read"
            yield "wrong_schema" if call.args else "invalid_json", call, None, said
        elif call.became == "unknown_tool":
            yield "unknown_tool", call, None, call.answer.text if call.answer else f"there is no tool {call.name!r}"
        elif call.became == "stopped":
            yield "out_of_budget", call, None, call.answer.text if call.answer else KINDS["out_of_budget"]
        elif call.became in ("rejected", "edited", "forbidden"):
            yield "refused_call", call, None, f"{call_key(call.name, call.args)} was {call.became}"
    for place in find_unrecovered(calls, success=success)[1]:
        if calls[place].became not in MALFORMED:
            answer = calls[place].answer
            yield "error_not_recovered", calls[place], None, answer.text if answer else calls[place].became
    for place in find_repeated(calls, finished.conversations):
        yield "repeated_call", calls[place], None, call_key(calls[place].name, calls[place].args)


def _claimed(claims: Sequence[Claim]) -> Iterator[_Found]:
    for claim in claims:
        if not claim.grounded:
            yield "ungrounded_claim", None, claim.message, f"{claim.kind} {claim.words!r} occurs in nothing it was told"


def _reasons(finished: Finished, calls: Sequence[Made]) -> Iterator[_Found]:
    """Why an episode that did not succeed did not."""
    asked = asks(finished.messages)
    if finished.due == "ask" and not asked:
        yield "should_have_asked", None, None, f"nothing was asked of {finished.text!r}"
    if finished.due == "act" and asked:
        yield "needless_question", None, None, last_answer(finished) or "the user was asked"
    calls = worked_for(calls)
    beyond = calls_beyond(calls, finished.needed)
    if finished.due == "refuse":
        for call in beyond:
            yield "should_have_refused", call, None, call_key(call.name, call.args)
    if finished.needed is not None:
        yield from _against_needed(finished, calls, beyond)


def _against_needed(finished: Finished, calls: Sequence[Made], beyond: Sequence[Made]) -> Iterator[_Found]:
    needed = finished.needed or ()
    pairs = pair_calls(calls, needed)
    for made, wanted in pairs:
        args = needed[wanted][1]
        if wrong := wrong_arguments(calls[made].args, args):
            words = (f"{name} is {calls[made].args.get(name)!r}, needed {args.get(name)!r}" for name in wrong)
            yield "wrong_argument", calls[made], None, "; ".join(words)
    missing = [place for place in range(len(needed)) if place not in {wanted for _, wanted in pairs}]
    if not missing:
        extra = [call for place, call in enumerate(calls) if place not in dict(pairs) and call.became in WORKED]
        for call in extra:
            yield "acted_too_much", call, None, call_key(call.name, call.args)
        return
    first = call_key(*needed[missing[0]])
    for call in beyond:
        if call.became in WORKED and finished.due != "refuse":
            yield "wrong_tool", call, None, f"{call_key(call.name, call.args)}, needed {first}"
    answer = last_answer(finished)
    if not answer:
        return
    if "?" not in answer and (_DONE.search(answer) or not any(call.became in WORKED for call in calls)):
        yield "claimed_without_acting", None, None, f"{answer!r} without {first}"
    elif len(needed) - 1 in missing:
        yield "stopped_early", None, None, f"without {first}"
    else:
        yield "skipped_call", None, None, f"without {first}"


def _answered_wrong(finished: Finished) -> Iterator[_Found]:
    answer = last_answer(finished)
    if answer and (finished.needed is not None or finished.expected is not None):
        wanted = f", expected {finished.expected!r}" if finished.expected is not None else ""
        yield "wrong_answer", None, None, f"{answer!r}{wanted}"
