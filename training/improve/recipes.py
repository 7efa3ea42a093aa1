"""Settings of the recipes that a round trains with, from a TOML file with a table for each method."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import BadConfig
from ..recipes.config import settings_of
from ..recipes.methods import METHODS as RECIPES
from .settings import METHODS

OURS = ("base", "out", "data", "suite", "seed", "max_minutes")
"""What a round decides by itself."""


def read_recipes(path: Path) -> dict[str, dict[str, Any]]:
    """Method to its settings by their flags, as in ``{"sft": {"learning_rate": 1e-4, "lora_rank": 16}}``.

    Raises:
        BadConfig: the file cannot be read, or sets what no recipe has or what a round decides by itself.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfig(
            f"{path} cannot be read as TOML: {error}; write tables [sft], [dpo] and [grpo] with settings of "
            "`threadmill train METHOD --print-config`"
        ) from error
    return {method: _flags(path, method, table) for method, table in tables.items()}


def _flags(path: Path, method: str, table: Any) -> dict[str, Any]:
    if method not in METHODS or not isinstance(table, Mapping):
        raise BadConfig(f"{path} has {method!r}, which is no table of a method; there are {', '.join(METHODS)}")
    known = {setting.path: setting.flag for setting in settings_of(RECIPES[method].config_class())}
    found: dict[str, Any] = {}
    for name, value in table.items():
        inner = value if isinstance(value, Mapping) and (name,) not in known else {None: value}
        for part, one in inner.items():
            place = (name,) if part is None else (name, part)
            if place not in known:
                raise BadConfig(
                    f"{path}: {method} has no setting {'.'.join(place)}; see threadmill train {method} --help"
                )
            if known[place] in OURS:
                raise BadConfig(
                    f"{path} sets {'.'.join(place)} of {method}, which improve decides by itself; take it out"
                )
            found[known[place]] = one
    return found
