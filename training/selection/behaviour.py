"""How an agent behaved on a branch, read from the thread: not from a name that somebody gave it.

What is looked at are calls and their results, who spoke after whom, and the outcome. For declining and for asking
without a question mark there are short lists of phrases; they count together with the rest, never alone.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

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
    *("cannot", "can't ", "can not ", "couldn't", "could not", "unable to", "not able to", "n't able to"),
    *("not possible", "n't possible", "not allowed", "n't allowed", "not permitted", "n't permitted", "not allow "),
    *("not eligible", "n't eligible", "ineligible", "not available", "non-refundable", "nonrefundable", "not cover "),
    *(" too late", "must decline", "unfortunately"),
    *(" leider", "kann nicht", "kann ich nicht", "können nicht", "nicht möglich", "nicht erlaubt", "darf ich nicht"),
    *("ne peux pas", "ne peut pas", "ne pouvons pas", "impossible", "malheureusement"),
    *("no puedo", "no podemos", "no es posible", "no está permitido", "lamentablemente"),
    *("não posso", "não podemos", "não é possível", "infelizmente"),
    *("non posso", "non possiamo", "non è possibile", "purtroppo"),
    *("할 수 없", "수 없습니다", "기능은 없", "않습니다", "불가능", "できません", "できかねます"),
    *("无法", "不能", "不可以", "無法"),
)
"""Words of declining in English, German, French, Spanish, Portuguese, Italian, Korean and Japanese, and Chinese."""
REQUESTING = (
    *("please provide", "please tell", "please share", "please specify", "please give", "please enter"),
    *("please confirm", "please choose", "bitte geben", "bitte nennen", "bitte teilen", "bitte sagen", "bitte wählen"),
    *("veuillez", "merci de préciser", "merci d'indiquer", " indique ", "proporcione", "dígame", "forneça", "diga-me"),
    *("indichi", "fornisca", " mi dica", "알려주", "알려 주", "말씀해주", "말씀해 주", "입력해주", "입력해 주"),
    *("教えてください", "知らせてください", "入力してください", "请提供", "请您提供", "请告诉", "请告知", "请输入"),
)
"""Words of asking for something without a question mark, in the same languages."""
_CURLY, _STRAIGHT = "’'"


def behaviours_of(branch: Branch) -> frozenset[Behaviour]:
    """Everything that the branch shows; never empty."""
    return behaviours_in(turns_of(branch.messages), went_well(branch.outcome.success, branch.outcome.reward))


def behaviours_in(turns: Sequence[Turn], good: bool | None) -> frozenset[Behaviour]:
    """Everything that these turns show, if they ended well or not; never empty."""
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
    """Whether the outcome is good: a label of success decides, else a reward of 1 or more is good, of 0 or less not.

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
    done = [call.tool for turn in turns for call in turn.calls if call.ending in ("done", "unknown")]
    if not all(map(_is_harmless, done)):
        return False
    said = any(not turn.calls and not turn.is_canned and _says(DECLINING, _plain(turn)) for turn in turns)
    return said or any(map(hands_over, done))


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

    It asks in an answer without calls that ends with a question mark or requests something, if a call is made later or
    none at all ("anything else?" after the last call is no such question); or by a call that a person answered; or by
    a tool that asks.
    """
    calling = [place for place, turn in enumerate(turns) if turn.calls]
    for place, turn in enumerate(turns):
        if any(call.ending == "answered" or (asks_user(call.tool) and call.ending == "done") for call in turn.calls):
            return True
        if _is_question(turn) and (not calling or place < calling[-1]):
            return True
        if acts_at(turn):
            return False
    return False


def _is_question(turn: Turn) -> bool:
    if turn.calls or turn.first or turn.is_canned or not turn.replies:
        return False
    text = _plain(turn)
    end = max(text.rfind("?"), text.rfind("؟"))
    return (end >= 0 and not any(map(str.isalnum, text[end:]))) or _says(REQUESTING, text)


def _is_harmless(tool: str) -> bool:
    return only_reads(tool) or hands_over(tool) or asks_user(tool)


def _says(phrases: Iterable[str], text: str) -> bool:
    return any(map(text.__contains__, phrases))


def _plain(turn: Turn) -> str:
    """What the agent said in small letters, in one form of each character, between spaces."""
    said = str(turn.message.text)
    return f" {unicodedata.normalize('NFKC', said).casefold().replace(_CURLY, _STRAIGHT)} "
