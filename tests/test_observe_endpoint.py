"""The tokens of a model behind an address: counted where its tokenizer is here, its window as the server tells it."""

from pathlib import Path
from typing import Any

import pytest
from endpoint_server import serving
from langchain_core.messages import HumanMessage
from threadmill.errors import ContextOverflow
from threadmill.nodes import Slot
from threadmill.nodes.budget import Budget, room_in
from threadmill.nodes.models.endpoint import EndpointChatModel
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.observe import make_observe


def test_a_budget_knows_what_a_server_reads_and_counts_with_the_tokenizer(tiny_folder: Path):
    asked = [HumanMessage("Where is order O123?")]
    with serving(tiny_folder) as server:
        server.context = 200
        plain = EndpointChatModel.from_server(server.url, "tiny", waits_s=())
        exact = EndpointChatModel.from_server(server.url, "tiny", waits_s=(), tokenizer=tiny_folder, max_new_tokens=20)
        assert (plain.context, room_in(Budget(), plain), room_in(Budget(), exact)) == (200, 100, 180)
    assert plain.count_tokens(asked) is None
    assert exact._renderer is not None
    text = exact._renderer.text(asked, None, ask=True)
    assert exact.count_tokens(asked) == len(Renderer(exact._renderer.tokenizer).ids(text))


def test_a_server_that_is_away_tells_no_window():
    assert EndpointChatModel.from_server("http://127.0.0.1:9/v1", "tiny", waits_s=()).context is None


def test_the_window_of_a_server_that_was_away_counts_when_it_is_back():
    model = EndpointChatModel.from_server("http://127.0.0.1:9/v1", "tiny", waits_s=(), max_new_tokens=20)
    observe = make_observe([Slot.fixed("a.think", model, "v1")], budget=Budget())
    state = {"messages": [HumanMessage("word " * 200, id="h")], "versions": {}}
    assert observe(state, {}) == {"versions": {"a.think": "v1"}}
    asked: list[int] = []

    def cards() -> list[dict[str, Any]]:
        asked.append(1)
        return [{"id": "tiny", "max_model_len": 120}]

    model._server.cards = cards
    for _ in range(2):
        with pytest.raises(ContextOverflow, match="the budget is 100"):
            observe(state, {})
    assert asked == [1]
