"""Small tokenizers with the special tokens and the chat template of a family, for the tests of the families."""

from importlib import resources
from typing import Any

CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
THINK = ("<think>", "</think>")
CALL = ("<tool_call>", "</tool_call>")


def trl_template(name: str) -> str:
    """The chat template that TRL ships as ``name``.jinja, such as ``qwen3``."""
    return (resources.files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def small_tokenizer(
    template: str | None,
    special: tuple[str, ...],
    *,
    eos: str,
    added: tuple[str, ...] = (),
    bos: str | None = None,
    corpus: tuple[str, ...] = ("What is the weather in Paris? The weather in Paris is sunny.",),
) -> Any:
    """Byte-level BPE of about 300 tokens; ``special`` are skipped when decoding, ``added`` are tokens of their own too.

    ``template`` is the text of a chat template.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=[], show_progress=False)
    bpe.train_from_iterator(corpus * 20, trainer)
    bpe.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    bpe.add_tokens([AddedToken(text, normalized=False) for text in added])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=eos, bos_token=bos, pad_token=eos, clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = template
    return tokenizer


def qwen_tokenizer(template: str) -> Any:
    """As Qwen has it: the tags of calls and thinking are tokens, but not special ones."""
    return small_tokenizer(trl_template(template), CHATML, eos="<|im_end|>", added=(*THINK, *CALL))
