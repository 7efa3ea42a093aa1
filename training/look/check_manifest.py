"""Whether a data set of ours still is what its manifest says."""

from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import file_digest
from typing import Any

from .finding import Finding
from .folder import Folder

AGAIN = "export the data set again"


def file_findings(folder: Folder) -> Iterator[Finding]:
    """Files that are missing or changed."""
    for problem in folder.problems:
        yield Finding("bad-manifest", "error", problem, AGAIN)
    for name, digest in dict((folder.manifest or {}).get("files") or {}).items():
        file = folder.path / name
        if not file.is_file():
            yield Finding("changed", "error", f"the manifest names {name}, and there is no such file", AGAIN)
            continue
        with file.open("rb") as content:
            if file_digest(content, "sha256").hexdigest() != digest:
                yield Finding("changed", "error", f"{name} is not the file that the manifest describes", AGAIN)


def count_findings(manifest: Mapping[str, Any], counted: Mapping[str, Counter[str]]) -> Iterator[Finding]:
    """Numbers of rows and tokens that are not what was counted, by split."""
    total: Counter[str] = sum(counted.values(), Counter())
    for split, number in dict(manifest.get("splits") or {}).items():
        found = counted.get(split, Counter())["rows"]
        if isinstance(number, int) and number != found:
            yield Finding("counts", "error", f"the manifest says {number} {split} rows, there are {found}", AGAIN)
    for name in ("rows", "tokens", "trained_tokens"):
        said = manifest.get(name)
        known = {total[name], *(of_split[name] for of_split in counted.values())}
        if isinstance(said, int) and (name == "rows" or total["tokens"]) and said not in known:
            what = f"the manifest says {said} {name.replace('_', ' ')}, there are {total[name]}"
            yield Finding("counts", "error", what, AGAIN)


def tokenizer_findings(manifest: Mapping[str, Any], fingerprint: str) -> Iterator[Finding]:
    """Whether the rows were made with another tokenizer or chat template."""
    made = manifest.get("tokenizer")
    if made and made != fingerprint:
        what = f"it was exported with the tokenizer {made}, and this one is {fingerprint}"
        fix = "check it with the tokenizer of its export, or export again with this one"
        yield Finding("other-tokenizer", "warning", what, fix)
