"""A text as words, so that two texts can be compared whatever their case, spacing and punctuation."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


def words(text: str) -> list[str]:
    """The words of ``text`` in small letters; of Chinese and Japanese, which have no spaces, the characters.

    >>> words("Cancel ORDER\\n O123, please!"), words("取消 Order")
    (['cancel', 'order', 'o123', 'please'], ['取', '消', 'order'])
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def runs(said: Sequence[str], length: int) -> Iterator[str]:
    """Every ``length`` words in a row, also called shingles or n-grams; none if there are fewer words.

    >>> [*runs(["a", "b", "c"], 2)]
    ['a b', 'b c']
    """
    for start in range(len(said) - length + 1):
        yield " ".join(said[start : start + length])
