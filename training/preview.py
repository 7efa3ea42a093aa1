"""Show a branch token by token, coloured by who wrote it and what is trained."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from .branches import Branch
from .trajectory import Span

STYLES = {"given": "dim", "sampled": "green", "human": "bold magenta", "rejected": "red strike"}
MEANING = {
    "given": "given, not trained",
    "sampled": "sampled by the policy, trained",
    "human": "written by a human in its place, trained",
    "rejected": "proposed and replaced by a human, not trained",
}


def preview_spans(branch: Branch) -> Iterator[tuple[str, Span]]:
    """The spans of ``branch`` with their kind, replaced proposals (``rejected``) where they were made."""
    for trajectory in branch.trajectories:
        proposals = {proposal.at: proposal.span for proposal in trajectory.proposals}
        for at, span in enumerate(trajectory.spans):
            if at in proposals:
                yield "rejected", proposals[at]
            yield span.origin, span
        if len(trajectory.spans) in proposals:
            yield "rejected", proposals[len(trajectory.spans)]


def render_preview(branch: Branch, tokenizer: Any) -> Text:
    """``branch`` as coloured text, a legend above it and its origin in the first line."""
    text = Text(f"thread {branch.thread} · checkpoint {branch.checkpoint} · tokens {branch.tokens}\n")
    for kind, style in STYLES.items():
        text.append("■ ", style=style.removesuffix(" strike"))
        text.append(f"{MEANING[kind]}\n")
    for kind, span in preview_spans(branch):
        for piece in decode_pieces(span.tokens, tokenizer):
            text.append(piece, style=STYLES[kind])
    return text


def decode_pieces(tokens: Iterable[int], tokenizer: Any) -> Iterator[str]:
    """The text of ``tokens`` one by one; those that make up one character together come together."""
    waiting: list[int] = []
    for token in tokens:
        waiting.append(token)
        piece = tokenizer.decode(waiting)
        if not piece.endswith("\ufffd") or len(waiting) == 4:
            yield piece
            waiting = []
    if waiting:
        yield tokenizer.decode(waiting)
