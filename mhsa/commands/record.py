"""``mhsa bench --record``: run the user's own script, and write into pyproject.toml with which shapes it calls attention."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from mhsa.commands.subject_tables.tables import put, read, table, write
from mhsa.records.configuration import Configuration
from mhsa.records.defaults import DTYPES
from mhsa.records.errors import UsageError, folded
from mhsa.records.pyproject.bench_calls import BenchCall

_OPTION = "--record"
MOST = 12  # kinds of calls: each takes some seconds to be timed
_PYTHON = re.compile(r"python(\d+(\.\d+)*)?(\.exe)?")
_NOTHING = (
    "no attention was recorded, so nothing was written; seen are torch.nn.functional.scaled_dot_product_attention, "
    "torch.nn.MultiheadAttention, and modules whose name or class is called attention and that have their number of heads, as "
    "num_heads say; state shapes by hand with --shape, or as calls in [tool.mhsa.bench]"
)


def record(words: Sequence[str], configuration: Configuration) -> int:
    """Run a script and write what it calls; return its exit code, or 2 if that is 0 and nothing was recorded."""
    command = script_of(words)
    with tempfile.TemporaryDirectory(prefix="mhsa-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "calls.json"
        code = _run([sys.executable, "-m", "mhsa.bench.tools.recording.runner", str(file), *command])
        found: Mapping[str, Any] = json.loads(file.read_text()) if file.exists() else {"calls": [], "unclear": {}}
    code = 128 - code if code < 0 else code  # ended by a signal, as a shell says it
    calls, notes = recorded(found)
    if calls:
        path = configuration.path or Path.cwd() / "pyproject.toml"
        write_calls(path, calls)
        total = sum(call.count for call in calls)
        notes.insert(
            0, f"{len(calls)} kinds of calls, {total} in all, are in [tool.mhsa.bench] of {path}; mhsa bench times them"
        )
    else:
        notes.insert(0, _NOTHING)
    for note in notes:
        print(folded(f"mhsa: {note}"), file=sys.stderr)  # the standard output is the script's
    return code or (0 if calls else 2)


def _run(command: Sequence[str]) -> int:
    """Run a process to its end, and return its exit code; Ctrl-C is the script's affair, which may go on or end."""
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def script_of(words: Sequence[str]) -> list[str]:
    """Return a script or ``-m module``, and its arguments, of what stands after ``--record``."""
    rest = list(words[1:] if words[:1] == ["--"] else words)
    if rest and _PYTHON.fullmatch(Path(rest[0]).name):
        del rest[0]
    if rest[:1] == ["-m"] and len(rest) > 1:
        return rest
    if not rest or rest[0].startswith("-"):
        what = f"{rest[0]} is an option of Python that is not taken" if rest else "nothing stands after it"
        raise UsageError(f"{_OPTION}: {what}; give a script or a module: mhsa bench --record -- python train.py --epochs 1")
    if not Path(rest[0]).is_file():
        raise UsageError(
            f"{_OPTION}: there is no script {rest[0]}; it runs Python scripts and -m MODULE, and no other programs"
        )
    return rest


def recorded(found: Mapping[str, Any]) -> tuple[list[BenchCall], list[str]]:
    """Return the most frequent kinds of calls, and what there is to say of the others."""
    counts: Counter[BenchCall] = Counter()
    left: Counter[str] = Counter()
    for call, count in found["calls"]:
        if call["dtype"] not in DTYPES:
            left[f"of {call['dtype']}"] += count
        elif call["queries"] > call["keys"]:
            left["with more queries than keys"] += count
        else:
            counts[_call_of(call)] += count
    every = [BenchCall(**{**vars(call), "count": n}) for call, n in counts.most_common()]
    notes = [f"{n} calls {words} were left out" for words, n in left.items()]
    if every[MOST:]:
        notes.append(
            f"{len(every) - MOST} kinds of calls, with {sum(c.count for c in every[MOST:])} calls, were left out as rare"
        )
    if found["unclear"]:
        names = ", ".join(found["unclear"])
        notes.append(
            f"of {names} it is not known how many heads there are, or which tensor has the tokens, so they were left out"
        )
    return every[:MOST], notes


def _call_of(call: Mapping[str, Any]) -> BenchCall:
    tokens = f"{call['queries']}" if call["queries"] == call["keys"] else f"{call['queries']}/{call['keys']}"
    shape = f"{call['batch']}x{tokens}x{call['heads']}x{call['heads'] * call['width']}"
    return BenchCall(
        shape, call["dtype"], "training" if call["training"] else "forward", call["mask"], call["causal"]
    )  # fmt: skip


def write_calls(path: Path, calls: Sequence[BenchCall]) -> None:
    """Write calls into a pyproject.toml, in the place of those that were there; everything else keeps its form."""
    text, document = read(path, _OPTION)
    bench = table(table(table(document, "tool"), "mhsa"), "bench")
    array = tomlkit.array().multiline(True)
    for call in calls:
        entry = tomlkit.inline_table()
        entry.update(call.as_table())
        array.append(entry)
    if "calls" in bench:
        bench["calls"] = array
    else:
        put(bench, "calls", array)
    write(path, text, document, _OPTION, {})
