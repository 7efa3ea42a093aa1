"""Evaluations as JUnit XML, which build servers show: a test suite per model and tier, a test case per task.

A task passes if **every** trial succeeded; one that succeeds now and then is not to be relied on. A crashed trial
makes it an error, any other failed one a failure, and the message names the threads.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from .report import Report

_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""
_Counts = dict[str, int | float]


def write_junit(path: Path, reports: Sequence[Report]) -> None:
    """Write ``reports`` to ``path``; times are the seconds that a task's trials took, 0 where nobody recorded them."""
    root = Element("testsuites", name=_text(f"threadmill eval {reports[0].evaluation.suite}"))
    counts = [_add_suite(root, report, tier) for report in reports for tier in report.evaluation.summary.by_tier]
    _set_counts(root, _sum(counts))
    indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _add_suite(root: Element, report: Report, tier: str) -> _Counts:
    done = report.evaluation
    suite = SubElement(root, "testsuite", name=_text(f"{done.suite}.{tier} {report.name}"))
    properties = SubElement(suite, "properties")
    for name, value in {"evaluation": done.id, "k": done.k, **done.versions}.items():
        SubElement(properties, "property", name=_text(name), value=_text(str(value)))
    by_task: dict[str, list[int]] = {}
    for number, episode in enumerate(done.episodes):
        if episode.tier == tier:
            by_task.setdefault(episode.task, []).append(number)
    counts = _sum([_add_case(suite, report, f"{done.suite}.{tier}", task, by_task[task]) for task in by_task])
    _set_counts(suite, counts)
    return counts


def _add_case(suite: Element, report: Report, classname: str, task: str, trials: Sequence[int]) -> _Counts:
    done = report.evaluation
    seconds = sum(done.measured[number].values.get("episode_seconds") or 0.0 for number in trials)
    case = SubElement(suite, "testcase", name=_text(task), classname=_text(classname), time=f"{seconds:.3f}")
    failed = [number for number in trials if not done.episodes[number].success]
    crashed = any(done.errors[number] is not None for number in failed)
    if failed:
        message = f"{len(trials) - len(failed)} of {len(trials)} trials succeeded"
        kind = next((one.kind for number in failed for one in done.measured[number].failures), "other")
        element = SubElement(case, "error" if crashed else "failure", message=_text(message), type=_text(kind))
        element.text = _text("\n".join(_told(report, number) for number in failed))
    return {"tests": 1, "failures": int(bool(failed) and not crashed), "errors": int(crashed), "time": seconds}


def _told(report: Report, number: int) -> str:
    """Where a failed trial can be looked at, and what went wrong in it."""
    done = report.evaluation
    reasons = [f"  {one.kind}: {one.text}" for one in done.measured[number].failures]
    return "\n".join([f"threadmill threads show {done.episodes[number].thread}", *reasons])


def _sum(counts: Sequence[_Counts]) -> _Counts:
    return {name: sum(one[name] for one in counts) for name in ("tests", "failures", "errors", "time")}


def _set_counts(element: Element, counts: _Counts) -> None:
    for name in ("tests", "failures", "errors"):
        element.set(name, str(counts[name]))
    element.set("skipped", "0")
    element.set("time", f"{counts['time']:.3f}")


def _text(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
