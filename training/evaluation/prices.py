"""What tokens cost: a price table, and what an episode's model calls cost by it."""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...errors import BadEvaluation

MILLION = 1_000_000


class Price(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)
    """Of prompt tokens that the server had read before; None: as other prompt tokens."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Model-name patterns to prices, in the order of the file; the first that matches counts."""

    table: dict[str, Price]

    def of(self, *names: str) -> Price | None:
        """The price of the model that goes by ``names``; None if no pattern matches one of them.

        >>> prices = Prices({"openai:gpt-5*": Price(prompt=1.25, completion=10)})
        >>> prices.of("openai:gpt-5-mini").completion, prices.of("seed")
        (10.0, None)
        """
        return next(
            (
                price
                for pattern, price in self.table.items()
                if any(name and fnmatchcase(name, pattern) for name in names)
            ),
            None,
        )


def load_prices(path: str | Path) -> Prices:
    """The price table in the TOML file at ``path``: ``["openai:gpt-5*"]``, ``prompt = 1.25``, ``completion = 10.0``.

    Raises:
        BadEvaluation: it cannot be read, or a price is missing or no number.
    """
    try:
        read = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        return Prices(TypeAdapter(dict[str, Price]).validate_python(read))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadEvaluation(f"the price table {str(path)!r} cannot be read: {error}; name a TOML file") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadEvaluation(
            f"the price table {str(path)!r} has {place}: {first['msg']}; "
            "a model has prompt, completion and, where it differs, cached, in USD per million tokens"
        ) from error
