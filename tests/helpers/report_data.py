"""The data of a run, made up, and readers of the formats that reports are written in."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from mhsa.records.document.run import RunRecord
from mhsa.reports.annotations import annotate
from mhsa.reports.junit import junit

MARKDOWN = MarkdownIt("commonmark").enable("table")


def finding(name: str = "masks.masking_is_deleting", outcome: str = "pass", **more: Any) -> dict[str, Any]:
    return {"id": name, "family": name.partition(".")[0], "outcome": outcome, "cases": 6, "seconds": 0.25, "reason": ""} | more


def failing(name: str = "masks.masking_is_deleting", reason: str = "output[0]=2, but must be 1", **more: Any) -> dict[str, Any]:
    counterexample = {"message": reason, "case": {"words": "B=1 H=2 Tq=1"}} | more
    reproduce = f"mhsa verify model.py -k {name} --seed 7"
    return finding(name, "fail", reason=reason, counterexample=counterexample, reproduce=reproduce)


def subject(*properties: dict[str, Any], name: str = "model.py", verdict: str = "", **more: Any) -> dict[str, Any]:
    failed = any(p["outcome"] == "fail" for p in properties)
    verdict = verdict or ("violated" if failed else "holds")
    return {"subject": name, "verdict": verdict, "reason": "", "diagnosis": None, "properties": list(properties)} | more


def run(*subjects: dict[str, Any], **more: Any) -> dict[str, Any]:
    environment = {"mhsa": "0.1.0", "device": "cpu", "dtypes": "float64+float32", "profile": "quick", "seed": 7}
    return {"schema": 1, "environment": environment, "exit_code": 0, "subjects": list(subjects)} | more


def parsed(data: dict[str, Any]) -> ET.Element:
    return ET.fromstring(junit(RunRecord.of(data)).encode())


def counts(element: ET.Element) -> list[int]:
    return [int(element.get(name, "-1")) for name in ("tests", "failures", "errors", "skipped")]


def read_back(line: str) -> tuple[str, dict[str, str], str]:
    """What GitHub's runner reads from a line: the command, its properties and the message, all unescaped."""
    match = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert match is not None, line
    kind, words, message = match.groups()
    properties = dict(word.split("=", 1) for word in words.split(","))

    def plain(text: str, signs: Mapping[str, str]) -> str:
        for escape, sign in signs.items():
            text = text.replace(escape, sign)
        return text.replace("%25", "%")

    data = {"%0D": "\r", "%0A": "\n"}
    return kind, {k: plain(v, data | {"%3A": ":", "%2C": ","}) for k, v in properties.items()}, plain(message, data)


def kinds(data: dict[str, Any]) -> list[str]:
    return [read_back(line)[0] for line in annotate(RunRecord.of(data))]


def shown(token: Token) -> str:
    """The text that an inline token shows, its own tags left out."""
    return "".join(t.content for t in token.children or () if t.type in ("text", "code_inline", "text_special"))


def cells(text: str) -> list[list[str]]:
    """Rows of all tables, header rows too, as a Markdown reader sees them."""
    rows: list[list[str]] = []
    tokens = MARKDOWN.parse(text)
    for before, token in pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if before.type in ("td_open", "th_open"):
            rows[-1].append(shown(token))
    return rows
