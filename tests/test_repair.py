"""Calls that are nearly right: put right where it is plain what was meant, and left alone where it is not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from threadmill.nodes.calls import make_check, sort_calls
from threadmill.nodes.repair import coerced, put_right, read_object

PAY = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string"},
        "amount": {"type": "integer"},
        "rate": {"type": "number"},
        "urgent": {"type": "boolean"},
        "currency": {"enum": ["EUR", "USD"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "limit": {"type": ["integer", "null"]},
        "to": {"$ref": "#/$defs/Address"},
        "stops": {"type": "array", "items": {"$ref": "#/$defs/Address"}},
        "days": {"type": "integer"},
        "size": {"enum": ["M", "m"]},
        "which": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
    },
    "required": ["order_id"],
    "additionalProperties": False,
    "$defs": {
        "Address": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}}},
    },
}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"order": "A1", "amount": 5,}', {"order": "A1", "amount": 5}),
        ("{'order': 'A1', 'paid': True, 'note': None}", {"order": "A1", "paid": True, "note": None}),
        ('{order: "A1"}', {"order": "A1"}),
        ('{"order": "A1", "items": ["x", "y"]', {"order": "A1", "items": ["x", "y"]}),
        ('{"order": "A1", "items": ["x", "y"', {"order": "A1", "items": ["x", "y"]}),
        ('{"order": "A1" "amount": 5}', {"order": "A1", "amount": 5}),
        ('```json\n{"order": "A1"}\n```', {"order": "A1"}),
        ('{"order": "A1"}}', {"order": "A1"}),
        ('{"text": "one\ntwo"}', {"text": "one\ntwo"}),  # a line's end as it is
        (r"{'text': 'one\ntwo \u00e4'}", {"text": "one\ntwo ä"}),
        (r'{"path": "C:\dir",}', {"path": "C:\\dir"}),
        ("{'amount': 10.50}", {"amount": 10.5}),
    ],
)
def test_text_that_lacks_only_punctuation_is_read(text: str, meant: dict[str, Any]):
    assert read_object(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        '{"order": "A1", "note": "please wai',  # cut off within a text
        '{"order": "A1", "amount": 12',  # or was it 120?
        '{"order": "A1", "paid": tru',
        '{"order": "A1",',  # more was to come
        '{"order": "A1", "amount":',
        '{"order": "',
        '{"order" "A1", "amount"}',
        "{'note': 'it's'}",
        "{'order': 007}",
        '{"order": "A1"} {"order": "A2"}',  # two objects
        '{"order": "A1", /* 5 or */ "amount": 6}',  # a word would be lost
        '["A1"]',
        '"A1"',
        "order A1, please",
        "",
    ],
)
def test_text_whose_meaning_is_a_guess_is_left_alone(text: str):
    assert read_object(text) is None


@pytest.mark.parametrize(
    ("given", "fitting"),
    [
        ({"amount": "5"}, {"amount": 5}),
        ({"amount": " -5 "}, {"amount": -5}),
        ({"amount": "5.0"}, {"amount": 5}),
        ({"rate": "2.5"}, {"rate": 2.5}),
        ({"order_id": 7}, {"order_id": "7"}),
        ({"urgent": "True"}, {"urgent": True}),
        ({"currency": "eur"}, {"currency": "EUR"}),
        ({"tags": "new"}, {"tags": ["new"]}),
        ({"tags": '["new", "old"]'}, {"tags": ["new", "old"]}),
        ({"tags": [1, "old"]}, {"tags": ["1", "old"]}),
        ({"note": 5}, {"note": "5"}),
        ({"limit": "5"}, {"limit": 5}),
        ({"to": '{"city": "Bonn", "zip": "53111"}'}, {"to": {"city": "Bonn", "zip": 53111}}),
        ({"stops": {"zip": "53111"}}, {"stops": [{"zip": 53111}]}),
        ({"amount": None}, {}),
        ({"orderId": "A1", "Amount": 5}, {"order_id": "A1", "amount": 5}),
    ],
)
def test_a_value_becomes_what_it_plainly_is(given: dict[str, Any], fitting: dict[str, Any]):
    needed = {} if "order_id" in fitting else {"order_id": "A1"}
    assert coerced({**needed, **given}, PAY) == {**needed, **fitting}


@pytest.mark.parametrize(
    "given",
    [
        {"amount": "five"},
        {"amount": "5 EUR"},
        {"amount": "0x10"},
        {"rate": "1e999"},
        {"amount": 5.5},
        {"amount": True},
        {"urgent": 1},
        {"urgent": "yes"},
        {"currency": "Euro"},
        {"order_id": None},  # it is needed
        {"order_id": True},
        {"order_id": ["A1"]},
        {"order": "A1"},  # another name
        {"to": "Bonn"},
        {"orderId": "A1", "order_id": "A2"},
        {"day": 3, "days": 4},
        {"size": " m"},
        {"which": "5"},  # or a list of it?
        "A1",
        None,
    ],
)
def test_a_value_that_may_be_several_things_stays(given: Any):
    args = {"order_id": "A1", **given} if isinstance(given, dict) and not {"order", "orderId"} & {*given} else given
    assert coerced(args, PAY) is None


def test_what_was_proposed_stays_beside_the_call_that_was_put_right():
    call = {"name": "pay", "args": {"order_id": 7, "amount": "5"}, "id": "c1", "type": "tool_call"}
    broken = {"name": "pay", "args": "{'order_id': 'A1'}", "id": "c2", "error": "not JSON", "type": "invalid_tool_call"}
    hopeless = {**broken, "args": "{'order_id': 'A", "id": "c3"}
    message = AIMessage("", id="m", tool_calls=[call], invalid_tool_calls=[hopeless, broken])
    checks = {"pay": make_check(PAY)}
    mended = put_right(message, sort_calls(message, checks), {"pay": PAY}, checks)
    assert [(one["id"], one["args"]) for one in mended.tool_calls] == [
        ("c1", {"order_id": "7", "amount": 5}),
        ("c2", {"order_id": "A1"}),
    ]
    assert mended.invalid_tool_calls == [hopeless]
    assert mended.response_metadata["repaired"] == {
        "proposal": {"tool_calls": [call], "invalid_tool_calls": [hopeless, broken]},
        "how": [
            {
                "id": "c1",
                "how": "coerced",
                "changes": [{"at": "order_id", "was": 7, "is": "7"}, {"at": "amount", "was": "5", "is": 5}],
            },
            {"id": "c2", "how": "read", "text": "{'order_id': 'A1'}"},
        ],
    }
    assert json.loads(json.dumps(mended.response_metadata)) == mended.response_metadata


@pytest.mark.parametrize("finish", [{"finish_reason": "length"}, {"stop_reason": "max_tokens"}])
def test_an_answer_that_was_cut_off_is_not_repaired(finish: dict[str, str]):
    broken = {"name": "pay", "args": '{"order_id": "A1"', "id": "c1", "error": None, "type": "invalid_tool_call"}
    whole = AIMessage("", id="m", invalid_tool_calls=[broken])
    cut = whole.model_copy(update={"response_metadata": finish})
    checks = {"pay": make_check(PAY)}
    assert put_right(whole, sort_calls(whole, checks), {"pay": PAY}, checks).tool_calls[0]["args"] == {"order_id": "A1"}
    assert put_right(cut, sort_calls(cut, checks), {"pay": PAY}, checks) is cut


@pytest.mark.parametrize(
    ("args", "choice"),
    [
        ('{"order_id": "A1"}', {}),  # it can be read, so it is invalid for another reason
        ("{'order_id': 'A1'}", {"tool_choice": "none"}),
        ("{'order_id': 'A1'}", {"tool_choice": "look"}),
    ],
)
def test_a_call_that_may_not_be_made_now_is_not_read(args: str, choice: dict[str, str]):
    broken = {"name": "pay", "args": args, "id": "c1", "error": "not now", "type": "invalid_tool_call"}
    message = AIMessage("", id="m", invalid_tool_calls=[broken], response_metadata=choice)
    checks = {"pay": make_check(PAY)}
    assert put_right(message, sort_calls(message, checks), {"pay": PAY}, checks) is message


def test_a_whole_call_in_one_text_is_read_and_coerced():
    text = "{'name': 'pay', 'arguments': {'order_id': 7}}"
    broken = {"name": None, "args": text, "id": "c1", "error": "not JSON", "type": "invalid_tool_call"}
    message = AIMessage("", id="m", invalid_tool_calls=[broken])
    checks = {"pay": make_check(PAY)}
    (call,) = put_right(message, sort_calls(message, checks), {"pay": PAY}, checks).tool_calls
    assert (call["name"], call["args"], call["id"]) == ("pay", {"order_id": "7"}, "c1")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
ARGS = st.dictionaries(st.sampled_from([*PAY["properties"], "orderId", "other"]), VALUES, max_size=4)
CHECK = make_check(PAY)


@settings(max_examples=30, deadline=None)
@given(ARGS)
def test_what_fits_is_not_changed_and_what_is_changed_fits(args: dict[str, Any]):
    found = coerced(args, PAY)
    if not CHECK(args):
        assert found == args
    elif found is not None:
        assert CHECK(found) == ""


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=3), st.data())
def test_a_text_that_was_cut_anywhere_is_never_taken_for_another(args: dict[str, Any], data: st.DataObject):
    text = json.dumps(args)
    assert read_object(text) in (args, None)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    read = read_object(cut)
    if read is not None:  # only brackets are missing
        assert read == args or set("{}[], ") >= set(text[len(cut) :]) or _begins(args, read)


# Whether ``whole`` goes on where ``part`` ends: the model may have stopped between two members.
def _begins(whole: Any, part: Any) -> bool:
    if isinstance(whole, dict) and isinstance(part, dict):
        *early, last = part.keys() or [None]
        return last is None or (all(whole[key] == part[key] for key in early) and _begins(whole[last], part[last]))
    if isinstance(whole, list) and isinstance(part, list) and part:
        return whole[: len(part) - 1] == part[:-1] and _begins(whole[len(part) - 1], part[-1])
    return whole == part or part == []
