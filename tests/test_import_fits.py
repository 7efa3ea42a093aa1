"""Every format knows its own rows and no other's, so that a file can be imported without naming its format."""

from pathlib import Path
from typing import Any

import pytest
from threadmill.checkpoints.importers.files import parse, rows_of
from threadmill.checkpoints.importers.formats import FORMATS

DATA = Path(__file__).parent / "data"
FILES = {
    "tau_airline.gpt-4o.sample.jsonl.gz": "tau-bench",
    "tau2_airline/results.gpt-4.1.sample.json.gz": "tau2",
    "swe_agent/function_calling_simple.traj.json.gz": "swe-agent",
    "swe_agent/marshmallow.xml.traj.json.gz": "swe-agent",
    "intercode_sql.gpt-4.sample.jsonl.gz": "intercode",
    "intercode_bash.gpt-4.fs1.sample.jsonl.gz": "intercode",
    "responses.sample.jsonl.gz": "responses",
    "toolbench.sample.jsonl.gz": "toolbench",
    "functionchat.sample.jsonl.gz": "functionchat",
    "api_bank.sample.jsonl.gz": "api-bank",
}
USER, SAID = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
BLOCKS = {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hello"}]}
HUMAN, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}
PART = {"role": "user", "parts": [{"text": "Hi"}]}
SCHEMA = {"type": "object", "properties": {}}
CHAT = "USER: Hi\n\n\nASSISTANT: Hello <|endoftext|>"
RUN = {"id": "r", "run_type": "llm", "inputs": {"messages": [USER]}, "outputs": {"choices": [{"message": SAID}]}}
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("openai", {"messages": [USER, SAID]}),
    ("openai", {"messages": [{"role": "system", "content": "Be brief."}, USER, SAID], "tools": None}),
    ("openai", {"messages": [USER, SAID], "tools": [{"type": "function", "function": {"name": "look"}}]}),
    ("openai", {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": []}], "model": "claude-3"}),
    ("openai", {"input": {"messages": [USER]}, "preferred_output": [SAID], "non_preferred_output": [SAID]}),
    ("openai", {"request": {"messages": [USER]}, "response": {"choices": [{"message": SAID}]}}),
    ("openai", {"object": "chat.completion", "messages": [USER], "choices": [{"message": SAID}]}),
    ("anthropic", {"system": "Be brief.", "messages": [USER, SAID]}),
    ("anthropic", {"messages": [USER, BLOCKS]}),
    ("anthropic", {"messages": [USER, SAID], "tools": [{"name": "look", "input_schema": SCHEMA}]}),
    ("anthropic", {"messages": [USER, SAID], "model": "claude-sonnet-4-5", "max_tokens": 100}),
    ("anthropic", {"request": {"messages": [USER]}, "response": {"type": "message", "content": []}}),
    ("gemini", {"contents": [PART, {"role": "model", "parts": [{"text": "Hello"}]}]}),
    ("gemini", {"request": {"contents": [PART]}, "response": {"candidates": []}}),
    ("gemini", {"contents": [PART], "completions": []}),
    ("sharegpt", {"conversations": [HUMAN, GPT]}),
    ("sharegpt", {"conversations": [HUMAN, {"from": "function_call", "value": "{}"}], "tools": "[]"}),
    ("sharegpt", {"conversations": [HUMAN], "chosen": GPT, "rejected": GPT}),
    ("hermes", {"conversations": [HUMAN, {"from": "gpt", "value": "<tool_call>{}</tool_call>"}]}),
    ("hermes", {"conversations": [{"from": "system", "value": "<tools>[]</tools>"}, HUMAN, GPT], "tools": "[]"}),
    ("glaive", {"system": "SYSTEM: You help.", "chat": CHAT}),
    ("glaive", {"sample": f"SYSTEM: You help.\n{CHAT}"}),
    ("xlam", {"id": 1, "query": "Hi", "tools": "[]", "answers": "[]"}),
    ("langsmith", RUN),
    ("langsmith", {"runs": [RUN], "cursors": {}}),
    ("langsmith", {**RUN, "run_type": "chain", "inputs": {"messages": [USER]}, "child_runs": [RUN]}),
]


def formats_of(row: dict[str, Any]) -> list[str]:
    return [name for name, module in FORMATS.items() if module.fits(row)]


@pytest.mark.parametrize(("format", "row"), ROWS)
def test_a_row_fits_its_format_and_no_other(format: str, row: dict[str, Any]) -> None:
    assert formats_of(row) == [format]


@pytest.mark.parametrize(("file", "format"), FILES.items())
def test_recorded_rows_fit_their_format_and_no_other(file: str, format: str) -> None:
    fitting = [formats_of(parse(row)) for _, row in rows_of(DATA / file)]
    assert [names for names in fitting if names not in ([], [format])] == []
    assert fitting.count([format]) >= len(fitting) / 2  # some samples hold a row without a run on purpose


def test_every_format_but_plain_text_is_looked_at() -> None:
    assert {format for format, _ in ROWS} | set(FILES.values()) == set(FORMATS) - {"react-text"}


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"messages": []},
        {"messages": "Hi"},
        {"messages": [{"role": {}}]},
        {"conversations": [{"from": []}]},
        {"contents": [3]},
        {"chat": 3},
        {"runs": []},
        {"query": "Hi"},
        {"id": "simple_0", "question": [[USER]], "function": [{"name": "look", "parameters": SCHEMA}]},
    ],
)
def test_other_rows_fit_nothing(row: dict[str, Any]) -> None:
    assert formats_of(row) == []
