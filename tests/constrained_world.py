"""For tests of grammars: a small vocabulary with a family's markers in it, tools, and a model that knows nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from threadmill.nodes.models.constraint import Constraint
from threadmill.nodes.models.families.choose import family_named
from threadmill.nodes.models.families.family import Family, fresh_id, read_calls
from threadmill.nodes.models.grammar import GrammarMaker

PIECES = (
    *('{"', '"}', '": "', '": ', '", "', ", ", '"}}', "}}", "]}", "[{", "{}", "[]", '"name', '": {', "\n", "\n\n"),
    *("name", "arguments", "parameters", " the", " of", "true", "false", "null", "100", "12", "é", "look", "id"),
)
"""Tokens of more than one byte, or of more than one thing."""
FAMILIES = (
    *("hermes", "qwen3", "qwen3.5", "lfm2", "llama3", "mistral", "mistral-list", "deepseek-v3", "deepseek-v3.1"),
    *("gpt-oss", "react-text"),
)


def make_tokenizer(special: Iterable[str] = ()) -> Any:
    """256 bytes, some pieces, ``special`` tokens, ``<|turn|>`` that ends turns, and ``<|eos|>``."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_tokens([AddedToken(piece, normalized=False) for piece in PIECES])
    bpe.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in (*special, "<|turn|>", "<|eos|>", "<|pad|>")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|eos|>", pad_token="<|pad|>")


class World:
    """A family, its vocabulary, and a model that draws tokens at random."""

    def __init__(self, family: str, *, padding: int = 7) -> None:
        self.family: Family = family_named(family)
        self.markers = [marker for marker in self.family.markers if marker.startswith(("<", "["))]
        self.tokenizer = make_tokenizer(self.markers)
        self.size = len(self.tokenizer) + padding
        self.end_ids = frozenset(self.tokenizer.convert_tokens_to_ids(["<|turn|>", "<|eos|>"]))
        self.maker = GrammarMaker(self.tokenizer, self.size, self.end_ids)
        self.boosted = self.tokenizer.convert_tokens_to_ids(self.markers)

    def answer(
        self, constraint: Constraint, budget: int, seed: int, *, boost: float = 4.0, end: float = 0.0
    ) -> tuple[str, bool]:
        """What the model says, and whether it ended its turn. Markers and the end are likelier by so much."""
        dice = torch.Generator().manual_seed(seed)
        ids: list[int] = []
        while len(ids) < budget:
            scores = 2 * torch.randn(self.size, generator=dice)
            scores[self.boosted] += boost
            scores[list(self.end_ids)] += end
            constraint.mask_(scores, budget - len(ids))
            ids.append(int(torch.multinomial(torch.softmax(scores, -1), 1, generator=dice)))
            if ids[-1] in self.end_ids:
                break
            constraint.accept(ids[-1])
        ended = ids[-1] in self.end_ids
        return self.tokenizer.decode(ids[: len(ids) - ended], skip_special_tokens=False), ended

    def calls(self, text: str, tools: Sequence[dict[str, Any]], opening: str = "") -> tuple[list[Any], list[Any]]:
        """The calls in ``text`` and the malformed ones."""
        return read_calls(self.family.knowing(tools).read(opening, text), lambda place: fresh_id())


def tool(name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """A tool in OpenAI's form."""
    return {"type": "function", "function": {"name": name, "parameters": parameters or {"type": "object"}}}


def obj(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    """The schema of an object."""
    return {"type": "object", "properties": properties, "required": list(required)}
