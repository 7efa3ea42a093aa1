"""Long conversations are rendered by short cuts, which give the rows that the whole past would give."""

from typing import Any

import pytest
from family_tokenizers import CHATML, qwen_tokenizer, small_tokenizer, trl_template
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from threadmill.errors import CannotRender
from threadmill.nodes.models.answer_text import beyond
from threadmill.nodes.models.families.choose import family_named
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.rendered import Rendered, Turn
from threadmill.nodes.models.row_frames import cut_by_frames
from threadmill.nodes.models.row_windows import cut_by_windows, cut_exactly, find_answer


def one_by_one(template: Renderer, messages: list[BaseMessage], tools: Any) -> list[Rendered]:
    """Every prompt and every answer rendered with all of its past, and every piece tokenized on its own."""
    rows: list[Rendered] = []
    ids: tuple[int, ...] = ()
    turns: tuple[Turn, ...] = ()
    past = tail = ""
    for place, message in enumerate(messages):
        if not isinstance(message, AIMessage) or place == 0:
            continue
        answered = template.text(messages[: place + 1], tools, ask=False)
        answer = find_answer(template, messages[:place], tools, answered)
        added = beyond(past, answer.given) if turns else None
        if added is None:
            if turns:
                rows.append(Rendered(ids, turns))
            ids, turns, tail, added = (), (), "", answer.given
        ids += template.ids(tail + added)
        low = len(ids)
        ids += template.ids(answer.spoken)
        turns += (Turn(place, low, len(ids)),)
        past, tail = answered, answer.tail
    if not turns:
        return [Rendered(template.ids(template.text(messages, tools, ask=False)), ())]
    return [*rows, Rendered(ids + template.ids(tail), turns)]


GPTOSS = tuple("<|start|> <|end|> <|message|> <|channel|> <|constrain|> <|return|> <|call|> <|endoftext|>".split())
LFM = ("<|startoftext|>", "<|im_start|>", "<|im_end|>", "<|tool_call_start|>", "<|tool_call_end|>")
LLAMA = tuple("<|begin_of_text|> <|eot_id|> <|eom_id|> <|start_header_id|> <|end_header_id|> <|python_tag|>".split())
MISTRAL = tuple("<s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] "
                "[TOOL_CALLS] [ARGS] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [THINK] [/THINK]".split())  # fmt: skip
MISTRAL_SIGNS = "[TOOL_CALLS][ARGS][SYSTEM_PROMPT][THINK]{{ messages[0].content }}"
DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>")
COUNTING = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ loop.index }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {{ messages | length + 1 }}\n{% endif %}"
)
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content if loop.revindex < 6 else '...' }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BUSY = (
    "{% set ns = namespace(asked=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.asked = ns.asked + 1 %}"
    "{% endif %}{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ '...' if m.role == 'tool' and ns.asked > 2 else m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def odd(template: str) -> Renderer:
    return Renderer(small_tokenizer(template, CHATML, eos="<|im_end|>"))


RENDERERS = {
    "qwen2_5": Renderer(qwen_tokenizer("qwen2_5")),
    "qwen3": Renderer(qwen_tokenizer("qwen3")),
    "qwen3_instruct_2507": Renderer(qwen_tokenizer("qwen3_instruct_2507")),
    "qwen3 without thinking": Renderer(qwen_tokenizer("qwen3"), chat_template_kwargs={"enable_thinking": False}),
    "qwen3_5": Renderer(qwen_tokenizer("qwen3_5_think")),
    "qwen3_8": Renderer(qwen_tokenizer("qwen3_8")),
    "lfm2_2_5": Renderer(small_tokenizer(trl_template("lfm2_2_5"), LFM, eos="<|im_end|>", bos="<|startoftext|>")),
    "llama3_1": Renderer(small_tokenizer(trl_template("llama3_1"), LLAMA, eos="<|eot_id|>", bos="<|begin_of_text|>")),
    "gptoss": Renderer(small_tokenizer(trl_template("gptoss"), GPTOSS, eos="<|return|>")),
    "mistral": Renderer(small_tokenizer(MISTRAL_SIGNS, MISTRAL, eos="</s>", bos="<s>")),
    "deepseekv3": Renderer(small_tokenizer(trl_template("deepseekv3"), DEEPSEEK, eos=DEEPSEEK[1], bos=DEEPSEEK[0])),
    "react-text": Renderer(small_tokenizer(None, ("<|endoftext|>",), eos="<|endoftext|>"), family_named("react-text")),
    "one that counts messages": odd(COUNTING),
    "one that forgets": odd(FORGETFUL),
    "one that drops results from the third question on": odd(BUSY),
}
TOOL = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}
TEXTS = st.sampled_from(
    [
        *("Yes.", "It is sent.\n\nOr so. ", "", " ", "<think>Hm.</think>No.", "<tool_response>", "<|im_end|>"),
        *("assistant\n", "<think>\n\n</think>\n\nNo."),
    ]
)
THOUGHTS = st.sampled_from(["", "", "Hm.", "So <b>."])
STEPS = st.lists(st.tuples(st.sampled_from(["", "Wait."]), THOUGHTS, st.integers(1, 2)), max_size=4)
TURNS = st.lists(st.tuples(TEXTS, STEPS, TEXTS, THOUGHTS), min_size=1, max_size=4)


def converse(turns: list[Any], begins: list[BaseMessage]) -> list[BaseMessage]:
    talk = list(begins)
    for number, (question, steps, answer, thought) in enumerate(turns):
        talk.append(HumanMessage(f"{question}?"))
        for place, (text, why, count) in enumerate(steps):
            ids = [f"{number}{place}{call}" for call in range(count)]
            made = [ToolCall(name="look", args={"id": id_}, id=id_) for id_ in ids]
            talk.append(AIMessage(text, tool_calls=made, additional_kwargs={"reasoning_content": why}))
            talk += [ToolMessage(f"{question} sent", tool_call_id=id_) for id_ in ids]
        talk.append(AIMessage(f"{answer}", additional_kwargs={"reasoning_content": thought}))
    return talk


BEGINS = st.sampled_from([[], [], [SystemMessage("Help.")], [AIMessage("Welcome.")]])


@pytest.mark.parametrize("name", RENDERERS)
@settings(max_examples=8, deadline=None)
@given(turns=TURNS, begins=BEGINS, more=st.booleans(), given_tools=st.booleans())
def test_rows_are_those_of_the_whole_past(
    name: str, turns: list[Any], begins: list[BaseMessage], more: bool, given_tools: bool
):
    renderer = RENDERERS[name]
    tools = [TOOL] if given_tools and renderer.family.takes_tools else None
    talk = [*converse(turns, begins), *([HumanMessage("And?")] if more else [])]
    assert outcome(renderer.training_rows, talk, tools) == outcome(one_by_one, renderer, talk, tools)


def outcome(render: Any, *given: Any) -> Any:
    """What it gives, or why it refuses."""
    try:
        return render(*given)
    except CannotRender as error:
        return str(error)


def test_a_thread_of_many_answers_is_rendered_at_once():
    """Its tokens are all that is asked of the template: two renderings and a few windows."""
    renderer = RENDERERS["qwen2_5"]
    talk = converse([("Where", [("Wait.", "", 1)], "Sent.", "")] * 30, [])
    frames: Any = {}
    (row,) = cut_exactly(renderer, talk, None)
    assert cut_by_frames(renderer, talk, None, frames) == [row]
    assert cut_by_windows(renderer, talk, None) == [row]
    assert (len(row.pieces), len(frames)) == (60, 3)  # first answer, after a result, after an answer


def test_what_frames_do_not_see_is_rendered_anew():
    """A thought in the first of two turns: no window shows it dropped unless it holds the whole turn."""
    renderer = RENDERERS["qwen3"]
    plain = converse([("Where", [("", "", 1)], "Sent.", "")] * 3, [])
    thoughtful = converse([("Where", [("", "Hm.", 1)], "Sent.", "")] * 3, [])
    frames: Any = {}
    assert cut_by_frames(renderer, plain, None, frames) in (None, cut_exactly(renderer, plain, None))
    assert cut_by_frames(renderer, thoughtful, None, frames) is None
    rows = cut_exactly(renderer, thoughtful, None)
    assert [len(row.pieces) for row in rows] == [2, 2, 2]
    assert cut_by_windows(renderer, thoughtful, None) == rows


@pytest.mark.parametrize("name", ["llama3_1", "mistral", "qwen2_5"])
def test_a_mark_in_an_answer_is_seen_though_its_frame_is_known(name: str):
    """An empty thought is given and not trained, though a text, where the template knows of no thinking."""
    renderer = RENDERERS[name]
    renderer.training_rows(converse([("Where", [], "Yes.", "")] * 4, []))
    talk = converse([*[("Where", [], "Yes.", "")] * 3, ("Where", [], "<think>\n\n</think>\n\nNo.", "")], [])
    (row,) = renderer.training_rows(talk)
    assert [renderer.tokenizer.decode(row.ids[turn.low : turn.high][:3]) for turn in row.turns] == [*["Yes"] * 3, "No."]


def test_a_question_that_looks_like_a_result_is_rendered_anew():
    """Qwen3 takes it for no question: what was thought before it stays."""
    renderer = RENDERERS["qwen3"]
    talk = converse([("Where", [("<think>", "Hm.", 2)], "Sent.", ""), ("", [("", "Hm.", 2)], "Yes.", "")], [])
    talk[5] = HumanMessage("<tool_response>\nx\n</tool_response>")
    assert cut_by_windows(renderer, talk, None) is None
    assert renderer.training_rows(talk) == one_by_one(renderer, talk, None)
