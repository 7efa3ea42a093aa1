"""How an agent behaved on a branch, read from the thread: not from a name that somebody gave it.

What is looked at are calls and their results, who spoke after whom, and the outcome. For declining and for asking
without a question mark there are short lists of phrases; they count together with the rest, never alone.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from langchain_core.messages import BaseMessage

from ..branches import Branch
from .conversation import Turn, turns_of
from .tool_names import asks_user, hands_over, only_reads

Behaviour = Literal["failure", "refusal", "recovery", "clarification", "success", "other"]
"""``failure``: a bad outcome.

``refusal``: a good outcome though no call that acts was ever done, and the agent declined: it said so in an answer
without calls, or handed the conversation over to a person.

``recovery``: a good outcome, and after a call that failed, or was invalid, a later turn has one that was done.

``clarification``: before anything was done that acts, the agent asked and a person replied, whatever the outcome.

``success``: a good outcome. ``other``: none of these, as an unlabelled thread."""

BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
"""A branch that shows several counts as the first of them."""

DECLINING = (
    r"\b(?:can ?not|can'?t|could ?n'?t|unable to|not (?:able|possible|allowed|permitted|eligible|available)|ineligible|"
    r"(?:is|are)n'?t (?:able|possible|allowed|permitted|eligible|available)|won'?t be able|too late|must decline|"
    r"non-?refundable|do(?:es)? not (?:cover|allow|permit)|unfortunately)\b",
    r"\b(?:kann|können?|darf|dürfen) (?:\w+ ){0,6}?(?:nicht|keine?n?)\b|\b(?:leider|nicht (?:möglich|erlaubt))\b",
    r"\bne (?:peux|peut|pouvons) pas\b|\b(?:impossible|malheureusement)\b",
    r"\bno (?:puedo|podemos|es posible|está permitido)\b|\blamentablemente\b",
    r"\bn[ãa]o (?:posso|podemos|é possível)\b|\binfelizmente\b|\bnon (?:posso|possiamo|è possibile)\b|\bpurtroppo\b",
    r"할 수 없|수 없습니다|기능은 없|않습니다|불가능|できません|できかねます|无法|不能|不可以|無法",
)
"""Words of declining in English, German, French, Spanish, Portuguese and Italian, Korean, Japanese and Chinese."""
REQUESTING = (
    r"\bplease (?:provide|tell|share|specify|give|enter|confirm|choose)\b",
    r"\bbitte (?:geben|nennen|teilen|sagen|wählen)\b|\bveuillez\b|\bmerci de (?:préciser|indiquer|donner)\b",
    r"\b(?:indique|proporcione|facilite|dígame|informe|forneça|diga-me|indichi|fornisca|mi dica)\b",
    r"(?:알려|말씀해|입력해) ?주|(?:教えて|知らせて|お知らせ|入力して)ください|请(?:您)?(?:提供|告诉|告知|输入|说明)",
)
"""Words of asking for something without a question mark, in the same languages."""
_DECLINES = re.compile("|".join(DECLINING))
_ASKS = re.compile("|".join((r"[?؟][\s\W]*$", *REQUESTING)))


def behaviours_of(branch: Branch) -> frozenset[Behaviour]:
    """Everything that the branch shows; never empty."""
    turns = turns_of(branch.messages)
    good = went_well(branch.outcome.success, branch.outcome.reward)
    found: set[Behaviour] = set()
    if good is False:
        found.add("failure")
    if good:
        found.add("success")
        if declines(turns):
            found.add("refusal")
        if recovers(turns):
            found.add("recovery")
    if clarifies(turns):
        found.add("clarification")
    return frozenset(found or {"other"})


def behaviour_of(behaviours: Iterable[str]) -> Behaviour:
    """The one that counts where a branch can be in one class only.

    >>> behaviour_of({"success", "clarification"})
    'clarification'
    """
    shown = set(behaviours)
    for name in BEHAVIOURS:
        if name in shown:
            return name
    return "other"


def went_well(success: bool | None, reward: float | None) -> bool | None:
    """Whether the outcome is good: a label of success decides, else a reward of 1 is good and one of 0 is not.

    >>> went_well(True, 0.2), went_well(None, 1.0), went_well(None, 0.0), went_well(None, 0.5)
    (True, True, False, None)
    """
    if success is not None:
        return success
    if reward is None or 0 < reward < 1:
        return None
    return reward >= 1


def acts_at(turn: Turn) -> int:
    """How many calls of ``turn`` were done and do more than read, ask, or hand over."""
    return sum(call.ending == "done" and not _is_harmless(call.tool) for call in turn.calls)


def declines(turns: Sequence[Turn]) -> bool:
    """Was nothing done that acts, while the agent declined in words or handed over to a person?"""
    if any(acts_at(turn) for turn in turns):
        return False
    said = any(not turn.calls and not turn.is_canned and _DECLINES.search(_plain(turn.message)) for turn in turns)
    return said or any(hands_over(call.tool) and call.ending != "error" for turn in turns for call in turn.calls)


def recovers(turns: Sequence[Turn]) -> bool:
    """Was a call done in a turn after one with an error?

    A call that a person refused is no error, and one that a person answered is not done.
    """
    failed = False
    for turn in turns:
        if failed and any(call.ending == "done" for call in turn.calls):
            return True
        failed = failed or any(call.ending == "error" for call in turn.calls)
    return False


def clarifies(turns: Sequence[Turn]) -> bool:
    """Did the agent ask and get a reply before it did anything that acts?

    It asks in an answer without calls that ends with a question mark or requests something, if no call was made before
    or one is made later ("anything else?" is no such question); or by a call that a person answered; or by a tool
    that asks.
    """
    called = False
    for place, turn in enumerate(turns):
        if any(call.ending == "answered" or (asks_user(call.tool) and call.ending == "done") for call in turn.calls):
            return True
        if _is_question(turn) and (not called or any(later.calls for later in turns[place + 1 :])):
            return True
        if acts_at(turn):
            return False
        called = called or bool(turn.calls)
    return False


def _is_question(turn: Turn) -> bool:
    if turn.calls or turn.first or turn.is_canned or not turn.replies:
        return False
    return bool(_ASKS.search(_plain(turn.message)))


def _is_harmless(tool: str) -> bool:
    return only_reads(tool) or hands_over(tool) or asks_user(tool)


def _plain(message: BaseMessage) -> str:
    return unicodedata.normalize("NFKC", str(message.text)).casefold().replace("’", "'")
