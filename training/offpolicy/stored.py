"""Screen a candidate on stored threads: read their decisions, score them under the candidate, estimate."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...checkpoints.lineage import origins_of_version, threads_in
from ...checkpoints.store import Store
from ...checkpoints.where import Where, find_heads
from ...errors import BadEvaluation
from ..branches import stream_branches
from ..recipes.settings import TOKENS_AT_ONCE
from ..slots import model_folder, read_spec
from .logged import LoggedEpisode
from .recorded import Recorded, Usable
from .screening import Screening, screen


@dataclass(frozen=True, slots=True)
class Screened:
    """What came of it."""

    candidate: str
    screening: Screening
    tokens: int
    """Drawn tokens that were scored."""
    left_out: dict[str, int]
    """Threads by reason."""


def screen_threads(
    store: Store,
    candidate: str,
    where: Where,
    *,
    seed: int = 0,
    tokens_at_once: int = TOKENS_AT_ONCE,
    progress: Callable[[int, int], None] | None = None,
) -> Screened:
    """What ``candidate``, the SPEC of weights that can be opened here, would have earned in the threads of ``where``.

    Of a registered version only the turns of its slot's node are looked at, of others those of the nodes of ``where``,
    or all. ``seed`` is the bootstrap's.

    Raises:
        BadModelSpec, UnknownSlot, UnknownVersion, BadModelFolder: the candidate cannot be opened.
        BadEvaluation: no thread can be used, ``where`` chooses by outcome, or the candidate has other tokens.
    """
    _refuse_outcomes(where)
    usable = Usable(where.writers or frozenset(node_of(candidate)) or None)
    folder = model_folder(store, candidate)
    episodes: list[Recorded] = []
    for read in stream_branches(store, find_heads(store, where), renderer=None):
        if read.error is not None:
            usable.left_out["cannot be read"] += 1
        elif (episode := usable.read(read.branches)) is not None:
            episodes.append(episode)
    scored = _score(candidate, folder, episodes, usable, tokens_at_once, progress) if episodes else []
    if not scored:
        reasons = "; ".join(f"{count} threads: {reason}" for reason, count in usable.left_out.most_common())
        raise BadEvaluation(
            f"no thread can be used to screen {candidate}: {reasons or 'none fits the conditions'}. It takes labelled "
            "threads of a model that ran here, sampled from the whole distribution (`threadmill rollout` makes such)"
        )
    tokens = sum(
        one.end - one.start for episode, _ in scored for reading in episode.readings for one in reading.decisions
    )
    screening = screen([logged for _, logged in scored], seed=seed)
    learnt = _learnt_from(store, candidate) & {episode.thread for episode, _ in scored}
    if learnt:
        warning = (
            f"The candidate was trained on {len(learnt)} of these threads, {min(learnt)} among them: what happened "
            "there is what training made likely, so the estimates praise it. Take threads that it has not seen, chosen "
            "by task or time (--where), not by how they ended."
        )
        screening = replace(screening, warnings=(*screening.warnings, warning))
    return Screened(candidate, screening, tokens, dict(usable.left_out))


def node_of(candidate: str) -> tuple[str, ...]:
    """The node of the slot that ``candidate`` is a version of; empty if it is no registered version.

    >>> node_of("helpdesk.think@0002"), node_of("models/dpo")
    (('think',), ())
    """
    if "@" not in candidate or read_spec(candidate).kind != "version":
        return ()
    return (candidate.partition("@")[0].rpartition(".")[2],)


def _refuse_outcomes(where: Where) -> None:
    by_label = [label for label in where.labels if label.partition("=")[0] in ("reward", "success")]
    if where.reward != (None, None) or by_label:
        raise BadEvaluation(
            f"threads chosen by their outcome ({by_label[0] if by_label else 'reward'}) say nothing about what others "
            "would have earned; choose by agent, version, task, tag or time"
        )


def _learnt_from(store: Store, candidate: str) -> set[str]:
    """Threads in the lineage of a registered version; of a folder nobody knows them."""
    if read_spec(candidate).kind != "version":
        return set()
    return {*threads_in(origins_of_version(store, candidate))}


def _score(
    candidate: str,
    folder: str,
    episodes: list[Recorded],
    usable: Usable,
    tokens_at_once: int,
    progress: Callable[[int, int], None] | None,
) -> list[tuple[Recorded, LoggedEpisode]]:
    from ...nodes.models.loaded import open_version  # torch takes seconds to import
    from .scoring import score_readings

    loaded = open_version(candidate, folder)
    vocabulary = loaded.model.get_output_embeddings().weight.shape[0]
    largest = max(max(reading.ids) for episode in episodes for reading in episode.readings)
    if largest >= vocabulary:
        raise BadEvaluation(
            f"the threads hold the token {largest}, but {candidate} has {vocabulary} tokens: it does not read what the "
            "model that wrote them read, so their probabilities cannot be compared; evaluate it instead"
        )
    fitting = [one for one in episodes if max(len(reading.ids) for reading in one.readings) <= loaded.context]
    if len(fitting) < len(episodes):
        usable.left_out["longer than the candidate can read"] += len(episodes) - len(fitting)
    readings = [reading for episode in fitting for reading in episode.readings]
    found = iter(score_readings(loaded.model, readings, tokens_at_once=tokens_at_once, progress=progress))
    return [(episode, _logged(episode, [next(found) for _ in episode.readings])) for episode in fitting]


def _logged(episode: Recorded, scores: list[list[float]]) -> LoggedEpisode:
    ratios = sorted(
        (one.place, now - one.logprob)
        for reading, values in zip(episode.readings, scores, strict=True)
        for one, now in zip(reading.decisions, values, strict=True)
    )
    rewards = (*[0.0] * (len(ratios) - 1), episode.reward)
    return LoggedEpisode(episode.thread, episode.task, tuple(ratio for _, ratio in ratios), rewards)
