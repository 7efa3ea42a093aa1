"""Who speaks in the tokens of every family: roles are found, a right mask passes, a loss on tool output never does."""

import re
from typing import Any

import pytest
from family_rows import TWO_QUESTIONS
from family_tokenizers import CALL, CHATML, THINK, small_tokenizer, trl_template
from threadmill.nodes.models.families.deepseekv3 import DEEPSEEK_V3_1
from threadmill.nodes.models.families.mistral import template_like
from threadmill.nodes.models.render import Renderer
from threadmill.training.look.check_tokens import TokenCheck
from threadmill.training.look.roles import RoleReader
from threadmill.training.look.sequences import Tokens

LLAMA = tuple("<|eot_id|> <|begin_of_text|> <|eom_id|> <|start_header_id|> <|end_header_id|> <|python_tag|>".split())
HARMONY = tuple("<|return|> <|endoftext|> <|start|> <|end|> <|message|> <|channel|> <|constrain|> <|call|>".split())
LFM = tuple(
    "<|im_end|> <|startoftext|> <|im_start|> <|tool_call_start|> <|tool_call_end|> <|tool_list_start|> "
    "<|tool_list_end|> <|tool_response_start|> <|tool_response_end|>".split()
)
DEEPSEEK = tuple(
    "<｜end▁of▁sentence｜> <｜begin▁of▁sentence｜> <｜User｜> <｜Assistant｜> <｜tool▁calls▁begin｜> "
    "<｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁call▁end｜> <｜tool▁sep｜> <｜tool▁outputs▁begin｜> "
    "<｜tool▁outputs▁end｜> <｜tool▁output▁begin｜> <｜tool▁output▁end｜>".split()
)
MISTRAL = tuple(
    "</s> <s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] [ARGS] "
    "[SYSTEM_PROMPT] [/SYSTEM_PROMPT] [THINK] [/THINK]".split()
)
GLM = tuple("<|endoftext|> [gMASK] <sop> <|user|> <|assistant|> <|system|> <|observation|>".split())
FAMILIES = {
    "qwen3": (trl_template("qwen3"), ("<|im_end|>", *CHATML[::2]), (*THINK, *CALL)),
    "qwen2.5": (trl_template("qwen2_5"), ("<|im_end|>", *CHATML[::2]), CALL),
    "lfm2": (trl_template("lfm2"), LFM, ()),
    "llama3": (trl_template("llama3_1"), LLAMA, ()),
    "deepseek-v3": (trl_template("deepseekv3"), DEEPSEEK, THINK),
    "deepseek-v3.1": (DEEPSEEK_V3_1.template, DEEPSEEK, THINK),
    "mistral": (template_like("[TOOL_CALLS][ARGS][SYSTEM_PROMPT]"), MISTRAL, ()),
    "gpt-oss": (trl_template("gptoss"), HARMONY, ()),
    "glm": (trl_template("glm4moe"), GLM, THINK),
}
"""Template, special tokens with eos and bos in front, other tokens of their own."""


@pytest.fixture(scope="module", params=FAMILIES)
def reader(request: pytest.FixtureRequest) -> RoleReader:
    template, special, added = FAMILIES[request.param]
    return RoleReader(small_tokenizer(template, special, eos=special[0], bos=special[1], added=added))


def rows_of(reader: RoleReader) -> list[Tokens]:
    """Two questions with parallel calls, as the family's model would have seen and sampled them."""
    rows = Renderer(reader.tokenizer).training_rows(TWO_QUESTIONS)
    return [Tokens("", row.ids, tuple(bool(on) for on in row.mask())) for row in rows]


def test_everybody_is_found(reader: RoleReader) -> None:
    assert reader.unknown == ""
    tokens = rows_of(reader)[0]
    said: dict[str, str] = {}
    for speech in reader.read(tokens.ids):
        text = reader.tokenizer.decode(list(tokens.ids[speech.body : speech.end]))
        said[speech.role] = said.get(speech.role, "") + text
    assert "Where are they?" in said["user"]
    assert re.sub(r'["\n]|</?tool_response>', "", said["tool"]) == "sentlost"
    assert "One is lost." in said["assistant"]
    assert "sent" not in said["assistant"] + said["user"]


def test_the_mask_of_what_the_model_sampled_passes(reader: RoleReader) -> None:
    check = TokenCheck(reader)
    assert [finding for tokens in rows_of(reader) for finding in check.findings(tokens)] == []


def test_a_loss_on_tool_output_is_found(reader: RoleReader) -> None:
    tokens = rows_of(reader)[0]
    place = next(speech for speech in reader.read(tokens.ids) if speech.role == "tool")
    trained: list[Any] = [*tokens.trained]
    trained[place.end - 1] = True
    found = [finding.code for finding in TokenCheck(reader).findings(Tokens("", tokens.ids, tuple(trained)))]
    assert found == ["loss-on-tool"]
