"""Configs: TOML and flags give the same config, what is written reads back equal, mistakes are named."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from threadmill.errors import BadConfig
from threadmill.training.recipes.config import load_config, settings_of, to_toml
from threadmill.training.recipes.methods import METHODS
from threadmill.training.recipes.settings import Lora, Run


@dataclass(frozen=True)
class Toy:
    """A config with a value of every kind."""

    data: Annotated[Path, "Where rows are."]
    steps: Annotated[int, "How many.", Ge(1)] = 4
    rate: Annotated[float | None, "How fast."] = None
    loss: Literal["dapo", "grpo"] = "dapo"
    rewards: Annotated[Mapping[str, float], "What counts."] = field(default_factory=lambda: {"end": 1.0})
    lora: Lora = Lora(rank=8)
    run: Run = Run()


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "toy.toml").write_text(text)
    return tmp_path / "toy.toml"


def test_a_file_sets_what_it_names_and_flags_come_first(tmp_path: Path) -> None:
    file = write(tmp_path, 'data = "rows"\nsteps = 7\n[lora]\nalpha = 3\n[run]\ntrack = ["trackio"]\n')
    flags = {"steps": "9", "rate": "1e-3", "lora_dropout": "0.1", "max_minutes": "5", "rewards": {"cost": "-1"}}
    assert load_config(Toy, file, flags) == Toy(
        data=Path("rows"),
        steps=9,
        rate=0.001,
        rewards={"cost": -1.0},
        lora=Lora(rank=8, alpha=3.0, dropout=0.1),
        run=Run(track=("trackio",), max_minutes=5.0),
    )


def test_none_can_be_said(tmp_path: Path) -> None:
    file = write(tmp_path, 'data = "rows"\nrate = 0.5\n')
    assert load_config(Toy, file, {"rate": "none"}).rate is None


def test_a_file_shows_the_help_and_tables_come_last() -> None:
    assert to_toml(Toy(Path("rows"))).startswith(
        "# Where rows are.\n"
        'data = "rows"\n'
        "# How many.\n"
        "steps = 4\n"
        "# How fast.\n"
        'rate = "none"\n'
        'loss = "dapo"\n'
        "# What counts.\n"
        "[rewards]\n"
        "end = 1.0\n"
        "\n"
        "[lora]\n"
    )


@given(
    st.builds(
        Toy,
        data=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).map(Path),
        steps=st.integers(1, 2**53),
        rate=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        loss=st.sampled_from(["dapo", "grpo"]),
        rewards=st.dictionaries(st.text("a\"' .=[]\n", max_size=4), st.floats(-1e9, 1e9)),
        lora=st.builds(Lora, rank=st.integers(0, 512), alpha=st.none() | st.floats(0.1, 99), dora=st.booleans()),
        run=st.builds(Run, max_minutes=st.none() | st.floats(0.1, 1e6), track=st.just(("tensorboard", "trackio"))),
    )
)
@examples(max_examples=40, deadline=None)
def test_what_is_written_reads_back_equal(config: Toy) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "toy.toml"
        file.write_text(to_toml(config), encoding="utf-8")
        assert load_config(Toy, file) == config


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("step = 3", "toy.toml sets 'step', which is no setting; did you mean steps?"),
        ("lora_rank = 3", "sets 'lora_rank', which is no setting; did you mean lora.rank?"),
        ("max_minutes = 3", "sets 'max_minutes', which is no setting; did you mean run.max_minutes?"),
        ("[lora]\nranks = 3", "toy.toml, [lora] sets 'ranks', which is no setting; did you mean rank?"),
        ("lora = 8", "lora = 8, but it is a table; write [lora] and its settings below"),
        ("steps = 0", "steps = 0: it should be greater than or equal to 1. How many."),
        ('steps = "many"', "steps = 'many': it should be a valid integer"),
        ("steps = true", "steps = true: it should not be true or false. How many."),
        ("rate = inf", "rate = inf: it should be a finite number. How fast."),
        ("steps = 2.5", "steps = 2.5: it should be a valid integer, got a number with a fractional part"),
        ('loss = "nll"', "loss = 'nll': it should be 'dapo' or 'grpo'"),
        ("[lora]\nrank = -1", "lora.rank = -1: it should be greater than or equal to 0. Rank of the adapter"),
        ('[run]\ntrack = ["wandb"]', "run.track = ['wandb']: it should be 'tensorboard' or 'trackio'"),
        ("[rewards]\nend = 'x'", "rewards = {'end': 'x'}: it should be a valid number"),
        ("steps = ", "toy.toml cannot be read as TOML"),
        ("", "data is not given; say --data, or data = … in the file"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadConfig) as refused:
        load_config(Toy, write(tmp_path, text))
    assert complaint in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"^there is no file .*none\.toml; `threadmill train sft --print-config > "):
        load_config(Toy, tmp_path / "none.toml")


@pytest.mark.parametrize("method", METHODS)
def test_every_recipe_says_what_its_settings_are(method: str) -> None:
    config: Any = METHODS[method].config_class()
    unsaid = [".".join(one.path) for one in settings_of(config) if not one.help]
    flags = [one.flag for one in settings_of(config)]
    assert unsaid == []
    assert sorted(set(flags)) == sorted(flags)
    assert {"base", "out", "learning_rate", "max_steps", "seed", "lora_rank", "max_minutes"} <= set(flags)
