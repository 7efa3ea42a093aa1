"""The invariants of rows over random lives of real threads: what is exported against what the models really did."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from overheard_model import OverheardModel
from random_threads import STEPS, Life, export, open_models
from row_oracle import check

_numbers = count()


@pytest.fixture(scope="module")
def models(tiny_tokenizer: Any) -> Iterator[dict[str, OverheardModel]]:
    yield from open_models(tiny_tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lives")


@given(steps=st.lists(STEPS, min_size=3, max_size=10))
@settings(
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=25,
    phases=[Phase.generate, Phase.shrink] if os.environ.get("SHRINK") else [Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_rows_of_random_threads_keep_the_invariants(models: Any, folder: Path, steps: list[Any]) -> None:
    life = Life(f"sqlite:///{folder / 'runs.db'}", models)
    try:
        for step in steps:
            life.step(*step)
        check(life, export(life, folder / f"rows{next(_numbers)}"))
    finally:
        life.close()
