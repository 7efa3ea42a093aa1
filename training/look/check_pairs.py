"""What can be wrong with the two continuations of a preference pair."""

from collections.abc import Iterator, Sequence

from .check_tokens import first_difference
from .excerpt import token_excerpt
from .finding import Finding
from .sequences import Tokens
from .texts import TokenTexts


def pair_findings(sequences: Sequence[Tokens], texts: TokenTexts | None) -> Iterator[Finding]:
    """What is wrong between ``chosen`` and ``rejected``; nothing if the row has no such sequences."""
    by_name = {tokens.name: tokens for tokens in sequences}
    chosen, rejected = by_name.get("chosen"), by_name.get("rejected")
    if chosen is None or rejected is None:
        return
    if chosen.ids == rejected.ids:
        what = "chosen and rejected are the same tokens: nothing is preferred"
        yield Finding("same-continuations", "error", what, "leave the pair out")
        return
    at = first_difference(chosen.ids, rejected.ids)
    for tokens in (chosen, rejected):
        if at < len(tokens.ids) and not tokens.trained[at]:
            what = (
                f"chosen and rejected part at token {at}, which is not trained in {tokens.name}: "
                "they answer different prompts, and the loss compares what cannot be compared"
            )
            excerpts = (token_excerpt(t.ids, t.trained, at, at + 1, texts) for t in (chosen, rejected))
            fix = "give both exactly the same tokens up to the first token that the model chose differently"
            yield Finding("prefix-differs", "error", what, fix, "\n".join(excerpts))
            return
