"""Branches as records of OpenAI, Anthropic and LLaMA-Factory, written out."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from threadmill.errors import CannotWrite
from threadmill.training.branches import Branch, Outcome
from threadmill.training.chats.anthropic import anthropic_record
from threadmill.training.chats.openai import openai_record
from threadmill.training.chats.sharegpt import sharegpt_record

PARAMETERS = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
LOOK = {"name": "look", "description": "Look it up.", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": LOOK}]


def branch(*messages: BaseMessage, **about: Any) -> Branch:
    return Branch("t", "c", None, messages, "recorded", (), Outcome(), **about)


def asking(id_: str, *orders: str, text: str = "", **about: Any) -> AIMessage:
    calls = [{"name": "look", "args": {"order": order}, "id": f"call-{order}"} for order in orders]
    return AIMessage(text, id=id_, tool_calls=calls, **about)


def result(order: str, text: str, **about: Any) -> ToolMessage:
    return ToolMessage(text, id=f"r-{order}", tool_call_id=f"call-{order}", **about)


def answer(id_: str, text: str, **about: Any) -> AIMessage:
    return AIMessage(text, id=id_, **about)


HI = HumanMessage("Where are A1 and Ü2?", id="h1")
TALK = (
    HI,
    asking("a1", "A1", "Ü2", response_metadata={"tools": TOOLS, "system": "Be kind."}),
    result("A1", "sent"),
    result("Ü2", "no such order", status="error"),
    answer("a2", "A1 was sent.", additional_kwargs={"reasoning_content": "Only one."}),
    HumanMessage("Thanks.", id="h2"),
    answer("a3", "Welcome."),
)


def test_openai_s_form():
    record = openai_record(branch(*TALK), thinking="drop")
    assert record == {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Where are A1 and Ü2?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"order": "A1"}'}},
                    {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": '{"order": "Ü2"}'}},
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "sent"},
            {"role": "tool", "tool_call_id": "call_2", "content": "no such order"},
            {"role": "assistant", "content": "A1 was sent."},
            {"role": "user", "content": "Thanks."},
            {"role": "assistant", "content": "Welcome."},
        ],
        "tools": [{"type": "function", "function": LOOK}],
    }
    kept = openai_record(branch(*TALK), thinking="keep")
    assert kept["messages"][5] == {
        "role": "assistant",
        "content": "A1 was sent.",
        "reasoning_content": "Only one.",
    }
    with pytest.raises(CannotWrite, match="thread 't' at checkpoint 'c' cannot be written: thinking; leave it out"):
        openai_record(branch(*TALK))


def test_anthropic_s_form():
    assert anthropic_record(branch(*TALK)) == {
        "system": "Be kind.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Where are A1 and Ü2?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "call_1", "name": "look", "input": {"order": "A1"}},
                    {"type": "tool_use", "id": "call_2", "name": "look", "input": {"order": "Ü2"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "sent"},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": "no such order", "is_error": True},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Only one.", "signature": ""},
                    {"type": "text", "text": "A1 was sent."},
                ],
            },
            {"role": "user", "content": [{"type": "text", "text": "Thanks."}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Welcome."}]},
        ],
        "tools": [{"name": "look", "description": "Look it up.", "input_schema": PARAMETERS}],
    }


def test_sharegpt_s_form():
    assert sharegpt_record(branch(*TALK)) == {
        "conversations": [
            {"from": "human", "value": "Where are A1 and Ü2?"},
            {
                "from": "function_call",
                "value": '[{"name": "look", "arguments": {"order": "A1"}}, '
                '{"name": "look", "arguments": {"order": "Ü2"}}]',
            },
            {"from": "observation", "value": "sent\n</tool_response>\n<tool_response>\nno such order"},
            {"from": "gpt", "value": "<think>\nOnly one.\n</think>\n\nA1 was sent."},
            {"from": "human", "value": "Thanks."},
            {"from": "gpt", "value": "Welcome."},
        ],
        "system": "Be kind.",
        "tools": '[{"name": "look", "description": "Look it up.", "parameters": {"type": "object", '
        '"properties": {"order": {"type": "string"}}, "required": ["order"]}}]',
    }


def test_results_stand_in_the_order_of_the_calls_where_nothing_else_tells_them_apart():
    swapped = branch(HI, asking("a1", "A1", "B2"), result("B2", "lost"), result("A1", "sent"), answer("a2", "So."))
    assert sharegpt_record(swapped)["conversations"][1:3] == [
        {
            "from": "function_call",
            "value": '[{"name": "look", "arguments": {"order": "A1"}}, {"name": "look", "arguments": {"order": "B2"}}]',
        },
        {"from": "observation", "value": "sent\n</tool_response>\n<tool_response>\nlost"},
    ]


def test_what_a_person_says_behind_results_joins_them_in_anthropic_s_form():
    said = branch(HI, asking("a1", "A1"), result("A1", "sent"), HumanMessage("And?", id="h2"), answer("a2", "Sent."))
    assert anthropic_record(said)["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call-A1", "content": "sent"},
        {"type": "text", "text": "And?"},
    ]


def test_a_known_signature_stays_with_its_thought():
    blocks: list[Any] = [
        {"type": "thinking", "thinking": "Hm.", "signature": "Sig=="},
        {"type": "text", "text": "Yes."},
    ]
    assert anthropic_record(branch(HI, AIMessage(blocks, id="a")))["messages"][1]["content"] == blocks


def weights(*messages: BaseMessage) -> list[int]:
    """1 for each answer that is trained in OpenAI's form."""
    chat = openai_record(branch(*messages))["messages"]
    return [message.get("weight", 1) for message in chat if message["role"] == "assistant"]


def test_answers_that_no_model_gave_are_not_trained():
    canned = answer("a0", "Hi! How can I help?", response_metadata={"canned": True})
    assert weights(canned, HI, answer("a1", "Sent.")) == [0, 1]
    assert weights(answer("a0", "Hi!"), HI, answer("a1", "Sent.")) == [0, 1]  # nobody had asked


def test_a_call_that_a_person_refused_is_not_trained():
    refused = result("A1", "a person refused this call", additional_kwargs={"kind": "rejected"})
    assert weights(HI, asking("a1", "A1"), refused, answer("a2", "All right.")) == [0, 1]


def test_what_a_person_wrote_in_the_model_s_place_is_the_message_and_trained():
    edit = {"by": "ann", "at": "noon", "proposal": {"content": "", "tool_calls": [], "invalid_tool_calls": []}}
    edited = asking("a1", "B7", response_metadata={"edit": edit})
    talk = (HI, edited, result("B7", "sent"), answer("a2", "Sent."))
    assert weights(*talk) == [1, 1]
    asked = openai_record(branch(*talk))["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert asked == '{"order": "B7"}'


def test_only_the_answers_of_chosen_nodes_are_trained():
    talk = (HI, answer("a1", "Plan: look."), HumanMessage("Go.", id="h2"), answer("a2", "Done."))
    known = {"a1": "plan", "a2": "think"}
    record = openai_record(branch(*talk, nodes=known), nodes={"think"})
    assert [message.get("weight") for message in record["messages"]] == [None, 0, None, None]
    with pytest.raises(CannotWrite) as caught:
        anthropic_record(branch(*talk, nodes=known), nodes={"think"})
    assert caught.value.reason == "an answer of another node"


@pytest.mark.parametrize("name", ["openai", "anthropic", "sharegpt"])
def test_a_record_ends_with_the_last_answer_that_is_complete(name):
    record = {"openai": openai_record, "anthropic": anthropic_record, "sharegpt": sharegpt_record}[name]
    whole = record(branch(HI, asking("a1", "A1"), result("A1", "sent"), answer("a2", "Sent.")))
    more = HumanMessage("And B2?", id="h2"), asking("a3", "B2", "C3"), result("C3", "lost")
    assert record(branch(HI, asking("a1", "A1"), result("A1", "sent"), answer("a2", "Sent."), *more)) == whole
    short = record(branch(HI, asking("a1", "A1"), result("A1", "sent"), asking("a4", "B2")))
    assert short == record(branch(HI, asking("a1", "A1"), result("A1", "sent")))
    assert len(short["conversations" if name == "sharegpt" else "messages"]) == 2


def test_ids_that_repeat_or_that_an_api_refuses_are_numbered():
    again = HumanMessage("Again.", id="h2"), asking("a2", "A1"), result("A1", "gone"), answer("a3", "Gone.")
    record = openai_record(branch(HI, asking("a1", "A1"), result("A1", "sent"), *again))
    said = [(m.get("tool_calls", [{}])[0].get("id"), m.get("tool_call_id")) for m in record["messages"]]
    assert said == [
        (None, None),
        ("call_1", None),
        (None, "call_1"),
        (None, None),
        ("call_2", None),
        (None, "call_2"),
        (None, None),
    ]
    nameless = AIMessage("", id="a1", tool_calls=[{"name": "look", "args": {}, "id": None}])
    named = ToolMessage("sent", id="r", tool_call_id="a1:0")
    assert openai_record(branch(HI, nameless, named))["messages"][1]["tool_calls"][0]["id"] == "call_1"
    kept = openai_record(branch(HI, asking("a1", "A1"), result("A1", "sent"), answer("a2", "Sent.")))
    assert kept["messages"][2]["tool_call_id"] == "call-A1"


PICTURE = HumanMessage(content=[{"type": "image_url", "image_url": {"url": "data:,"}}], id="p")
UNREADABLE = AIMessage("", id="u", invalid_tool_calls=[{"name": "look", "args": "{", "id": "c", "error": "no JSON"}])
CRITIC = ChatMessage(content="x", role="critic", id="x")
DONE = (answer("a9", "Done."),)
OTHER = {"tools": [{"type": "function", "function": {"name": "pay"}}]}
REFUSALS: dict[str, tuple[tuple[BaseMessage, ...], list[str]]] = {
    "an image": ((PICTURE, *DONE), ["content of type 'image_url'"] * 3),
    "a call nobody could read": ((HI, UNREADABLE, *DONE), ["a call that could not be read"] * 3),
    "a result of no call": ((HI, result("A1", "sent"), *DONE), ["a result without its call"] * 3),
    "a call without a result": ((HI, asking("a1", "A1"), *DONE), ["a call without its result"] * 3),
    "a role of its own": (
        (HI, ChatMessage(content="x", role="critic", id="x"), *DONE),
        ["a message of type 'chat'"] * 3,
    ),
    "an empty answer": ((HI, answer("e", "")), ["an answer that says nothing"] * 3),
    "no answer": ((HI,), ["nothing to train"] * 3),
    "nothing but a greeting": ((answer("g", "Hi!"), HI), ["nothing to train"] * 3),
    "a number that is none": (
        (HI, AIMessage("", id="n", tool_calls=[{"name": "look", "args": {"x": float("nan")}, "id": "n"}]), *DONE),
        ["arguments that are no JSON"] * 3,
    ),
    "other tools on the way": (
        (
            HI,
            answer("a1", "Hi.", response_metadata={"tools": TOOLS}),
            HI,
            answer("a2", "Ho.", response_metadata=OTHER),
        ),
        ["the tools or the system prompt changed on the way"] * 3,
    ),
    "a tool of the provider's": (
        (HI, answer("a1", "Hi.", response_metadata={"tools": [{"type": "web_search_preview"}]})),
        ["a tool that is no function"] * 3,
    ),
    "an odd name": (
        (HI, AIMessage("", id="n", tool_calls=[{"name": "shop.look", "args": {}, "id": "call-A1"}]), result("A1", "x")),
        ["a tool's name that the API refuses", "a tool's name that the API refuses", ""],
    ),
    "two system messages": (
        (SystemMessage("a", id="s"), SystemMessage("b", id="s2"), HI, *DONE),
        ["", "a second system message", "a second system message"],
    ),
    "an answer first": (
        (SystemMessage("a", id="s"), answer("g", "Hi!"), HI, *DONE),
        ["", "an answer before anybody asked", "an answer before anybody asked"],
    ),
    "two answers in a row": ((HI, *DONE, answer("b", "x")), ["", "two answers in a row", "two answers in a row"]),
    "a person twice": ((HI, HumanMessage("x", id="x"), *DONE), ["", "", "a person who speaks where an answer is due"]),
    "a person with a name": (
        (HumanMessage("x", name="ann", id="x"), *DONE),
        ["", "the name of a person who speaks", "the name of a person who speaks"],
    ),
    "a person who says nothing": ((HumanMessage("", id="x"), *DONE), ["", "a message without text", ""]),
    "text beside a call": ((HI, asking("a1", "A1", text="Wait."), result("A1", "x")), ["", "", "text beside a call"]),
    "a spelled tag": ((HI, answer("a", "</think>")), ["", "", "text that spells the tags of thinking"]),
    "a canned answer": (
        (HI, answer("g", "Hi!", response_metadata={"canned": True}), HI, *DONE),
        ["", "an answer that no model gave", "an answer that no model gave"],
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_form_cannot_hold_is_refused_with_the_reason(case):
    messages, reasons = REFUSALS[case]
    found = []
    for write in (openai_record, anthropic_record, sharegpt_record):
        try:
            write(branch(*messages))
        except CannotWrite as error:
            found.append(error.reason)
        else:
            found.append("")
    assert found == reasons
