"""What the name of a tool says about it: does it only read, hand over to somebody, or ask the user.

A thread does not record which of its tools change something, so the words of their names decide. A name that says
nothing is taken for a tool that acts.
"""

import re
from functools import lru_cache

READING = frozenset(
    "browse calculate calculator check compute convert count describe fetch find get inspect list load lookup look "
    "peek ping preview query read retrieve search select show summarize think validate verify view".split()
)
"""First words of tools that leave the world as it was."""
HANDING_OVER = frozenset("escalate handoff handover transfer".split())
"""First words of tools that give the conversation to a person, if another word names one."""
PEOPLE = frozenset("agent agents human humans operator person representative supervisor support".split())
ASKING = frozenset("ask clarify".split())
"""First words of tools that put a question to the user."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def name_words(tool: str) -> list[str]:
    """The words of a tool's name, in small letters.

    >>> name_words("transfer_to_human_agents"), name_words("getOrder"), name_words("shop.find-SKU")
    (['transfer', 'to', 'human', 'agents'], ['get', 'order'], ['shop', 'find', 'sku'])
    """
    return [word.lower() for word in _WORD.findall(tool)]


@lru_cache(1024)
def only_reads(tool: str) -> bool:
    """Does the tool leave the world as it was, by its name?

    >>> [only_reads(name) for name in ("get_order", "search_policy", "shop.find_orders", "refund", "execute")]
    [True, True, True, False, False]
    """
    words = _own_words(tool)
    return bool(words) and words[0] in READING


@lru_cache(1024)
def hands_over(tool: str) -> bool:
    """Does the tool give the conversation to a person, by its name?

    >>> [hands_over(name) for name in ("transfer_to_human_agents", "escalate", "transfer_money")]
    [True, True, False]
    """
    words = _own_words(tool)
    return bool(words) and words[0] in HANDING_OVER and (len(words) == 1 or not PEOPLE.isdisjoint(words))


@lru_cache(1024)
def asks_user(tool: str) -> bool:
    """Does the tool put a question to the user, by its name?

    >>> [asks_user(name) for name in ("ask_human", "clarify", "task_list")]
    [True, True, False]
    """
    words = _own_words(tool)
    return bool(words) and words[0] in ASKING


def _own_words(tool: str) -> list[str]:
    """Without the name of the server or class that the tool belongs to."""
    return name_words(tool.rpartition(".")[2])
