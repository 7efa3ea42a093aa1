"""How many rows are how long, in classes that double."""

from collections import Counter


class Histogram:
    """Counts numbers of tokens by the power of two that they do not exceed."""

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()
        self._longest = 0

    def add(self, tokens: int) -> None:
        """Count one row.

        >>> histogram = Histogram()
        >>> for tokens in (0, 1, 3, 4, 5, 900): histogram.add(tokens)
        >>> histogram.to_dict()
        {'at_most': {'1': 2, '4': 2, '8': 1, '1024': 1}, 'longest': 900}
        """
        self._classes[1 << (tokens - 1).bit_length() if tokens > 1 else 1] += 1
        self._longest = max(self._longest, tokens)

    def to_dict(self) -> dict[str, object]:
        """The number of rows by the largest number of tokens in their class, and the longest row."""
        return {"at_most": {str(top): self._classes[top] for top in sorted(self._classes)}, "longest": self._longest}
