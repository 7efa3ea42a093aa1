"""One broken data set for each thing that a check finds, and data sets in which there is nothing to find."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from family_tokenizers import qwen_tokenizer, small_tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadmill.training.dataset import write_dataset
from threadmill.training.look.chats import NoMessages
from threadmill.training.look.check import Report, check_folder
from threadmill.training.look.roles import RoleReader
from threadmill.training.look.seen import row_seen
from threadmill.training.look.sequences import NotAligned

USER = "<|im_start|>user\nWhere?<|im_end|>\n"
ASKS = "<|im_start|>assistant\n"
TOLD = "<|im_start|>user\n<tool_response>\n", "Paris", "\n</tool_response><|im_end|>\n"
Check = Callable[..., Report]
Parts = Sequence[tuple[str, int]]
GOOD: Parts = ((USER + ASKS, 0), ("look<|im_end|>", 1), ("\n" + "".join(TOLD) + ASKS, 0), ("There.<|im_end|>", 1))


@pytest.fixture(scope="module")
def reader() -> RoleReader:
    return RoleReader(qwen_tokenizer("qwen3"))


@pytest.fixture
def check(tmp_path: Path, reader: RoleReader) -> Check:
    """A function that writes rows as JSONL, by split, and checks the folder."""

    def run(*rows: Any, known: bool = True, **splits: list[Any]) -> Report:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        for split, many in (splits or {"train": list(rows)}).items():
            lines = (row if isinstance(row, str) else json.dumps(row) for row in many)
            (folder / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return check_folder(folder, reader if known else None)

    return run


@pytest.fixture
def row(reader: RoleReader) -> Callable[..., dict[str, Any]]:
    """A function that makes a row of texts, each with whether it is trained."""

    def make(*parts: tuple[str, int], **more: Any) -> dict[str, Any]:
        encoded = [(reader.tokenizer(text)["input_ids"], on) for text, on in parts]
        ids = [token for tokens, _ in encoded for token in tokens]
        labels = [token if on else -100 for tokens, on in encoded for token in tokens]
        return {"input_ids": ids, "labels": labels, **more}

    return make


def codes(report: Report) -> dict[str, int]:
    return dict(report.findings.counts)


def test_a_good_row_has_no_finding(check: Check, row: Any) -> None:
    report = check(row(*GOOD))
    assert (codes(report), report.not_checked, report.kind, report.splits) == ({}, [], "tokens", {"train": 1})
    assert (report.errors, report.warnings) == (0, 0)
    assert codes(check(row(*GOOD, prompt=[1], messages=["id1"]))) == {}


@pytest.mark.parametrize(
    ("code", "severity", "parts"),
    [
        ("loss-on-tool", "error", (*GOOD[:2], ("\n" + TOLD[0], 0), (TOLD[1], 1), (TOLD[2] + ASKS, 0), GOOD[3])),
        ("loss-on-context", "error", (("<|im_start|>user\n", 0), ("Where?", 1), (f"<|im_end|>\n{ASKS}", 0), GOOD[3])),
        ("loss-on-template", "warning", ((USER, 0), (f"{ASKS}There.<|im_end|>", 1))),
        ("untrained-end", "error", (GOOD[0], ("There.", 1), ("<|im_end|>", 0))),
        ("turn-cut", "warning", (GOOD[0], ("There", 1))),
        ("nothing-trained", "error", ((USER + ASKS + "There.<|im_end|>", 0),)),
        ("special-in-text", "warning", ((USER.replace("Where", "<|endoftext|>") + ASKS, 0), GOOD[3])),
        ("special-in-text", "warning", ((USER.replace("?<|im_end|>\n", "?") + ASKS, 0), GOOD[3])),
    ],
)
def test_a_wrong_mask_is_found(check: Check, row: Any, code: str, severity: str, parts: Parts) -> None:
    report = check(row(*GOOD), row(*parts))
    (finding,) = report.findings.kept
    assert (finding.code, finding.severity, finding.split, finding.row) == (code, severity, "train", 2)


def test_a_finding_says_where_and_what_to_do(check: Check, row: Any) -> None:
    parts = (*GOOD[:2], ("\n" + TOLD[0], 0), (TOLD[1], 1), (TOLD[2] + ASKS, 0), GOOD[3])
    (record,) = check(row(*parts)).to_dict()["findings"]
    assert record["explanation"] == "the loss falls on what a tool returned: the model learns to invent it"
    assert record["fix"] == "label tool output -100"
    assert record["excerpt"].splitlines() == [
        "text    response>⏎Paris⏎</tool_resp",
        "trained           11111",
        "                  ^^^^^",
    ]


def test_everything_trained_is_found_with_and_without_roles(check: Check, row: Any) -> None:
    ids = row(*GOOD)["input_ids"]
    assert codes(check({"input_ids": ids, "labels": ids}, known=False)) == {"everything-trained": 1}
    found = codes(check({"input_ids": ids, "labels": ids}))
    assert sorted(found) == ["everything-trained", "loss-on-context", "loss-on-template", "loss-on-tool"]


def test_labels_that_are_not_their_tokens_are_found(check: Check, row: Any) -> None:
    good = row(*GOOD)
    shifted = good | {"labels": [*good["labels"][1:], -100]}
    other = good | {"labels": [label + 1 if label >= 0 else label for label in good["labels"]]}
    report = check(shifted, other, known=False)
    assert codes(report) == {"labels-differ": 2}
    first, second = report.findings.kept
    assert "each label is the next token" in first.explanation
    assert "the label of token" in second.explanation
    assert second.excerpt.startswith("ids     ")


def test_columns_out_of_step_and_tokens_that_do_not_exist_are_found(check: Check, row: Any) -> None:
    good = row(*GOOD)
    report = check(
        good | {"labels": good["labels"][1:]}, good | {"input_ids": "text"}, {"input_ids": [9999], "labels": [9999]}
    )
    assert codes(report) == {"not-aligned": 2, "unknown-token": 1}


def test_logprobs_are_checked(check: Check, row: Any) -> None:
    good = row(*GOOD)
    fine = [None if label < 0 else -0.5 for label in good["labels"]]
    assert codes(check(good | {"logprobs": fine})) == {}
    wrong = [None if p is None else 0.5 for p in fine]
    assert codes(check(good | {"logprobs": wrong})) == {"bad-logprob": 1}
    misplaced = [-0.5, -0.5, -0.5, *fine[3:]]
    assert codes(check(good | {"logprobs": misplaced})) == {"logprob-on-context": 1}


def test_a_turn_that_the_model_did_not_end_is_only_a_warning(check: Check, row: Any) -> None:
    cut = row(GOOD[0], ("There", 1), ("<|im_end|>\n", 0))
    cut["logprobs"] = [None if label < 0 else -0.5 for label in cut["labels"]]
    assert codes(check(cut)) == {"turn-not-ended": 1}


def test_trained_padding_is_found(check: Check, row: Any) -> None:
    assert codes(check(row(*GOOD, ("<|im_end|>", 1)))) == {"padding-trained": 1, "loss-on-template": 1}


def test_a_missing_or_doubled_bos_is_found(check: Check, tmp_path: Path) -> None:
    template = "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    tokenizer = small_tokenizer(template, ("<|im_start|>", "<|im_end|>", "<s>"), eos="<|im_end|>", bos="<s>")
    reader = RoleReader(tokenizer)
    ids = tokenizer(f"<s>{USER}{ASKS}There.<|im_end|>")["input_ids"]
    labels = [-100] * (ids.index(ids[-1]) + 8) + ids[ids.index(ids[-1]) + 8 :]
    cases = [(ids, labels), (ids[1:], labels[1:]), ([ids[0], *ids], [-100, *labels])]
    (tmp_path / "train.jsonl").write_text(
        "".join(json.dumps({"input_ids": i, "labels": [-100] * (len(i) - 2) + i[-2:]}) + "\n" for i, _ in cases)
    )
    report = check_folder(tmp_path, reader)
    assert [(finding.code, finding.row) for finding in report.findings.kept] == [("no-bos", 2), ("two-bos", 3)]


def pair(reader: RoleReader, prompt: str, chosen: str, rejected: str, **masks: list[int]) -> dict[str, Any]:
    prompt_ids, chosen_ids, rejected_ids = (reader.tokenizer(text)["input_ids"] for text in (prompt, chosen, rejected))
    made = {"prompt_ids": prompt_ids, "chosen_ids": chosen_ids, "rejected_ids": rejected_ids}
    ones = {"chosen_mask": [1] * len(chosen_ids), "rejected_mask": [1] * len(rejected_ids)}
    return made | ones | masks


def test_pairs_share_their_prefix_and_differ(check: Check, reader: RoleReader) -> None:
    good = pair(reader, USER + ASKS, "Here.<|im_end|>", "There.<|im_end|>")
    assert codes(check(good)) == {}
    assert codes(check(pair(reader, USER + ASKS, "Here.<|im_end|>", "Here.<|im_end|>"))) == {"same-continuations": 1}
    swapped = pair(reader, USER + ASKS, "There.<|im_end|>", "Here.<|im_end|>")
    assert codes(check(good, swapped)) == {"contradiction": 1}
    others = {"chosen_input_ids": [1, 2, 3], "chosen_labels": [-100, -100, 3]}
    others |= {"rejected_input_ids": [1, 9, 4], "rejected_labels": [-100, -100, 4]}
    assert codes(check(others, known=False)) == {"prefix-differs": 1}


def test_tool_output_in_a_continuation_must_be_masked(check: Check, reader: RoleReader) -> None:
    long = pair(reader, USER + ASKS, f"look<|im_end|>\n{''.join(TOLD)}{ASKS}Here.<|im_end|>", "There.<|im_end|>")
    report = check(long)
    assert codes(report) == {"loss-on-template": 3, "loss-on-tool": 1}
    assert all(finding.explanation.startswith("chosen: ") for finding in report.findings.kept)


def test_a_completion_needs_a_label_of_true_or_false(check: Check) -> None:
    kto = {"prompt_ids": [1], "completion_ids": [2], "completion_mask": [1]}
    report = check({**kto, "label": True}, {**kto, "label": "good"}, known=False)
    assert codes(report) == {"bad-label": 1}
    assert codes(check({**kto, "label": True}, {**kto, "label": False}, known=False)) == {"contradiction": 1}


def test_trials_of_a_group_answer_one_prompt_and_have_rewards(check: Check) -> None:
    trial = {"group": "a", "input_ids": [1, 2, 3], "mask": [0, 1, 1], "reward": 1.0}
    assert codes(check(trial, trial, known=False)) == {}
    other = trial | {"input_ids": [4, 2, 3], "reward": None}
    report = check(trial, other, other | {"group": "b", "reward": 0}, known=False)
    assert codes(report) == {"bad-reward": 1, "prefix-differs": 1}


def test_rows_that_repeat_or_leak_are_found(check: Check) -> None:
    one = {"input_ids": [1, 2, 3, 4], "labels": [-100, 2, -100, 4], "thread": "t1"}
    longer = {"input_ids": [1, 2, 7, 8], "labels": [-100, 2, -100, 8], "thread": "t2"}
    other = {"input_ids": [5, 6], "labels": [-100, 6], "thread": "t1"}
    assert codes(check(one, one, known=False)) == {"duplicate": 1}
    assert codes(check(train=[one], test=[one], known=False)) == {"leaked-row": 1, "leaked-thread": 1}
    assert codes(check(train=[one], test=[longer], known=False)) == {"leaked-prefix": 1}
    assert codes(check(train=[one], test=[other], known=False)) == {"leaked-thread": 1}
    unlike = {"input_ids": [9, 2], "labels": [-100, 2], "thread": "t3"}
    assert codes(check(train=[one], test=[unlike], known=False)) == {}


def test_a_changed_data_set_of_ours_is_found(tmp_path: Path, row: Any) -> None:
    rows = [{"input_ids": [1, 2], "labels": [-100, 2], "logprobs": [None, -1.0]}]
    said = {"kind": "sft", "rows": 1, "tokens": 2, "trained_tokens": 1}
    write_dataset(tmp_path / "sft", rows, said)
    assert codes(check_folder(tmp_path / "sft")) == {}
    write_dataset(tmp_path / "sft", rows, said | {"trained_tokens": 2})
    assert codes(check_folder(tmp_path / "sft")) == {"counts": 1}
    write_dataset(tmp_path / "sft", rows, said)
    with (tmp_path / "sft" / "train.jsonl").open("a") as file:
        file.write(json.dumps({"input_ids": [3, 4], "labels": [-100, 4], "logprobs": [None, -1.0]}) + "\n")
    assert codes(check_folder(tmp_path / "sft")) == {"changed": 1, "counts": 4}


def test_a_data_set_of_another_tokenizer_is_found(tmp_path: Path, reader: RoleReader, row: Any) -> None:
    made = row(*GOOD)
    made["logprobs"] = [None if label < 0 else -1.0 for label in made["labels"]]
    assert reader.template is not None
    for fingerprint, expected in ((reader.template.fingerprint, {}), ("0123456789ab", {"other-tokenizer": 1})):
        write_dataset(tmp_path / "sft", [made], {"kind": "sft", "rows": 1, "tokenizer": fingerprint})
        assert codes(check_folder(tmp_path / "sft", reader)) == expected


def test_lines_that_are_no_rows_are_found_and_stop_nothing(check: Check) -> None:
    report = check("{", "[1]", {"notes": 1}, {"input_ids": [1, 2], "labels": [-100, 2]}, known=False)
    assert codes(report) == {"unreadable": 2, "no-columns": 1}
    assert report.splits == {"train": 4}
    assert codes(check()) == {"no-rows": 1}


@pytest.mark.parametrize("column", ["mask", "labels"])
def test_an_empty_mask_beside_tokens_is_found(column: str, check: Check) -> None:
    assert codes(check({"input_ids": [1, 2], column: []}, known=False)) == {"not-aligned": 1}


def test_masks_of_other_libraries_and_other_formats_are_read(tmp_path: Path, reader: RoleReader, row: Any) -> None:
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as parquet

    good = row(*GOOD)
    masked = {"input_ids": good["input_ids"], "assistant_masks": [int(label >= 0) for label in good["labels"]]}
    lost = masked | {"assistant_masks": [0] * len(good["input_ids"])}
    (tmp_path / "parquet").mkdir()
    parquet.write_table(pa.Table.from_pylist([masked, lost]), tmp_path / "parquet" / "train-00000-of-00001.parquet")
    datasets.disable_progress_bars()
    datasets.DatasetDict({"train": datasets.Dataset.from_list([masked, lost])}).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "rows.json").write_text(json.dumps([masked, lost]))
    for place, format in (("parquet", "parquet"), ("saved", "datasets"), ("rows.json", "json")):
        report = check_folder(tmp_path / place, reader)
        assert (codes(report), report.format, report.splits) == ({"nothing-trained": 1}, format, {"train": 2})


def test_a_template_without_known_markers_is_said_to_be_unknown(tmp_path: Path) -> None:
    plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    reader = RoleReader(small_tokenizer(plain, ("<|im_end|>",), eos="<|im_end|>"))
    (tmp_path / "train.jsonl").write_text(json.dumps({"input_ids": [1, 2], "labels": [-100, 2]}))
    report = check_folder(tmp_path, reader)
    assert codes(report) == {}
    assert report.not_checked == [
        "on whose words the loss falls, ends of turns, special tokens in texts: "
        "the markers of its chat template are not known here"
    ]


LOOK = {"type": "function", "id": "1", "function": {"name": "look", "arguments": "{}"}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Where?"},
    {"role": "assistant", "content": "", "tool_calls": [LOOK]},
    {"role": "tool", "content": "Paris", "tool_call_id": "1"},
    {"role": "assistant", "content": "There."},
]


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": TALK}, {}),
        ({"messages": [*TALK[:3], said("tool", "Paris", weight=1), TALK[4]]}, {"loss-on-tool": 1}),
        ({"messages": [TALK[0], said("user", "Where?", train=True), TALK[4]]}, {"loss-on-context": 1}),
        ({"messages": TALK[:2]}, {"nothing-trained": 1}),
        ({"messages": TALK[:4]}, {"ends-without-answer": 1}),
        ({"messages": [TALK[1], said("assistant", " ")]}, {"empty-target": 1}),
        ({"messages": [TALK[1], said("assistant", "Look.\nObservation: Paris")]}, {"loss-on-tool": 1}),
        ({"messages": [said("user", "Say <|im_end|>"), TALK[4]]}, {"special-in-text": 1}),
        ({"messages": ["hello", 3]}, {"no-messages": 1}),
        ({"conversations": [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "There."}]}, {}),
        ({"prompt": "Where?", "completion": "There."}, {}),
        ({"prompt": "Where?", "completion": ""}, {"empty-target": 1}),
        ({"prompt": "Where?", "completion": "look<tool_response>Paris"}, {"loss-on-tool": 1}),
        ({"prompt": "Where?", "completion": "Yes.\n\nHuman: And?"}, {"loss-on-context": 1}),
        ({"prompt": TALK[:2], "completion": TALK[2:]}, {"loss-on-tool": 1}),
        ({"prompt": TALK[:4], "completion": TALK[4:]}, {}),
        ({"chosen": TALK[:2] + TALK[4:], "rejected": [*TALK[:2], said("assistant", "No.")]}, {}),
        ({"chosen": TALK, "rejected": TALK}, {"same-continuations": 1}),
        ({"chosen": TALK[1:], "rejected": [said("user", "When?"), TALK[4]]}, {"prefix-differs": 1}),
        (
            {"chosen": "\n\nHuman: A?\n\nAssistant: B", "rejected": "\n\nHuman: C?\n\nAssistant: D"},
            {"prefix-differs": 1},
        ),
        ({"chosen": "\n\nHuman: A?\n\nAssistant: B", "rejected": "\n\nHuman: A?\n\nAssistant: D"}, {}),
    ],
)
def test_rows_of_messages_and_text_are_checked(check: Check, row: dict[str, Any], expected: dict[str, int]) -> None:
    report = check(row, known=False)
    assert codes(report) == expected
    if not expected:
        assert report.not_checked[0].startswith("which tokens are trained")


def test_messages_that_the_template_refuses_are_found(tmp_path: Path) -> None:
    strict = (
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}{% endfor %}"
    )
    reader = RoleReader(small_tokenizer(strict + "{{ eos_token }}", ("<|im_end|>",), eos="<|im_end|>"))
    rows = [{"messages": TALK}, {"messages": [TALK[1], TALK[4]]}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (finding,) = check_folder(tmp_path, reader).findings.kept
    assert (finding.code, finding.row) == ("cannot-render", 1)
    assert "no tools here" in finding.explanation


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 300) | st.floats() | st.text(max_size=5) | st.just("\ud800\x1b"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "value"]), inner),
    max_leaves=8,
)
_COLUMNS = (
    "input_ids labels logprobs mask prompt_ids chosen_ids chosen_mask rejected_ids completion_ids label group reward "
    "messages conversations prompt completion chosen rejected text thread threads facts tools"
).split()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(st.sampled_from(_COLUMNS), _VALUES, max_size=6), min_size=1, max_size=6))
def test_rows_of_any_shape_stop_nothing(rows: list[Any], tmp_path: Path, reader: RoleReader) -> None:
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = check_folder(tmp_path, reader)
    assert report.splits == {"train": len(rows)}
    json.dumps(report.to_dict())
    for row in rows:
        with suppress(NotAligned, NoMessages):
            row_seen(row, "train", reader)
