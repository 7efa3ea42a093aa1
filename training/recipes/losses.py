"""TRL's GRPO losses by name: how each averages, where it clips, and what TRL is told of it. Nothing heavy here.

- ``grpo`` (Shao et al. 2024): mean over the tokens of an episode, then over episodes; ratios clipped.
- ``bnpo``: sum over tokens, by the tokens of the step. ``dapo`` (Yu et al. 2025): the same over the generation.
- ``dr_grpo`` (Liu et al. 2025): sum over tokens, by a constant length and the number of episodes.
- ``cispo`` (MiniMax 2025): the ratio is cut and weighs log-probabilities, no token is ignored.
- ``sapo``: a smooth gate in place of clipping. ``luspo``: sequence ratios, episodes weighed by their length.
- ``vespo``: sequence weights by a gamma kernel.
"""

from typing import Any, Literal

Loss = Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"]
Ratio = Literal["auto", "token", "sequence"]
BY_SEQUENCE = ("grpo", "sapo")
"""Losses that take the mean over the tokens of each row, and then over rows."""
BY_ROW = (*BY_SEQUENCE, "dr_grpo", "luspo")
"""Losses that take the mean over rows; the others take it over tokens."""
CLIPPING = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")
"""Losses that ignore the gradient of a token outside [1 - low, 1 + high] in the direction that leads further out."""
CISPO_HIGH = 5.0
"""Where cispo cuts ratios if nobody says otherwise (ScaleRL, Khatri et al. 2025)."""


def loss_arguments(config: Any) -> dict[str, Any]:
    """What TRL's config is told, live and offline."""
    level = ("sequence" if config.loss == "luspo" else "token") if config.ratio == "auto" else config.ratio
    high = CISPO_HIGH if config.loss == "cispo" and config.epsilon_high is None else config.epsilon_high
    return {
        "loss_type": config.loss,
        "epsilon": config.epsilon,
        "epsilon_high": high,
        "importance_sampling_level": level,
        "off_policy_mask_threshold": config.off_policy_limit,
        "max_completion_length": config.length_scale,
        "lr_scheduler_type": "constant",
    }


def is_clipped(loss: str, ratio: Any, advantages: Any, low: float, high: float) -> Any:
    """Of which tokens ``loss`` ignores the gradient, or for cispo cuts the ratio; none for sapo and vespo. Tensors."""
    if loss in CLIPPING:
        return ((ratio < 1 - low) & (advantages < 0)) | ((ratio > 1 + high) & (advantages > 0))
    if loss == "cispo":
        return ratio > high
    return ratio != ratio
