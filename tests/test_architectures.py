"""Every kind of causal LM is decoded exactly: in common columns where a trial shows that they fit, else row by row."""

import random
from typing import Any

import pytest
import torch
from threadmill.nodes.models.decoding.decode import Decoder
from threadmill.nodes.models.decoding.probe import shares_columns, trace_columns
from threadmill.nodes.models.decoding.traced import Traced
from transformers import AutoModelForCausalLM as Models
from transformers import (
    BloomConfig,
    DeepseekV3Config,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    Lfm2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)

SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
COLUMNS = {
    "llama": LlamaConfig(**SMALL),
    "llama, eager": LlamaConfig(**SMALL, attn_implementation="eager"),
    "qwen2": Qwen2Config(**SMALL),
    "qwen2, window on two layers": Qwen2Config(**SMALL, use_sliding_window=True, sliding_window=6, max_window_layers=2),
    "qwen3": Qwen3Config(**SMALL),
    "qwen3 moe": Qwen3MoeConfig(**SMALL, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16),
    "mistral, window": MistralConfig(**SMALL, sliding_window=6),
    "gemma3, window": Gemma3TextConfig(**SMALL, sliding_window=6, query_pre_attn_scalar=8),
    "gpt-oss, window and sinks": GptOssConfig(
        **SMALL, sliding_window=6, num_local_experts=4, num_experts_per_tok=2, attn_implementation="eager"
    ),
    "deepseek v3, keys wider than values": DeepseekV3Config(
        **{**{name: value for name, value in SMALL.items() if name != "head_dim"}, "num_key_value_heads": 4},
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=12,
        n_routed_experts=4,
        n_shared_experts=1,
        num_experts_per_tok=2,
        n_group=2,
        topk_group=1,
        moe_intermediate_size=16,
        first_k_dense_replace=1,
    ),
    "gpt2, learned positions": GPT2Config(
        vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=None, eos_token_id=None
    ),
}
ROW_BY_ROW = {
    "bloom, alibi": BloomConfig(
        vocab_size=97, hidden_size=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=None, pad_token_id=None
    ),
    "lfm2, convolutions": Lfm2Config(
        **{name: value for name, value in SMALL.items() if name != "head_dim"},
        layer_types=["conv", "full_attention", "conv", "full_attention"],
        block_auto_adjust_ff_dim=False,
    ),
    "qwen3.5, linear attention": Qwen3_5TextConfig(
        **SMALL,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention"] * 2,
    ),
}


def build(config: Any) -> Any:
    torch.manual_seed(0)
    return Models.from_config(config).float().eval()


def plain(model: Any, prompt: list[int], ids: tuple[int, ...]) -> torch.Tensor:
    """Logprobs of ``ids`` by one ordinary forward pass."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *ids]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids)[:, None])[:, 0]


def crowd(model: Any, *, common_columns: bool, traced: Traced | None = None) -> float:
    """The largest difference between recorded and plain logprobs of two turns of six threads."""
    decoder = Decoder(model, frozenset({3}), max_rows=4, common_columns=common_columns, traced=traced)
    rng = random.Random(1)
    prompts = [[rng.randrange(97) for _ in range(rng.randrange(3, 30))] for _ in range(6)]
    worst = 0.0
    for turn in range(2):
        futures = [
            decoder.submit(prompt, max_new_tokens=8, temperature=1.0, seed=10 * turn + i)
            for i, prompt in enumerate(prompts)
        ]
        for i, future in enumerate(futures):
            answer = future.result(timeout=60)
            difference = plain(model, prompts[i], answer.ids) - torch.tensor(answer.logprobs)
            worst = max(worst, float(difference.abs().max()))
            prompts[i] = [*prompts[i], *answer.ids, *[rng.randrange(97) for _ in range(rng.randrange(1, 20))]]
    decoder.close()
    return worst


@pytest.mark.parametrize("name", COLUMNS)
def test_attention_of_all_kinds_is_decoded_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadmill.nodes.models.decoding.traced._made", {})  # a process traces a limited number
    model = build(COLUMNS[name])
    assert shares_columns(model)
    assert crowd(model, common_columns=True) < 1e-4
    traced = trace_columns(model)
    assert traced is not None
    assert crowd(model, common_columns=True, traced=traced) < 1e-4


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_what_cannot_share_columns_is_decoded_row_by_row(name: str) -> None:
    model = build(ROW_BY_ROW[name])
    assert not shares_columns(model)
    assert crowd(model, common_columns=False) < 1e-4
