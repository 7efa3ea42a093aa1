"""A learned reward: the model that ``threadmill train reward`` wrote scores a finished episode.

Its folder is an ordinary sequence classifier: ``AutoModelForSequenceClassification.from_pretrained`` opens it as well,
and ``id2label`` names its scores. A score is a place on a scale without zero or unit; only differences between episodes
of one task mean something, as ``sigmoid(difference)``. An optimised policy finds what the model has not seen (Gao et
al. 2023), so keep a check of the end state beside it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.messages import BaseMessage

from ...errors import BadReward
from .compared import OVERALL
from .finished import Finished, GroupReward, Reasoned

Head = Literal["overall", "completion", "tool_use", "efficiency"]
TOKENS_AT_ONCE = 32_768
"""Padded tokens of one forward pass."""


class RewardModel:
    """Scores token ids; ``open_reward_model`` opens one."""

    def __init__(self, model: Any, tokenizer: Any, name: str, *, tokens_at_once: int = TOKENS_AT_ONCE) -> None:
        from .scoring_model import heads_of_config

        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.heads = tuple(heads_of_config(model.config))
        """``overall``, and the components that there was something to learn of."""
        self.context: int = model.config.max_position_embeddings
        self.tokens_at_once = tokens_at_once
        self._renderer: Any = None

    def score(self, sequences: Sequence[Sequence[int]]) -> list[dict[str, float]]:
        """A score by head for each sequence of token ids, in their order; they end with the last answer's last token.

        Raises:
            BadReward: a sequence is empty, longer than the model's context, or of another vocabulary.
        """
        from .scoring_model import score_sequences

        vocabulary = self.model.get_input_embeddings().num_embeddings
        for number, ids in enumerate(sequences, 1):
            if not 0 < len(ids) <= self.context:
                raise BadReward(
                    f"episode {number} has {len(ids)} tokens, and {self.name!r} reads 1 to {self.context}; "
                    "keep episodes shorter, or train a reward model on a base with a longer context"
                )
            if unknown := [token for token in ids if not 0 <= token < vocabulary]:
                raise BadReward(
                    f"episode {number} holds the token {unknown[0]}, but {self.name!r} has {vocabulary} tokens; "
                    "have its messages rendered with the reward model's own tokenizer (rendered = true)"
                )
        scores = score_sequences(self.model, sequences, tokens_at_once=self.tokens_at_once)
        return [dict(zip(self.heads, one, strict=True)) for one in scores]

    def read(
        self, messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]] = (), *, rendered: bool = False
    ) -> list[int]:
        """The token ids of an episode up to the last token of its last answer, as pairs hold them.

        Recorded tokens are taken as they are, so the model must have the policy's tokenizer; ``rendered``, and messages
        without recorded tokens, are put through the model's own chat template. Where the past was rewritten on the
        way (trimmed context), only what follows is read.

        Raises:
            BadReward: no model speaks in them.
            CannotRender: the template refuses them.
        """
        from ..branches import render_trajectory
        from ..trajectory import read_traces
        from ..turns import join

        found = () if rendered else tuple(read_traces(messages).trajectories)
        found = found or render_trajectory(messages, self._open_renderer(), [*map(dict, tools)] or None)
        if not found:
            raise BadReward("the episode has no answer of a model, so there is nothing to score; leave it out")
        spans = found[-1].spans
        end = max(at for at, span in enumerate(spans, 1) if span.origin != "given")
        return join(spans[:end])

    def _open_renderer(self) -> Any:
        from ...nodes.models.render import Renderer

        self._renderer = self._renderer or Renderer(self.tokenizer)
        return self._renderer


def open_reward_model(folder: str | Path, *, device: str | None = None) -> RewardModel:
    """The reward model in ``folder`` or of a hub name; ``device`` None takes a GPU if there is one.

    Any sequence classifier that reads the last token will do; its first score is then called as its config does.

    Raises:
        BadModelFolder: it cannot be opened, or is no such model.
    """
    from .opening import open_scoring_model

    model, tokenizer = open_scoring_model(str(folder), device)
    return RewardModel(model, tokenizer, str(folder))


def make_learned(model: RewardModel, *, head: Head = OVERALL, rendered: bool = False) -> GroupReward:
    """The score of one head as a reward named ``learned``, with the scores of all heads as its reason.

    An episode that failed before a model answered earns the lowest score of its group, or 0 if none answered.

    Raises:
        BadReward: the model has no such head; on calling as ``RewardModel.score`` and ``read``.
    """
    if head not in model.heads:
        raise BadReward(f"{model.name!r} has no head {head!r}, but {', '.join(model.heads)}; name one of them")

    def learned(group: Sequence[Finished]) -> list[float]:
        spoken = [episode for episode in group if any(message.type == "ai" for message in episode.messages)]
        ids = [model.read(episode.messages, episode.tools, rendered=rendered) for episode in spoken]
        scored = dict(zip((id(episode) for episode in spoken), model.score(ids), strict=True))
        lowest = min((scores[head] for scores in scored.values()), default=0.0)
        return [
            _reasoned(scored[id(episode)], head) if id(episode) in scored else Reasoned(lowest, "no answer to score")
            for episode in group
        ]

    return learned


def _reasoned(scores: Mapping[str, float], head: str) -> Reasoned:
    return Reasoned(scores[head], ", ".join(f"{name} {score:+.3f}" for name, score in scores.items()))
