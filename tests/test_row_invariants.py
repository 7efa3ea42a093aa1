"""The invariants of rows over random lives of real threads: what is exported against what the models really did."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from overheard_model import OverheardModel, Says
from overheard_threads import LOOK, PAY_8, PAY_9, THINK, Life, export, open_models
from random_threads import LIVES, SETTINGS, VIEWED_LIVES
from row_oracle import check

_numbers = count()


@pytest.fixture(scope="module")
def models(tiny_tokenizer: Any) -> Iterator[dict[str, OverheardModel]]:
    yield from open_models(tiny_tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lives")


@given(steps=LIVES)
@settings(
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=14,
    phases=[Phase.generate],  # with Phase.shrink a life that fails gets short, which takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
def test_rows_of_random_threads_keep_the_invariants(models: Any, folder: Path, steps: list[Any]) -> None:
    life = Life(f"sqlite:///{folder / 'runs.db'}", models)
    try:
        for step in steps:
            life.step(*step)
        check(life, export(life, folder / f"rows{next(_numbers)}"))
    finally:
        life.close()


@given(steps=VIEWED_LIVES, how=SETTINGS)
@settings(
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=4,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
def test_rows_keep_them_where_the_model_sees_a_part_of_its_thread(
    models: Any, folder: Path, steps: list[Any], how: dict[str, Any]
) -> None:
    """Under a budget, with memories that change, marks and pages."""
    life = Life(f"sqlite:///{folder / 'runs.db'}", models, **how)
    try:
        for step in steps:
            life.step(*step)
        check(life, export(life, folder / f"rows{next(_numbers)}"))
    finally:
        life.close()


def test_the_trainers_gradient_is_zero_where_rows_are_masked(models: Any, folder: Path, tiny_folder: Path) -> None:
    from threadmill.training.recipes.sft import SftConfig, make_trainer

    life = Life(f"sqlite:///{folder / 'runs.db'}", models)
    life.talk(0, "pay", [Says(PAY_8 + PAY_9)], [{"type": "approve"}, {"type": "edit", "args": {"amount": 2}}])
    life.fork(0, 1, [Says("Two.")])
    life.talk(1, "pay", [Says(THINK + PAY_8)], [{"type": "reject", "text": "no"}])
    life.say(1, "look", [Says(LOOK)])
    rows = export(life, folder / "every")
    life.close()
    config = SftConfig(folder / "every", str(tiny_folder), folder / "out", batch_size=len(rows), max_steps=1)
    trainer, _, _ = make_trainer(config)
    batch = next(iter(trainer.get_train_dataloader()))
    hidden: list[Any] = []

    def keep(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        output.retain_grad()
        hidden.append(output)

    hook = trainer.model.model.norm.register_forward_hook(keep, with_kwargs=True)
    trainer.compute_loss(trainer.model, dict(batch)).backward()
    hook.remove()
    labels, moved = batch["labels"], hidden[0].grad.abs().sum(-1) > 0
    trained = [[label for label in row if label != -100] for row in labels.tolist()]
    assert sorted(trained) == sorted([label for label in row["labels"] if label != -100] for row in rows)
    assert len(rows) == 4
    # what the network says at one position predicts the token at the next
    assert moved[:, :-1].tolist() == (labels[:, 1:] != -100).tolist()
    assert not moved[:, -1].any()
