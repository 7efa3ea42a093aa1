"""Words that were seen before have the tokens that the tokenizer itself gives, in whatever text they stand."""

import doctest
from typing import Any

import pytest
from family_tokenizers import CHATML, qwen_tokenizer, small_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from threadmill.nodes.models import quick_tokens
from threadmill.nodes.models.quick_tokens import QuickTokens
from tokenizers import Regex, normalizers, pre_tokenizers

QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
AHEAD = r"\p{L}(?!\p{N})|\p{N}+|\s+|[^\s\p{L}\p{N}]+"


def cutting(*steps: Any) -> Any:
    """The backend of a tokenizer that cuts texts so."""
    backend = small_tokenizer("{{ messages }}", CHATML, eos="<|im_end|>").backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(list(steps)) if len(steps) > 1 else steps[0]
    return backend


def split(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
GPT2 = qwen_tokenizer("qwen3").backend_tokenizer
KNOWN = {"gpt2": GPT2, "qwen": cutting(split(QWEN), LEVEL)}
QUICK = {name: QuickTokens(backend) for name, backend in KNOWN.items()}
WORDS = ("word", " Word", "don't", "'LL", "'s", "2026", "()", "a_b", '{"id": 1}', "<think>", "<|im_end|>")
PARTS = st.sampled_from([*WORDS, " ", "  ", "\n", "\n\n ", "\t", "\x0b", "\x1c", "é", "日本", "ſ"])
TEXTS = st.lists(PARTS | st.text(max_size=4), max_size=12).map("".join)


def asked(backend: Any, texts: list[str]) -> list[list[int]]:
    return [backend.encode(text, add_special_tokens=False).ids for text in texts]


@pytest.mark.parametrize("name", KNOWN)
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXTS, max_size=4))
def test_tokens_are_those_of_the_tokenizer(name: str, texts: list[str]):
    assert QUICK[name].encode(texts) == asked(KNOWN[name], texts)


def remembered(backend: Any) -> int:
    """Words that are remembered of two."""
    quick = QuickTokens(backend)
    assert quick.encode(["Hello world"]) == asked(backend, ["Hello world"])
    return len(quick._words)


def test_words_are_remembered_only_where_the_tokenizer_cuts_as_we_do():
    with_prefix = cutting(pre_tokenizers.ByteLevel(add_prefix_space=True))
    lowering = cutting(split(QWEN), LEVEL)
    lowering.normalizer = normalizers.Lowercase()
    composing = cutting(split(QWEN), LEVEL)
    composing.normalizer = normalizers.NFC()
    by_signs = cutting(pre_tokenizers.Metaspace())
    told = {
        "gpt2": GPT2,
        "qwen": KNOWN["qwen"],
        "composing": composing,
        "unknown class": cutting(split(r"\p{Greek}+|[^\p{Greek}]+"), LEVEL),
        "with prefix": with_prefix,
        "lowering": lowering,
        "by signs": by_signs,
        "one that looks ahead": cutting(split(AHEAD), LEVEL),
    }
    assert {name: remembered(backend) for name, backend in told.items()} == {
        "gpt2": 2,
        "qwen": 2,
        "composing": 2,
        "unknown class": 0,
        "with prefix": 0,
        "lowering": 0,
        "by signs": 0,
        "one that looks ahead": 0,
    }


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quick_tokens, "MOST", 10)
    quick = QuickTokens(GPT2)
    texts = [f"word{'abcdefghij'[n % 10]} again{'klmnopqrst'[n // 10]}" for n in range(100)]
    assert quick.encode(texts) == asked(GPT2, texts)
    assert len(quick._words) <= 10
    assert quick.encode(["x" * 100]) == asked(GPT2, ["x" * 100])
    assert "x" * 100 not in quick._words


def test_the_examples_hold():
    assert doctest.testmod(quick_tokens).failed == 0
