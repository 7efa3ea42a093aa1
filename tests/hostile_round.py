"""A round of ``improve`` in which everything that models, tools and strangers may have written is hostile."""

from threadmill.training.improve.state import Round, Stage

HOSTILE = "</td><script>alert(1)</script>|`x` \u202egnp"


def hostile_round() -> Round:
    """A round that was held, in which everything that others may have written is hostile."""
    tier = {"tasks": 9, "pass_hat_k": 0.5, "mean": 0.5, "low": 0.25, "high": 0.75, "n": 9}
    example = {"thread": HOSTILE, "task": "t", "tier": HOSTILE, "text": HOSTILE}
    suite = {
        "id": "e1",
        "version": HOSTILE,
        "tiers": {HOSTILE: tier},
        "failures": [{"kind": "wrong_tool", "episodes": 3, "examples": [example]}],
    }
    lesson = {"method": "sft", "folder": "out/round-0001/models/sft", "steps": 2, "loss_first": 2.0, "loss_last": 1.0}
    lesson |= {"losses": [[1, 2.0], [2, 1.0]], "seconds": 3.0, "share": 5.0, "tokens_per_second": 10.0}
    lesson |= {"stopped": HOSTILE, "seed": 0}
    stages = {
        "label": Stage(0.1, {"judged_before": {HOSTILE: 2}, "labelled": {}, "unlabelled": {}, "left_out": {}}),
        "evaluate": Stage(4.0, {"suites": {HOSTILE: suite}}),
        "train": Stage(3.0, {"lessons": [lesson], "refused": {"grpo": HOSTILE}}),
    }
    settings = {"agent": HOSTILE, "suite": HOSTILE, "methods": ["sft"], "seed": 0, "policy": {"seed": 1000}}
    return Round(1, settings, stages, decision="hold", reasons=[HOSTILE], base="a.b@0001", candidate="a.b@0002")
