"""The seed policy's tokenizer: byte-level BPE, with the words of the helpdesk world as tokens of their own.

Order numbers, e-mail parts, cities, items and round numbers are single tokens that read the same
everywhere, white space split off: a model of a million parameters learns to copy a token, not a
string of digits. Any other text falls back to bytes, so everything can be encoded and decoded.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ...nodes.calls import args_schema
from ..worlds.helpdesk.names import CITIES, FIRST, ITEMS, LAST, ORDERS, STATUSES
from ..worlds.helpdesk.tools import TOOLS

MERGES = 300
GLUE = (
    '<tool_call>{"name": "',
    '", "arguments": {"',
    '"}}</tool_call>',
    "}}</tool_call>",
    '": "',
    '": ',
    '", "',
    ', "',
    "<tool_call>",
    "</tool_call>",
    "@example.com",
    " + ",
)
"""The frame of a tool call, in pieces that are the same in every call."""
SPECIAL = ("<|im_end|>", "<|im_start|>", "<|pad|>")


def build_tokenizer(corpus: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with the chat template beside this file; ``corpus`` trains the merges."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + MERGES,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    parameters = {name for tool in TOOLS for name in args_schema(tool)["properties"]}
    words = {tool.name for tool in TOOLS} | parameters | {*CITIES, *FIRST, *ITEMS, *LAST, *ORDERS, *STATUSES}
    numbers = {*range(61), *range(65, 605, 5)}
    bpe.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    bpe.add_tokens([AddedToken(text, normalized=False) for text in GLUE])
    bpe.add_tokens(
        [AddedToken(text, single_word=True, normalized=False) for text in [*sorted(words), *map(str, sorted(numbers))]]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        model_max_length=16_384,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8")
    return tokenizer
