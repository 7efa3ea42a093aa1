"""Check a data set folder against what training needs of it, row by row; ours or anybody's.

What is checked depends on the rows. Of tokens everything can be checked with their tokenizer, as far as the markers
of its chat template are known (see ``roles``); without one, lengths, labels, logprobs, pairs and splits.
Of messages and text it can only be said what a trainer is bound to do with them. ``not_checked`` says what was not.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import CannotRender, NoToolTemplate
from .chats import NoMessages, chat_columns
from .check_chats import chat_findings
from .check_groups import GroupCheck
from .check_manifest import count_findings, file_findings, tokenizer_findings
from .check_pairs import pair_findings
from .check_splits import SplitCheck
from .check_tokens import TokenCheck
from .finding import Finding, Findings
from .folder import open_folder
from .rendered_chats import try_chat
from .roles import RoleReader
from .sequences import NotAligned, Tokens, sequences_of


@dataclass
class Report:
    """What a check has found."""

    path: str
    format: str
    kind: str = "unknown"
    splits: dict[str, int] = field(default_factory=dict)
    """Rows by split."""
    tokens: int = 0
    trained_tokens: int = 0
    not_checked: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    @property
    def errors(self) -> int:
        """How many findings make the data set unfit."""
        return self.findings.number("error")

    @property
    def warnings(self) -> int:
        """How many findings should be looked at."""
        return self.findings.number("warning")

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe; of each kind of finding the first examples, and its ``count``."""
        return {
            "path": self.path,
            "format": self.format,
            "kind": self.kind,
            "splits": self.splits,
            "tokens": self.tokens,
            "trained_tokens": self.trained_tokens,
            "errors": self.errors,
            "warnings": self.warnings,
            "counts": dict(sorted(self.findings.counts.items())),
            "findings": self.findings.records(),
            "not_checked": self.not_checked,
        }


def check_folder(path: Path, reader: RoleReader | None = None) -> Report:
    """Read every row of the data set at ``path`` and report what is wrong; ``reader`` has its tokenizer.

    Raises:
        BadDataset: there is no data set.
    """
    folder = open_folder(path)
    report = Report(str(path), folder.format)
    report.findings.add(file_findings(folder))
    counted = {split: Counter[str]() for split in folder.files}
    check, splits = TokenCheck(reader), SplitCheck(list(folder.files))
    groups = GroupCheck(check.texts)
    special = [reader.texts.added[token] for token in sorted(reader.texts.special)] if reader else []
    kinds: set[str] = set()
    for placed in folder.rows():
        counted[placed.split]["rows"] += 1
        if placed.row is None:
            what = f"the row cannot be read: {placed.problem}"
            found = [Finding("unreadable", "error", what, "take it out, or write the file again")]
            report.findings.add(found, placed.split, placed.number)
            continue
        row = placed.row
        found, sequences = _row_findings(row, check, special, kinds)
        counted[placed.split] += _tokens_of(sequences)
        found += splits.findings(placed.split, placed.number, row, sequences)
        found += groups.findings(placed.number, row, sequences)
        report.findings.add(found, placed.split, placed.number)
    report.splits = {split: counter["rows"] for split, counter in counted.items()}
    if not sum(report.splits.values()):
        what = "the data set holds no row"
        report.findings.add([Finding("no-rows", "error", what, "export more threads, or see why all were left out")])
    report.tokens, report.trained_tokens = (
        sum(counter[name] for counter in counted.values()) for name in ("tokens", "trained_tokens")
    )
    report.kind = str((folder.manifest or {}).get("kind") or ", ".join(sorted(kinds)) or "unknown")
    if folder.manifest:
        report.findings.add(count_findings(folder.manifest, counted))
        if reader and reader.template:
            report.findings.add(tokenizer_findings(folder.manifest, reader.template.fingerprint))
    report.not_checked = _not_checked(kinds, reader)
    return report


def _row_findings(
    row: Mapping[str, Any], check: TokenCheck, special: list[str], kinds: set[str]
) -> tuple[list[Finding], list[Tokens]]:
    """What is wrong with one row by itself, and its sequences of tokens."""
    try:
        sequences = sequences_of(row)
        columns = {} if sequences else chat_columns(row)
    except NotAligned as error:
        return [Finding("not-aligned", "error", str(error), "write one value for each token")], []
    except NoMessages as error:
        return [Finding("no-messages", "error", str(error), "give each message a role and a content")], []
    found: list[Finding] = []
    if sequences:
        kinds.add("pairs of tokens" if any(tokens.name == "chosen" for tokens in sequences) else "tokens")
        for tokens in sequences:
            found += check.findings(tokens)
        found += pair_findings(sequences, check.texts)
        if any(tokens.name == "completion" for tokens in sequences) and not isinstance(row.get("label"), bool | None):
            what = f"the label is {row['label']!r}, not true or false"
            found.append(Finding("bad-label", "error", what, "label each completion true (wanted) or false"))
    elif columns:
        kinds.add("text" if all(said.role == "text" for many in columns.values() for said in many) else "messages")
        found += chat_findings(columns, special)
        found += _rendering(row, check)
    else:
        what = f"there is nothing to train on in its columns: {', '.join(row) or 'none'}"
        fix = "name them input_ids and labels, prompt and completion, chosen and rejected, or messages"
        found.append(Finding("no-columns", "error", what, fix))
    return found, sequences


def _rendering(row: Mapping[str, Any], check: TokenCheck) -> list[Finding]:
    """Whether the tokenizer's chat template can write the row's messages, if there is one."""
    if check.reader is None or check.reader.template is None:
        return []
    try:
        try_chat(row, check.reader.template)
    except (CannotRender, NoToolTemplate) as error:
        fix = "change the order or form of the messages, or train a model with another template"
        return [Finding("cannot-render", "error", str(error), fix)]
    return []


def _tokens_of(sequences: list[Tokens]) -> Counter[str]:
    return Counter(
        tokens=sum(len(tokens.ids) for tokens in sequences),
        trained_tokens=sum(sum(tokens.trained) for tokens in sequences),
    )


def _not_checked(kinds: set[str], reader: RoleReader | None) -> list[str]:
    missing = []
    if kinds & {"tokens", "pairs of tokens"}:
        words = "on whose words the loss falls, ends of turns, special tokens in texts"
        if reader is None:
            missing.append(f"{words}, ids beyond the vocabulary: give the tokenizer with --tokenizer")
        elif reader.unknown:
            missing.append(f"{words}: {reader.unknown}")
    if kinds & {"messages", "text"}:
        missing.append(
            "which tokens are trained: the trainer's chat template decides that for messages and text; "
            "in TRL, assistant_only_loss needs a template with {% generation %} around answers"
        )
    return missing
