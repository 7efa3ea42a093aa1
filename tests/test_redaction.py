"""What is found in texts and JSON values, what stands in its place, and what is left alone."""

import json
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadmill.errors import BadRedaction, MissingLibrary
from threadmill.training.selection.detectors import KINDS, read_escapes
from threadmill.training.selection.redaction import Redactor

KEY = "AKIA" + "ABCDEFGHIJKLMNOP"  # in two parts, so that nobody takes it for a real one
JWT = ".".join(("eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxIn0", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"))
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEowIBAAKCAQEA1234\nabc=\n-----END RSA PRIVATE KEY-----"


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor()


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to jo@example.com, please.", "Write to [EMAIL_ADDRESS], please."),
        ("Two: <a.b+c@foo-bar.co.uk>; jo@host.corp", "Two: <[EMAIL_ADDRESS]>; [EMAIL_ADDRESS]"),
        ("get_user(email='jo@example.com')", "get_user(email='[EMAIL_ADDRESS]')"),
        ("jo@example.com.I want", "[EMAIL_ADDRESS].I want"),
        ("josé.m@example.com에 4111111111111111번", "[EMAIL_ADDRESS]에 [CREDIT_CARD]번"),
        ("Card 4111 1111 1111 1111.", "Card [CREDIT_CARD]."),
        ("Card 2223-0031-2200-3222.", "Card [CREDIT_CARD]."),
        ("IBAN GB82 WEST 1234 5698 7654 32", "IBAN [IBAN_CODE]"),
        ("Call +1 212-555-0123 or (212) 555-0124.", "Call [PHONE_NUMBER] or [PHONE_NUMBER]."),
        ("Mobile: 2125550123", "Mobile: [PHONE_NUMBER]"),
        ("from 192.168.0.12 and fe80::1ff", "from [IP_ADDRESS] and [IP_ADDRESS]"),
        ("MAC 00:1A:2B:3C:4D:5E", "MAC [MAC_ADDRESS]"),
        ("SSN 536-90-4399", "SSN [US_SSN]"),
        ("to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "to [CRYPTO]"),
        (f"key={KEY};", "key=[AWS_ACCESS_KEY];"),
        (f"Bearer {JWT}.", "Bearer [JSON_WEB_TOKEN]."),
        (f"{PEM}\nbye", "[PRIVATE_KEY]\nbye"),
        (PEM[:60], "[PRIVATE_KEY]"),
        ("ghp_" + "a1B2" * 9 + " leaked", "[GITHUB_TOKEN] leaked"),
        ("sk-ant-api03-" + "x1-Y" * 9, "[ANTHROPIC_API_KEY]"),
        ("https://bob:hunter2@host/x", "https:[BASIC_AUTH]/x"),
        ('{"password": "hunter2"}', '{"password": "[NAMED_SECRET]"}'),
    ],
)
def test_a_find_is_replaced_by_its_kind(redactor: Redactor, text: str, redacted: str) -> None:
    assert redactor.text(text)[0] == redacted
    assert redactor.text(redacted) == (redacted, Counter())


@pytest.mark.parametrize(
    "text",
    [
        "Order O123, reservation 4WQ150, item 1008292230, product #W2378156",
        "order 2125550123, total 1.234,56; 1200 - 500 - 300",
        "123e4567-e89b-12d3-a456-426614174000 41111111-1111-1111-1111-111111111111",
        "at 2024-05-20T10:00:00.123456, 1700000000000 ms, took 05.368808 s",
        "score 0.4111111111111111",
        "Chrome/120.0.0.0 on 127.0.0.1, x[::2], std::string",
        "sha 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "call_9sJ2kQxLmN4pRtVwYz61AbCd",
        '{"password": "${PASSWORD}", "secret": ""}',
        "me @ home, @decorator, user@localhost, react@18.2.0, git@github.com:a/b",
    ],
)
def test_ordinary_numbers_and_ids_are_left_alone(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == (text, Counter())


def test_escapes_of_json_do_not_hide_anything(redactor: Redactor) -> None:
    assert read_escapes(r"a\u0040b\\n") == ("a@b\\n", [0, 1, 7, 8, 10, 11])
    assert redactor.text(r'{"to": "jo\u0040example.com"}')[0] == '{"to": "[EMAIL_ADDRESS]"}'
    assert (
        redactor.text(r'{"raw": "{\"to\": \"caf\\u00e9@example.com\"}"}')[0]
        == r'{"raw": "{\"to\": \"[EMAIL_ADDRESS]\"}"}'
    )
    assert redactor.text(json.dumps({"pem": PEM})) == ('{"pem": "[PRIVATE_KEY]"}', Counter(PRIVATE_KEY=1))
    # whether the n belongs to the address is not known, and JSON stays JSON
    assert redactor.text(r"Hi,\njo@example.com")[0] == "Hi,[EMAIL_ADDRESS]"


def test_values_are_redacted_at_any_depth_and_read_with_their_names(redactor: Redactor) -> None:
    value = {"phone": 2125550123, "amount": 2125550123, "to": ["jo@example.com", None, True], "jo@example.com": 1.5}
    redacted, counts = redactor.value(value)
    assert redacted == {
        "phone": "[PHONE_NUMBER]",
        "amount": 2125550123,
        "to": ["[EMAIL_ADDRESS]", None, True],
        "[EMAIL_ADDRESS]": 1.5,
    }
    assert counts == {"PHONE_NUMBER": 1, "EMAIL_ADDRESS": 2}
    assert value["to"][0] == "jo@example.com"  # a copy was made
    untouched = {"order": "O123", "lines": [1, 2]}
    assert redactor.value(untouched)[0] is untouched


def test_two_names_that_become_the_same_are_told_apart(redactor: Redactor) -> None:
    redacted, _ = redactor.value({"jo@example.com": 1, "al@example.com": 2})
    assert redacted == {"[EMAIL_ADDRESS]": 1, "[EMAIL_ADDRESS] 2": 2}


def test_pictures_are_not_read(redactor: Redactor) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{KEY}"}}
    assert redactor.value(picture)[0] is picture


def test_kinds_are_chosen_patterns_added_and_texts_allowed() -> None:
    own = Redactor(
        kinds=["EMAIL_ADDRESS"], also={"ORDER_ID": r"\bO\d{3}\b"}, allow=["help@shop.example", "Sales@Shop.example"]
    )
    text = "O123: jo@shop.example, 192.168.0.12, HELP@shop.example, sales@shop.example, my.help@shop.example"
    assert own.text(text) == (
        "[ORDER_ID]: [EMAIL_ADDRESS], 192.168.0.12, HELP@shop.example, sales@shop.example, [EMAIL_ADDRESS]",
        Counter(EMAIL_ADDRESS=2, ORDER_ID=1),
    )
    assert own.text(r"\nhelp@shop.example")[1] == Counter()
    assert json.loads(json.dumps(own.to_dict()))["also"] == {"ORDER_ID": r"\bO\d{3}\b"}


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"kinds": ["EMAIL"]}, "'EMAIL' is no kind to redact; there are EMAIL_ADDRESS, CREDIT_CARD"),
        ({"also": {"ORDER_ID": "("}}, r"the pattern '\(' of ORDER_ID cannot be used: missing \)"),
        ({"also": {"order id": "x"}}, "'order id' cannot name a pattern; use new capitals, such as ORDER_NUMBER"),
        ({"also": {"US_SSN": "x"}}, "'US_SSN' cannot name a pattern"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(asked: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadRedaction, match=complaint):
        Redactor(**asked)


def test_kinds_that_ordinary_ids_look_like_are_only_looked_for_when_chosen(redactor: Redactor) -> None:
    text = 'id "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3A"'
    assert redactor.text(text) == (text, Counter())
    assert Redactor(kinds=["HIGH_ENTROPY"]).text(text)[0] == 'id "[HIGH_ENTROPY]"'
    assert not {"HIGH_ENTROPY", "ARTIFACTORY_CREDENTIALS"} & {*KINDS}


def test_long_texts_without_spaces_take_no_square_of_time(redactor: Redactor) -> None:
    text = "A" * 200_000 + "@" + "b" * 200_000
    assert redactor.text(text) == (text, Counter())
    for unit in ("password", "eyJ"):  # their patterns did
        assert redactor.text(unit * 5_000)[1] == Counter()
    assert redactor.text("x " * 50_000 + "jo@example.com" + " x" * 50_000)[1] == Counter(EMAIL_ADDRESS=1)


def test_a_world_of_the_helpdesk_loses_its_addresses_and_nothing_else(redactor: Redactor, tmp_path: Path) -> None:
    from threadmill.training.worlds.helpdesk.database import make_world, write_world

    write_world(make_world("train", 3), tmp_path / "world.db")
    connection = sqlite3.connect(tmp_path / "world.db")
    rows = [row for table in ("orders", "policies") for row in connection.execute(f"SELECT * FROM {table}")]
    connection.close()
    redacted = [redactor.value(list(row))[0] for row in rows]
    changed = {
        new for row, old in zip(redacted, rows, strict=True) for new, was in zip(row, old, strict=True) if new != was
    }
    assert changed == {"[EMAIL_ADDRESS]"}
    assert "@" not in json.dumps(redacted)


def test_without_a_library_the_way_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detect_secrets.plugins.aws", None)
    with pytest.raises(MissingLibrary, match=r"needs detect-secrets; pip install 'threadmill\[redact\]'"):
        Redactor(kinds=["AWS_ACCESS_KEY"])


@settings(max_examples=40, deadline=None)
@given(
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    secret=st.sampled_from(["jo.doe@example.com", KEY, JWT, "hf_" + "aB" * 17, "https://bob:hunter2@host"]),
)
def test_whatever_stands_around_a_secret_nothing_of_it_is_left(
    redactor: Redactor, before: str, after: str, secret: str
) -> None:
    for text in (f"{before} {secret} {after}", json.dumps({"value": f"{before} {secret} {after}"})):
        redacted, counts = redactor.text(text)
        assert counts.total() >= 1
        assert "jo.doe" not in redacted
        assert "hunter2" not in redacted
        assert secret[-20:] not in redacted
        assert redactor.text(redacted)[0] == redacted


letters = st.text(st.characters(categories=["L", "Zs"]), max_size=8)


@settings(max_examples=30, deadline=None)
@given(letters, letters, st.sampled_from(["4111 1111 1111 1111", "+49 30 901820", "536-90-4399", "192.168.0.12"]))
def test_whatever_letters_stand_around_a_number_it_is_replaced_and_they_stay(
    redactor: Redactor, before: str, after: str, number: str
) -> None:
    redacted, counts = redactor.text(f"{before} {number}, {after}")
    assert counts.total() == 1
    (kind,) = counts
    assert redacted == f"{before} [{kind}], {after}"
