"""Characters that a person reading a text would not see, made visible: ``<U+200B>`` stands where one was.

They are how instructions are hidden from people and shown to models. Where writing needs one, it stays: joiners in
Arabic and Indic scripts and in emoji, marks of direction in a line with right-to-left letters, one variation selector
behind a character that has variants, the spaces without width of scripts that write none.
"""

import re
from unicodedata import bidirectional, category, combining

_ALWAYS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that show nothing."""
_JOINERS = frozenset("\u200c\u200d")
_DIRECTION = frozenset("\u200e\u200f\u061c")
_NO_WIDTH = "\u200b"
_FLAGS = tuple(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
"""England, Scotland and Wales: the only emoji made of tag characters."""
_EMOJI_STYLE = frozenset("\ufe0e\ufe0f")


def show_hidden(text: str) -> str:
    r"""``text`` with its hidden characters written out; what a person sees anyway stays as it is, in any language.

    >>> show_hidden("pay\u200b now"), show_hidden("\U0001f469\u200d\U0001f680")
    ('pay<U+200B> now', '👩\u200d🚀')
    """
    if text.isascii() and text.isprintable():
        return text
    suspects = [character for character in set(text) if may_hide(character)]
    if not suspects:
        return text
    pattern = re.compile(f"[{''.join(map(re.escape, suspects))}]")
    return pattern.sub(lambda found: found[0] if _belongs(text, found.start()) else f"<U+{ord(found[0]):04X}>", text)


def may_hide(character: str) -> bool:
    """Is it one that nobody sees, unless writing needs it where it stands?"""
    if character in "\n\t":
        return False
    code, kind = ord(character), category(character)
    if kind == "Cn":  # new emoji and ideographs that this Python does not know yet
        return not (0x1F000 <= code < 0x1FB00 or 0x20000 <= code < 0x40000) or code & 0xFFFE == 0xFFFE
    if kind in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"):
        return not _is_visible_format(code)
    return character in _ALWAYS or _is_selector(code)


def _is_visible_format(code: int) -> bool:
    """Signs in front of Arabic and Kaithi numbers, and how hieroglyphs are joined."""
    return (
        0x0600 <= code <= 0x0605
        or code in (0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD)
        or 0x13430 <= code <= 0x1343F
    )


def _is_selector(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or code in (0x180B, 0x180C, 0x180D, 0x180F)


def _belongs(text: str, place: int) -> bool:
    """Whether writing needs the character here."""
    character = text[place]
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    code = ord(character)
    if character == "\r":
        return after == "\n"
    if character in _JOINERS:
        return _joins(character, before, after)
    if character in _DIRECTION:
        return before not in _DIRECTION and _is_right_to_left(_line_around(text, place))
    if character == _NO_WIDTH:
        return _is_unspaced(before) and _is_unspaced(after)
    if _is_selector(code) or code == 0x180E:
        return bool(before) and _has_variants(before, code)
    if 0xE0000 <= code < 0xE0080:
        return any(text.startswith(flag, text.rfind("\U0001f3f4", 0, place)) for flag in _FLAGS) and (
            place - text.rfind("\U0001f3f4", 0, place) <= 6
        )
    return False


def _joins(joiner: str, before: str, after: str) -> bool:
    if not before:
        return False
    if joiner == "\u200d" and after and _is_pictured(after):
        return _is_pictured(before) or before == "\ufe0f" or 0x1F3FB <= ord(before) <= 0x1F3FF
    makes_cluster = combining(before) == 9 or (bool(after) and combining(after) == 9)
    return makes_cluster or bidirectional(before) == "AL"


def _is_pictured(character: str) -> bool:
    code = ord(character)
    return code >= 0x2190 and (category(character) in ("So", "Sm") or 0x1F000 <= code < 0x1FB00)


def _has_variants(before: str, selector: int) -> bool:
    code, kind = ord(before), category(before)
    ideograph = 0x3400 <= code <= 0x9FFF or 0x20000 <= code < 0x40000
    if chr(selector) in _EMOJI_STYLE:
        return kind in ("So", "Sm", "Nd", "Po", "Pd") or before == "\u2139" or _is_pictured(before)
    if selector >= 0xE0100:
        return ideograph and selector <= 0xE010F
    if 0x180B <= selector <= 0x180F:
        return 0x1820 <= code <= 0x18AA
    return ideograph or kind == "Sm"


def _is_unspaced(character: str) -> bool:
    """Whether it is of a script that is written without spaces: Thai, Lao, Tibetan, Burmese, Khmer."""
    return bool(character) and (0x0E00 <= ord(character) <= 0x109F or 0x1780 <= ord(character) <= 0x17FF)


def _line_around(text: str, place: int) -> str:
    end = text.find("\n", place)
    return text[text.rfind("\n", 0, place) + 1 : end if end >= 0 else len(text)]


def _is_right_to_left(line: str) -> bool:
    return any(bidirectional(character) in ("R", "AL") for character in line if character not in _DIRECTION)
