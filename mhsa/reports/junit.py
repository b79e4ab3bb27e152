"""JUnit XML, which most CI systems read: a test suite per subject, a test case per property.

Only elements and attributes that the strictest schema in use (that of Jenkins' xUnit plugin) allows; so no file and line.
What is not green in a verdict is not green here either: whatever the outcomes, a subject that does not hold has a failure
or an error.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from mhsa.records.document.run import RunRecord
from mhsa.records.document.subject import PropertyRecord, SubjectRecord
from mhsa.reports.phrases import INTERRUPTED, NO_SUBJECT, cause, not_judged, question, summary
from mhsa.reports.text import cut, printable

_PROGRAM = "mhsa verify"


def junit(run: RunRecord) -> str:
    """Return the document, to be written as UTF-8."""
    root = ET.Element("testsuites", name=_PROGRAM)
    for subject in run.subjects:
        root.append(_suite(run, subject))
    if run.interrupted:
        root.append(_about_the_run("interrupted", INTERRUPTED))
    elif not run.subjects:
        root.append(_about_the_run("judged", NO_SUBJECT))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", _seconds(sum(_time(case) for case in root.iter("testcase"))))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(run: RunRecord, subject: SubjectRecord) -> ET.Element:
    name = printable(subject.label)
    suite = ET.Element("testsuite", name=name)
    environment = run.environment | {"subject": subject.subject, "verdict": subject.verdict}
    properties = ET.SubElement(suite, "properties")
    for key, value in environment.items():
        ET.SubElement(properties, "property", name=printable(key), value=printable(value))
    for result in subject.properties:
        suite.append(_case(subject, result))
    if subject.verdict == "question":  # whatever failed under the declaration that it suggests
        case = ET.SubElement(suite, "testcase", classname=name, name="question", time=_seconds(0))
        message = " ".join(filter(None, [subject.why.partition("\n\n")[0], subject.then]))
        _say(case, "error", " ".join(message.split()), question(subject), type="question")
    elif subject.verdict != "holds" and suite.find("testcase/failure") is None and suite.find("testcase/error") is None:
        case = ET.SubElement(suite, "testcase", classname=name, name="judged", time=_seconds(0))
        _say(case, "error", subject.why, type=subject.verdict)
    if subject.not_judged:
        case = ET.SubElement(suite, "testcase", classname=name, name="everything_is_judged", time=_seconds(0))
        kind = "error" if run.strict and subject.open else "skipped"
        _say(case, kind, f"{subject.verdict}; {not_judged(subject.not_judged)}", type="not-judged")
    likely = cause(subject)
    if likely:
        ET.SubElement(suite, "system-out").text = printable(f"likely cause: {likely}")
    if subject.warnings:
        ET.SubElement(suite, "system-err").text = "\n".join(f"warning: {printable(words)}" for words in subject.warnings)
    return _counted(suite)


def _case(subject: SubjectRecord, result: PropertyRecord) -> ET.Element:
    family, _, name = result.id.partition(".")
    classname = printable(f"{subject.label}.{family}")
    case = ET.Element("testcase", classname=classname, name=printable(name), time=_seconds(result.seconds))
    outcome, words = result.outcome, result.reason
    if outcome == "fail":
        where = "" if subject.place is None else f"\nat {subject.place[0]}:{subject.place[1]}"
        _say(case, "failure", words, summary(subject, result) + where, type="violation")
    elif outcome == "not-applicable":
        _say(case, "skipped", words, type=outcome)
    elif outcome == "expected-failure":
        _say(case, "skipped", f"fails, as is expected: {words}", type=outcome)
    elif outcome == "unexpected-pass":
        ET.SubElement(case, "system-out").text = printable(f"passes, although it is expected to fail: {words}")
    elif outcome != "pass":  # an error, or an outcome of a later version, which must not look like a pass
        _say(case, "error", words or outcome, words, type=outcome)
    return case


def _about_the_run(name: str, words: str) -> ET.Element:
    """A suite for what belongs to no subject."""
    suite = ET.Element("testsuite", name=_PROGRAM)
    case = ET.SubElement(suite, "testcase", classname=_PROGRAM, name=name, time=_seconds(0))
    _say(case, "error", words, type=name)
    return _counted(suite)


def _say(case: ET.Element, tag: str, message: str, body: str = "", *, type: str) -> None:
    """Add the one element that makes a test case other than passed."""
    element = ET.SubElement(case, tag, message=printable(cut(message)), type=printable(type))
    element.text = printable(body) or None


def _counted(suite: ET.Element) -> ET.Element:
    """The suite with the counts of what is in it, so they cannot disagree."""
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("time", _seconds(sum(_time(case) for case in cases)))
    return suite


def _time(case: ET.Element) -> float:
    return float(case.get("time", "0"))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
