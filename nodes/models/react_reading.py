"""How ReAct is read that a chat model wrote: as the form, with the small liberties that such models take."""

import json
import re
from dataclasses import replace

from .families.family import Said, SpokenCall
from .families.react_text import REACT_TEXT
from .families.react_text import read as read_sections

STOP = "\nObservation:"

_LINE = re.compile(
    r"^[ \t]*[*_#>`]{0,4}[ \t]*(Thought|Action Input|Action|Observation|Final Answer)[ \t]*[*_]{0,3}[ \t]*:[*_]{0,3}",
    re.IGNORECASE | re.MULTILINE,
)
_OBSERVED = re.compile(STOP)
_BEGUN = re.compile(r"(?:^|\n)[ \t*_#>`]*[A-Za-z ]{0,13}[*_ \t]*\Z")
_FENCE = re.compile(r"`(?:``[a-z]*)?\s*?(?:\n|(?=[{\[]))")


def read(opening: str, text: str) -> Said:
    """Thoughts, calls and final answer; small liberties with the form are taken for the form.

    >>> read("", '**Action:** look\\n**Action Input:**\\n```json\\n{"id": 1}\\n```').calls[0].args
    '{"id": 1}'
    """
    said = read_sections(opening, _in_form("\n" + text), _OBSERVED)
    return replace(said, calls=tuple(_bare(call) for call in said.calls))


def _in_form(text: str) -> str:
    """``text`` with the words of the form as it writes them; a final answer is left as it is."""
    final = next((found for found in _LINE.finditer(text) if _word(found) == "Final Answer"), None)
    end = final.end() if final else len(text)
    return _LINE.sub(lambda found: f"{_word(found)}:", text[:end]) + text[end:]


def up_to_observation(text: str) -> str:
    """``text`` up to where the model, or its stop text, went on to the observation."""
    for found in _LINE.finditer(text):
        if _word(found) == "Final Answer":
            break
        if _word(found) == "Observation" and found.start():
            return text[: found.start() - 1]
    return text.partition(STOP)[0]


def _in_words(opening: str, text: str) -> Said:
    return Said(text.strip())


ACTING = replace(REACT_TEXT, name="react-chat", read=read, markers=(), stop=())
SPEAKING = replace(ACTING, read=_in_words)
"""Where no call is possible, the answer is taken as it stands."""


def _word(found: re.Match[str]) -> str:
    return found[1].title()


def _bare(call: SpokenCall) -> SpokenCall:
    """``call`` with its arguments out of their fence, its name without ornaments."""
    name = call.name.strip("`*_ \t\n\"'").removesuffix("()") if call.name else None
    args = _unfenced(call.args)
    return replace(call, name=name or None, args=args, raw=args if name else call.raw)


def _unfenced(args: str) -> str:
    """The JSON in a fence, closed or not, or in front of the end of one around the whole answer; else ``args``."""
    opened = _FENCE.match(args.lstrip())
    inside = args.lstrip()[opened.end() :] if opened else args
    try:
        end = json.JSONDecoder().raw_decode(inside)[1]
    except (ValueError, RecursionError):
        return inside.partition("\n```")[0] if opened else args
    behind = inside[end:].strip()
    return inside[:end] if behind[:1] == "`" or (opened and not behind) else args


def certain(text: str) -> str:
    """``text`` without a line that may still become the beginning of a section."""
    begun = _BEGUN.search(text)
    return text[: begun.start()] if begun else text
