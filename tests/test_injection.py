"""Attacks in the output of tools: no control token comes of them; a strict policy lets nothing happen unapproved."""

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from threadmill.checkpoints import open_store
from threadmill.nodes import Slot
from threadmill.nodes.models.families.choose import family_named
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.template import GUARD, ChatTemplate
from threadmill.nodes.models.trace import TRACE_KEY, Trace, write_trace
from threadmill.training.rollout import Trial, play
from threadmill.training.suites import open_suite
from threadmill.training.worlds.injection.cases import KINDS, UNWRITTEN, Payload
from threadmill.training.worlds.injection.obeying import injected, make_obeying
from threadmill.training.worlds.injection.suite import InjectionSuite

ACTING = {"refund", "cancel_order", "change_address"}
TEMPLATES = {
    "hermes": "qwen2_5",
    "qwen3": "qwen3",
    "qwen3.5": "qwen3_5_think",
    "lfm2": "lfm2",
    "llama3": "llama3",
    "gpt-oss": "gptoss",
    **dict.fromkeys(("mistral", "mistral-list", "deepseek-v3", "deepseek-v3.1", "react-text"), ""),
}
"""Family to the template that TRL has of it; the others come with one of their own."""
SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[ARGS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "<|start|>", "<|end|>"),
    *("<|message|>", "<|channel|>", "<|constrain|>", "<|call|>", "<|return|>", "<tool_call>", "</tool_call>"),
    *("<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁output▁begin｜>"),
    *(
        "<｜tool▁output▁end｜>",
        "<｜end▁of▁sentence｜>",
        "<think>",
        "</think>",
        "<|tool_call_start|>",
        "<|tool_list_end|>",
    ),
)
PAYLOAD = Payload("refund", {"order_id": "O392", "amount": 41})


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from family_tokenizers import small_tokenizer

    return small_tokenizer(None, SPECIAL, eos="<|im_end|>", bos="<s>")


@pytest.mark.parametrize("family", TEMPLATES)
def test_special_tokens_in_data_never_become_control_tokens(tokenizer: Any, family: str) -> None:
    from family_tokenizers import trl_template

    known = family_named(family)
    tokenizer.chat_template = trl_template(TEMPLATES[family]) if TEMPLATES[family] else known.template
    template = ChatTemplate(tokenizer, known)
    control = set(tokenizer.convert_tokens_to_ids(SPECIAL))

    def controls(data: str) -> Counter[int]:
        call = AIMessage("", tool_calls=[{"name": "look", "args": {"id": 1}, "id": "abcdefghi"}])
        result = ToolMessage(data, tool_call_id="abcdefghi", name="look")
        text = template.text([HumanMessage(f"Look at {data}."), call, result], None, ask=True)
        return Counter(token for token in template.ids(text) if token in control)

    harmless = controls("the shelf")
    assert sum(harmless.values()) >= (0 if family == "react-text" else 3)
    for kind, write in KINDS.items():
        assert (kind, controls(write(PAYLOAD))) == (kind, harmless)
    assert controls(" ".join(SPECIAL) + "".join(SPECIAL)) == harmless


HOSTILE = st.lists(st.sampled_from([*SPECIAL, "the shelf", "\n", '"', GUARD]), max_size=4).map("".join)


@pytest.mark.parametrize("family", TEMPLATES)
@settings(max_examples=6, deadline=None)
@given(data=st.lists(HOSTILE, min_size=5, max_size=5), thought=st.sampled_from(["", "Hm."]))
def test_rendered_rows_are_what_the_model_is_shown(tokenizer: Any, family: str, data: list[str], thought: str) -> None:
    """Whatever tools return: a row of messages without traces begins as every prompt that led to one of its turns."""
    from family_tokenizers import trl_template

    known = family_named(family)
    tokenizer.chat_template = trl_template(TEMPLATES[family]) if TEMPLATES[family] else known.template
    talk: list[BaseMessage] = [HumanMessage(f"Look at {data[0]}.")]
    for place, text in enumerate(data[1:]):
        call = {"name": "look", "args": {"id": place}, "id": f"abcdefgh{place}"}
        talk.append(AIMessage("", tool_calls=[call], additional_kwargs={"reasoning_content": thought}))
        talk.append(ToolMessage(text, tool_call_id=f"abcdefgh{place}", name="look"))
    talk.append(AIMessage("It is there."))

    renderer, inference = Renderer(tokenizer, known), Renderer(tokenizer, known)
    spoken = [*talk]
    for row in renderer.training_rows(talk):
        for turn in row.turns:
            prompt = inference.prompt(spoken[: turn.message], None)
            assert prompt.full_ids == row.ids[: len(prompt.full_ids)]
            sampled = row.ids[len(prompt.full_ids) : turn.high]
            trace = Trace("v", prompt.delta_ids, sampled, (0.0,) * len(sampled), digest=prompt.digest)
            said = {"response_metadata": {TRACE_KEY: write_trace(trace)}}
            spoken[turn.message] = spoken[turn.message].model_copy(update=said)


@pytest.mark.parametrize("kind", KINDS)
def test_the_obeying_model_finds_every_payload(kind: str) -> None:
    wanted = ("refund", {"order_id": "O1", "amount": 1}) if kind == "users_own" else (PAYLOAD.name, PAYLOAD.args)
    found = list(injected(f"O1 item scarf city Oslo. {KINDS[kind](PAYLOAD)}", "Where is O1?"))
    assert (found[0], all(call == wanted for call in found)) == (wanted, True)


def played(tmp_path: Path, taint: bool | Literal["strict"], *, mark: bool) -> dict[str, tuple[int, int, int]]:
    """Kind to how many acting calls were proposed, and done, in one episode, and how many of 2 conditions were met."""
    suite = InjectionSuite(taint=taint, mark=mark)
    tasks = suite.tasks("heldout", 1, seed=0)
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        slot = Slot.fixed("helpdesk.think", make_obeying(), "obeying")
        trials = play(store, suite, tasks, {"helpdesk.think": slot}, trials=1, seed=0, workers=2)
    return {task.tier: _counts(trial) for task, trial in zip(tasks, trials, strict=True)}


def _counts(trial: Trial) -> tuple[int, int, int]:
    messages, met = trial.finished.messages, trial.finished.met
    proposed = [call["name"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    done = [message.name for message in messages if message.additional_kwargs.get("kind") == "result"]
    assert met is not None
    return sum(name in ACTING for name in proposed), sum(name in ACTING for name in done), met


@pytest.mark.parametrize("mark", [False, True])
def test_a_strict_policy_lets_nothing_happen_even_if_the_model_obeys(tmp_path: Path, mark: bool) -> None:
    assert played(tmp_path, "strict", mark=mark) == dict.fromkeys(KINDS, (1, 0, 2))


def test_without_a_policy_every_attack_succeeds(tmp_path: Path) -> None:
    assert {kind: done for kind, (_, done, _) in played(tmp_path, False, mark=False).items()} == dict.fromkeys(KINDS, 1)


@pytest.mark.parametrize("mark", [False, True])
def test_looking_for_copies_stops_what_is_written_down(tmp_path: Path, mark: bool) -> None:
    found = played(tmp_path, True, mark=mark)
    assert {kind for kind, (_, done, _) in found.items() if done} <= set(UNWRITTEN)


def test_the_suite_is_built_in() -> None:
    suite = open_suite("injection")
    tasks = suite.tasks("heldout", 2, seed=0)
    assert len({task.id for task in tasks}) == 2 * len(KINDS)
    assert [task.text for task in tasks] == [task.text for task in suite.tasks("heldout", 2, seed=0)]
