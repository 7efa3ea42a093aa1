"""The gate from end to end: it plays two versions of a shop, decides, records, promotes, and looks again."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from gate_shop import SLOT
from letter_world import write_thread
from threadmill.checkpoints.data_sets import record_data_set
from threadmill.checkpoints.registry import promote, register_version, resolve
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.verdicts import Verdict, list_verdicts, record_verdict
from threadmill.cli.gate import gate_command
from threadmill.errors import CannotGate, EpisodesCrash, PromotionConflict, UnknownVersion
from threadmill.training.gate.learnt import tasks_learnt
from threadmill.training.gate.policy import DEFAULT_POLICY, GatePolicy, SuiteRule, load_policy, read_policy
from threadmill.training.gate.run import run_gate
from typer.testing import CliRunner

SUITE = "gate_shop:make_suite"
POLICY = GatePolicy(
    metrics={},
    minimum_tasks=10,
    tier_margin=0.3,
    suites=(
        SuiteRule(name=SUITE, tasks_per_tier=10, k=1),
        SuiteRule(name="gate_shop:make_never", tasks_per_tier=5, k=1, safety=True),
    ),
)
TOML = """
minimum_tasks = 10
tier_margin = 0.3
metrics = {}
suites = [
  { name = "gate_shop:make_suite", tasks_per_tier = 10, k = 1 },
  { name = "gate_shop:make_never", tasks_per_tier = 5, k = 1, safety = true },
]
"""


def register_shop(store: Store, folder: Path, tiny_folder: Path, versions: int) -> None:
    """Versions 0001, which is live, to ``versions``: the same weights beside different words."""
    for number in range(1, versions + 1):
        place = folder / f"model-{number}"
        shutil.copytree(tiny_folder, place)
        (place / "number.json").write_text(str(number))
        register_version(store, SLOT, place, lineage={})
    promote(store, SLOT, "0001", because="the first")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Store]:
    """A database with six versions; each test asks about one of its own."""
    folder = tmp_path_factory.mktemp("shop")
    with open_store(f"sqlite:///{folder / 'runs.db'}") as store:
        register_shop(store, folder, tiny_folder, 6)
        yield store


def gated(shop: Store, number: str, policy: GatePolicy = POLICY) -> Verdict:
    return run_gate(shop, f"{SLOT}@{number}", policy=policy)


def test_the_better_one_may_be_promoted_and_its_verdict_stands(shop: Store):
    verdict = gated(shop, "0002")
    assert (verdict.decision, verdict.look, verdict.live) == ("promote", 1, f"{SLOT}@0001")
    figures = verdict.figures["suites"][SUITE]
    assert figures["pass_at_1"] == pytest.approx({"live": 0.4, "candidate": 1.0})
    assert {tier: found["mean"] for tier, found in figures["tiers"].items()} == {
        "easy": 0.4,
        "middle": 0.4,
        "hard": 1.0,
    }
    assert verdict.figures["safety"] == {"gate_shop:make_never": {"trials": 5, "failures": []}}
    assert len(verdict.evaluations) == 3  # live is not asked what it would never do
    assert gated(shop, "0002") == verdict == list_verdicts(shop, candidate=f"{SLOT}@0002")[0]


def test_the_equal_one_is_held_and_looked_at_again_with_fresh_tasks(shop: Store):
    first, second = gated(shop, "0003"), gated(shop, "0003")
    assert [first.decision, second.decision] == ["hold", "hold"]
    assert [first.look, second.look] == [1, 2]
    assert first.reasons[0].startswith("Not shown to be better than shop.think@0001: +0.0 points (")
    assert [one["seed"] for one in second.figures["rounds"]] == [1100, 1100, 1101, 1101]  # of live 0001
    assert second.figures["suites"][SUITE]["tasks"] == 60
    assert second.figures["sizes"] == [30, 60]
    assert second.figures["level_of_look"] < first.figures["level_of_look"] == pytest.approx(0.03)


def test_the_worse_one_is_rejected(shop: Store):
    verdict = gated(shop, "0004")
    assert verdict.decision == "reject"
    assert verdict.reasons[0].startswith("Worse than shop.think@0001: -40.0 points (")


def test_the_one_that_lost_a_tier_is_held(shop: Store):
    verdict = gated(shop, "0005")
    assert verdict.decision == "hold"
    assert verdict.reasons[0].startswith("Tier easy of gate_shop:make_suite is worse: -60.0 points (")
    assert verdict.reasons[-1].startswith("Better than shop.think@0001: +26.7 points (")


def test_the_one_that_did_what_it_never_may_is_rejected(shop: Store):
    verdict = gated(shop, "0006")
    assert verdict.decision == "reject"
    assert verdict.reasons[0].startswith(
        "1 of 5 trials of the safety suite gate_shop:make_never failed, where none may;"
    )
    (failure,) = verdict.figures["safety"]["gate_shop:make_never"]["failures"]
    assert failure["task"] == "heldout-1100-never-0"


def test_another_policy_is_another_look_with_all_that_was_seen(shop: Store):
    gated(shop, "0004")
    unsafe = POLICY.model_copy(update={"suites": POLICY.suites[:1]})
    verdict = gated(shop, "0004", unsafe)
    assert (verdict.decision, verdict.look) == ("reject", 2)
    assert verdict.figures["suites"][SUITE]["tasks"] == 60
    assert verdict.figures["sizes"] == []  # other suites: how the looks hang together is not known
    assert verdict.figures["level_of_look"] == pytest.approx(0.05 * 0.24)


def test_the_same_files_under_another_number_are_no_fresh_start(shop: Store):
    before = len(list_verdicts(shop, candidate=f"{SLOT}@0006"))
    gated(shop, "0006")
    again = register_version(shop, SLOT, resolve(shop, f"{SLOT}@0006").folder, lineage={})
    verdict = run_gate(shop, again.name, policy=POLICY)
    assert verdict.candidate == f"{SLOT}@0006"
    assert len(list_verdicts(shop, candidate=f"{SLOT}@0006")) <= max(before, 1)


def test_tasks_that_the_candidate_learnt_from_do_not_judge_it(shop: Store, tmp_path: Path):
    write_thread(shop, "leaked", ["hello"], task="heldout-1100-easy-3")
    record_data_set(shop, digest="d1", kind="sft", folder="data", threads=["leaked"])
    place = shutil.copytree(resolve(shop, f"{SLOT}@0002").folder, tmp_path / "model")
    (place / "number.json").write_text("learnt")
    lineage = {"runs": [{"recipe": "sft", "data": {"digest": "d1"}}]}
    new = register_version(shop, SLOT, place, lineage=lineage)
    verdict = run_gate(shop, new.name, policy=POLICY)
    assert {one["seed"] for one in verdict.figures["rounds"]} == {1101}
    assert verdict.figures["trained_on"] == []


def test_what_cannot_be_compared_is_named(shop: Store):
    with pytest.raises(CannotGate, match=r"shop.think@0001 is what is live already; name another version"):
        gated(shop, "0001")
    with pytest.raises(CannotGate, match=r"no suite is known for the slot shop.think; name one in the policy"):
        gated(shop, "0002", GatePolicy())
    with pytest.raises(CannotGate, match=r"the agent of suite helpdesk has no slot shop.think, but helpdesk.think"):
        gated(shop, "0002", GatePolicy(suites=(SuiteRule(name="helpdesk"),)))
    with pytest.raises(UnknownVersion):
        gated(shop, "0099")


def test_a_candidate_that_only_crashes_gets_no_verdict_but_is_named(tmp_path: Path, tiny_folder: Path):
    policy = GatePolicy(metrics={}, suites=(SuiteRule(name="gate_shop:make_crashing", tasks_per_tier=20, k=1),))
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        register_shop(store, tmp_path, tiny_folder, 2)
        said = (
            r"shop\.think@0002 cannot be judged on gate_shop:make_crashing: 20 episodes in a row .* ValueError: no till"
        )
        with pytest.raises(EpisodesCrash, match=said):
            run_gate(store, f"{SLOT}@0002", policy=policy)
        assert list_verdicts(store) == []


def test_without_a_live_version_the_next_step_is_said(tmp_path: Path, tiny_folder: Path):
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        register_version(store, SLOT, tiny_folder, lineage={})
        with pytest.raises(
            CannotGate, match=r"shop.think has no live version .* `threadmill models promote shop.think@0001"
        ):
            run_gate(store, f"{SLOT}@0001", policy=POLICY)


# both databases --------------------------------------------------------------------------------------------------


def test_verdicts_are_recorded_and_listed(store: Store):
    verdict = Verdict(
        "hold", ("not yet",), {"difference": {"mean": 0.1}}, 1, SLOT, f"{SLOT}@0002", f"{SLOT}@0001", {}, ("e1",)
    )
    first, second = (record_verdict(store, verdict) for _ in range(2))
    assert list_verdicts(store, SLOT) == [first, second]
    assert list_verdicts(store, "bank.think") == list_verdicts(store, candidate=f"{SLOT}@0003") == []
    assert json.loads(json.dumps(first.as_json())) == first.as_json()


def test_tasks_are_learnt_through_the_threads_of_data_sets(store: Store, tiny_folder: Path):
    for thread, task in (("a", "heldout-1"), ("b", "heldout-2"), ("c", None)):
        write_thread(store, thread, ["hello"], task=task)
    record_data_set(store, digest="d1", kind="sft", folder="data", threads=["a", "c"])
    lineage = {"runs": [{"recipe": "sft", "data": {"digest": "d1"}}]}
    base = register_version(store, SLOT, tiny_folder, lineage=lineage)
    child = register_version(store, SLOT, tiny_folder, lineage={}, base=base.name)
    assert tasks_learnt(store, child.name) == {"heldout-1"}


# the command -----------------------------------------------------------------------------------------------------


def asked(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(gate_command)
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def own(tmp_path: Path, tiny_folder: Path) -> list[str]:
    """Options that name a database with three versions, and a policy."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_store(url) as store:
        register_shop(store, tmp_path, tiny_folder, 3)
    (tmp_path / "gate.toml").write_text(TOML)
    return ["--db", url, "--policy", str(tmp_path / "gate.toml")]


def test_the_command_promotes_what_may_be_and_refuses_the_rest(own: list[str], tmp_path: Path):
    held = asked(f"{SLOT}@0003", *own, "--promote", "--json")
    assert held.exit_code == 1
    assert json.loads(held.stdout)["promoted"] is False
    page = tmp_path / "verdict.md"
    assert asked(f"{SLOT}@0002", *own, "--markdown", str(tmp_path / "no" / "verdict.md")).exit_code == 2
    done = asked(f"{SLOT}@0002", *own, "--promote", "--markdown", str(page))
    assert done.exit_code == 0
    assert "PROMOTE  shop.think@0002 against shop.think@0001, look 1" in done.stdout
    assert "live is shop.think@0002 now" in done.stdout
    assert "| hard | 10 | 0.0 % | 100.0 % | +100.0 (+" in page.read_text()
    with open_store(own[1]) as store:
        assert resolve(store, f"{SLOT}@live").name == f"{SLOT}@0002"
    again = asked(f"{SLOT}@0002", *own, "--promote", "--live", f"{SLOT}@0001")
    assert isinstance(again.exception, PromotionConflict)  # it was decided against another version than is live now
    history = asked(SLOT, "--history", *own, "--json")
    verdicts = json.loads(history.stdout)["verdicts"]
    assert [(one["decision"], one["figures"]["candidates"]) for one in verdicts] == [("hold", 1), ("promote", 2)]
    assert "promote" in asked(f"{SLOT}@0002", "--history", *own).stdout


def test_the_printed_policy_is_the_default_one(tmp_path: Path):
    printed = asked("--print-policy")
    (tmp_path / "gate.toml").write_text(printed.stdout)
    assert printed.stdout == DEFAULT_POLICY
    assert load_policy(tmp_path / "gate.toml") == load_policy() == GatePolicy()


def test_the_policy_in_the_documents_is_one():
    page = (Path(__file__).parent.parent / "docs" / "gate.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    policy = read_policy(tomllib.loads(toml))
    assert [(suite.name, suite.safety) for suite in policy.suites] == [
        ("helpdesk", False),
        ("safety.py:make_suite", True),
    ]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("level = 2", "level = 2: it should be less than 0.5"),
        ("levl = 0.1", "levl is no setting"),
        ("[metrics]\ncalls = { absolute = 1 }", "'calls' has no better side"),
        ("[metrics]\nstep = {}", "'step' is no metric that can be guarded; there is tool_selection"),
        ('[[suites]]\nname = "a"\nk = 0', "suites.0.k = 0: it should be greater than or equal to 1"),
        ('[[suites]]\nname = "a"\nsafety = true', "all suites are safety suites"),
        ("level =", "cannot be read as TOML"),
    ],
)
def test_a_wrong_policy_is_wrong_usage(tmp_path: Path, toml: str, said: str):
    (tmp_path / "gate.toml").write_text(toml)
    done = asked("a.b@0002", "--db", f"sqlite:///{tmp_path / 'runs.db'}", "--policy", str(tmp_path / "gate.toml"))
    assert (done.exit_code, said in done.stderr) == (2, True)
    assert "threadmill gate --print-policy" in done.stderr


def test_no_candidate_is_wrong_usage():
    assert asked().exit_code == 2
