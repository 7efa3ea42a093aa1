"""Messages in all the forms that LangChain has: told to the model whole, or refused with a reason."""

from typing import Any

import pytest
from family_tokenizers import qwen_tokenizer
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from threadmill.errors import CannotRender
from threadmill.nodes.models.render import Renderer

IMAGE: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TEXT = {"type": "text", "text": "What is this?"}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(qwen_tokenizer("qwen3"))


def test_an_image_is_not_dropped_in_silence(renderer: Renderer) -> None:
    with pytest.raises(CannotRender, match=r"message 0 \(human\) holds image_url, and this model reads only text"):
        renderer.prompt([HumanMessage([TEXT, IMAGE])], None)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "https://example.org/a.png"},
        {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
        {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
    ],
)
def test_what_a_tool_shows_is_not_dropped_in_silence(renderer: Renderer, block: dict[str, Any]) -> None:
    asked = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    with pytest.raises(CannotRender, match=rf"message 2 \(tool\) holds {block['type']}"):
        renderer.prompt([HumanMessage("Hi"), asked, ToolMessage([block], tool_call_id="1")], None)


def test_text_in_blocks_is_the_same_prompt_as_text(renderer: Renderer) -> None:
    in_blocks = HumanMessage([{"type": "text", "text": "What is "}, "this?"])
    assert renderer.prompt([in_blocks], None) == renderer.prompt([HumanMessage("What is this?")], None)


def test_blocks_of_an_answer_are_told_by_its_calls_and_thinking(renderer: Renderer) -> None:
    answer = AIMessage(
        content_blocks=[
            {"type": "reasoning", "reasoning": "Hm."},
            {"type": "text", "text": "I look."},
            {"type": "tool_call", "name": "look", "args": {}, "id": "1"},
        ]
    )
    text = renderer.text([HumanMessage("Hi"), answer, ToolMessage("a cat", tool_call_id="1")], None, ask=True)
    assert "Hm." in text
    assert "I look." in text
    assert '"name": "look"' in text


def test_no_messages_says_to_give_one(renderer: Renderer) -> None:
    with pytest.raises(CannotRender, match="there are no messages to answer; give at least one"):
        renderer.prompt([], None)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (ChatMessage(content="Be brief.", role="system"), SystemMessage("Be brief.")),
        (ChatMessage(content="Hi", role="user"), HumanMessage("Hi")),
    ],
)
def test_a_chat_message_speaks_in_its_role(renderer: Renderer, said: AnyMessage, expected: AnyMessage) -> None:
    end = HumanMessage("Well?")
    assert renderer.text([said, end], None, ask=True) == renderer.text([expected, end], None, ask=True)
