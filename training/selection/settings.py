"""What is wished of the rows of a data set: which are kept, in which mix, and how they are split."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any, Literal, get_args

from ...errors import BadSelection
from .mix import check_mix

Balance = Literal["tier", "tool"]


@dataclass(frozen=True)
class Selection:
    """Wishes; those left as they are ask nothing. They are met in the order in which they stand here.

    Raises:
        BadSelection: one has a value that it cannot have.
    """

    success_only: bool = False
    """Only good outcomes, as ``behaviour.went_well`` says."""
    min_reward: float | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    """Of a row; both ends inclusive."""
    suites: tuple[str, ...] = ()
    """Evaluation suites whose tasks must not be trained: ``helpdesk``, or JSONL files."""
    exact: bool = False
    """Of rows with equal digests only one."""
    near: float | None = None
    """Of rows whose texts share this part of their five-word runs, or more, only one: 0.8 is usual."""
    best_of: int | None = None
    """At most so many branches of each task, those of the highest rewards."""
    balance: Balance | None = None
    """As many rows of each tier, or of each tool, as there are of the rarest."""
    balance_cap: int | None = None
    """With ``balance``: at most so many of each, however few the rarest has."""
    mix: Mapping[str, float] = field(default_factory=dict)
    """Behaviour, or several as ``refusal|clarification``, to its share of the rows; the shares sum to 1."""
    test: float = 0.0
    """The part of the tasks, or of openings where there is no task, that goes into the split ``test``."""
    seed: int = 0
    """Of what is dropped by ``balance`` and ``mix``, and of the split."""

    def __post_init__(self) -> None:
        if isinstance(self.suites, str) or not all(isinstance(suite, str) and suite for suite in self.suites):
            raise BadSelection(f"suites is {self.suites!r}; give a list of names or files")
        if self.min_reward is not None and not isfinite(self.min_reward):
            raise BadSelection(f"min_reward is {self.min_reward!r}; give a finite number")
        for name in ("min_tokens", "max_tokens", "best_of", "balance_cap"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise BadSelection(f"{name} is {value!r}; give a whole number of at least 1")
        if self.min_tokens is not None and self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise BadSelection(f"no row has at least {self.min_tokens} and at most {self.max_tokens} tokens")
        if self.near is not None and not 0 < self.near <= 1:
            raise BadSelection(f"near is {self.near!r}; give a part between 0 and 1, such as 0.8")
        if self.balance is not None and self.balance not in get_args(Balance):
            raise BadSelection(f"balance is {self.balance!r}; choose {' or '.join(get_args(Balance))}")
        if self.balance_cap is not None and self.balance is None:
            raise BadSelection(f"balance_cap is {self.balance_cap} without a balance; say of tier or of tool")
        if not 0 <= self.test < 1:
            raise BadSelection(f"test is {self.test!r}; give a part from 0 up to 1, such as 0.1")
        check_mix(self.mix)
        object.__setattr__(self, "suites", tuple(self.suites))
        object.__setattr__(self, "mix", dict(self.mix))

    def to_dict(self) -> dict[str, Any]:
        """The wishes that ask something, JSON-safe; ``from_dict`` reads them back.

        >>> Selection(success_only=True, suites=("helpdesk",)).to_dict()
        {'success_only': True, 'suites': ['helpdesk']}
        """
        nothing = Selection()
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        asked = {name: value for name, value in said.items() if value != getattr(nothing, name)}
        return {name: [*value] if isinstance(value, tuple) else value for name, value in asked.items()}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Selection":
        """What ``to_dict`` gave.

        Raises:
            BadSelection: a name or a value is none of a selection's.
        """
        known = [field.name for field in fields(cls)]
        if strange := [name for name in said if name not in known]:
            raise BadSelection(f"a selection has no {', '.join(strange)}; it has {', '.join(known)}")
        try:
            return cls(**said)
        except TypeError as error:
            raise BadSelection(f"{dict(said)!r} is no selection: {error}") from error
