"""Which claims of an agent's answers trace to something it was told? A heuristic over text, and nothing more. Pure.

A claim is a number, an id (letters and digits), a date, a time, an address (e-mail, web) or quoted words, in a message
of the agent to the user. It is grounded if an observation (inside of the agent's nodes too), the user or the system
prompt said so before. Words that are not quoted are no claims, and neither are numbers of list items. What the agent
counted or added up by itself, and names, are beyond this: a sum without a calculator is not grounded.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, ToolMessage

from ...checkpoints.importers.record import CANNED_KEY
from ...graphs.claims.values import Kind, Told, stated_in
from ...nodes.bound_tools import system_at
from ..rewards.finished import Finished

_ITEM = re.compile(r"^\s*(?:[-*]\s+)?\d{1,2}[.)]\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Claim:
    """Something an answer claims."""

    kind: Kind
    words: str
    """As it was written."""
    value: str
    """The same for what means the same: ``1,200.00`` and ``1200`` are one number."""
    message: str | None
    """Id of the answer."""
    grounded: bool


def find_claims(finished: Finished) -> list[Claim]:
    """The claims of the episode's answers (messages of the agent without calls), in order, each once an answer.

    >>> from langchain_core.messages import HumanMessage, ToolMessage
    >>> said = (HumanMessage("And O7?"), ToolMessage("amount 1200", tool_call_id="c1"), AIMessage("O7 is $1,250."))
    >>> [(claim.words, claim.grounded) for claim in find_claims(Finished("t1", said))]
    [('O7', True), ('1,250', False)]
    """
    told, claims = Told(), []
    told.add(system_at(finished.messages))
    told.add(finished.text)
    for messages in finished.conversations[1:]:
        for message in messages:
            if isinstance(message, ToolMessage):
                told.add(message.text)
    for message in finished.messages:
        if not isinstance(message, AIMessage) or message.response_metadata.get(CANNED_KEY):
            told.add(message.text)
        elif not message.tool_calls and not message.invalid_tool_calls:
            found: dict[tuple[Kind, str], str] = {
                (kind, value): words for kind, words, value in stated_in(_ITEM.sub("\n", message.text))
            }
            claims += [
                Claim(kind, words, value, message.id, told.holds(kind, words, value))
                for (kind, value), words in found.items()
            ]
    return claims


def groundedness(claims: Sequence[Claim]) -> float | None:
    """The share of ``claims`` that are grounded; None without claims."""
    return sum(claim.grounded for claim in claims) / len(claims) if claims else None
