"""Files that are damaged: each is refused with exit code 2 and one message, or still says something that can be."""

import copy
import json
import random
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from mhsa.commands.cli import main
from mhsa.records import configuration, request
from mhsa.records.case import Case
from mhsa.records.case_files import case_file as casefile
from mhsa.records.case_files.case_json import decode, encode
from mhsa.records.catalogue import properties_folder
from mhsa.records.request import Expected, Request
from mhsa.records.results import PropertyResult
from mhsa.run.child import Child

TOML = """# A repository
[project]
name = "somebody"

[tool.mhsa]
profile = "ci"
seed = 3
timeout = 30.5
memory = "8 GiB"
strict = true
cases = ".mhsa/cases"
database = ".mhsa/examples"
dtypes = ["float64", "float32"]

[tool.mhsa.subjects]
short = "pkg.layers:Attention"

[tool.mhsa.subjects.long]
subject = "model.py:Attention"  # ours
arguments = { num_heads = 2, d_model = 6, bias = false }
contract = { fully_masked_row = "zeros" }
device = "cpu"

[[tool.mhsa.subjects.long.expected_failures]]
property = "masks.*"
reason = "known"
link = "https://example.org/1"

[tool.mhsa.subjects.encoder]
build = "model:make"
submodule = "layers.0.attn"
expected_failures = [{ property = "oracle.output_under_masks", reason = "why" }]
"""
REQUESTS = tuple(
    Request("mine", "m:A", "", "x.y", "/home", {"bias": False}, {"mask": "allowed"}, "ci", 5, ("float32",), "cpu",
            (Expected("masks.*", "why", "link"), Expected("oracle.*")))
    for _ in range(2)
)  # fmt: skip
LAYOUTS = "layout.each_tensor_in_its_own_layout"


def a_case(folder: Path) -> bytes:
    drawn = encode({"case": Case("float64", 1, 2, 3, 4, 5, layout="offset"), "layouts": ("offset", "sliced", "columns")})
    facts = {"message": "1, but must be 2", "observed": 1.0, "case": {"words": "B=1"}, "query": [[1.0, 2.0]], "drawn": drawn}
    found = PropertyResult(LAYOUTS, "fail", counterexample=facts)
    return casefile.save(folder, REQUESTS[0], found, {"torch": "2", "seed": 0}).read_bytes()


JUNK = (b"7", b"-1", b'"seven"', b"true", b"[]", b"{}", b"[[1]]", b"1e999", b"nan", b"null", b'""', b'"\\u0000"', b'"\\ud800"')
DEEP = (b"[", b'{"a":', b'{"list": [', b"{a=")
BYTES = (b"\xff\xfe", b"\xc3", b"\x00", b"\xed\xa0\x80", b"\x1b[31m", b"\xe2\x80\xa8")


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Change a file as a disk, an editor or a merge may."""
    lines = data.split(b"\n")
    n, at = rng.randrange(len(lines)), rng.randrange(len(data))
    spots = list(re.finditer(rb'"[^"\n]*"|\b\d+(\.\d+)?\b|true|false|null', data))
    spot = rng.choice(spots)

    def swap(new: bytes) -> bytes:
        return data[: spot.start()] + new + data[spot.end() :]

    def flip() -> bytes:
        found = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
        return bytes(found)

    ways: list[Callable[[], bytes]] = [
        flip,
        lambda: data[:at],
        lambda: b"\n".join(lines[:n] + lines[n + 1 :]),
        lambda: b"\n".join([*lines[:n], lines[n], *lines[n:]]),
        lambda: swap(rng.choice(JUNK)),
        lambda: swap(b"9" * rng.choice([19, 40, 400, 5000])),
        lambda: data[:at] + rng.choice(BYTES) + data[at:],
        lambda: data[:at] + rng.choice(DEEP) * rng.choice([50, 2000, 100000]) + data[at:],
        lambda: swap(rng.choice(DEEP) * 3000),
        lambda: data[:at] + data[at : at + 20] + data[at:],
        lambda: data[:at] + b"a." * rng.choice([50, 500, 5000]) + data[at:],
    ]
    return rng.choice(ways)()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested tables and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, x in inner for found in ((*path, key), *places(x, (*path, key)))]


def reached(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def spoiled(data: Any, rng: random.Random, judged: Callable[[tuple[Any, ...]], bool], keep: tuple[str, ...] = ()) -> Any:
    """Change what a file says so that it cannot be: a value of another type, a key that there is not."""
    data = copy.deepcopy(data)
    path = rng.choice([p for p in places(data) if judged(p)])
    parent, key = reached(data, path[:-1]), path[-1]
    if isinstance(parent, dict) and rng.random() < 0.4:
        parent[f"{key}{rng.choice('xyz_')}"] = parent[key] if rng.random() < 0.5 or key in keep else parent.pop(key)
        return data
    junk: list[Any] = [7, -1, 0.5, "seven", True, [], [[1]], {}, {"a": 1}, 10**40, float("inf"), {"case": []}, {"tuple": 3}]
    if type(parent[key]) in (int, float):  # one number may stand for another
        junk = [x for x in junk if type(x) not in (int, float) or x <= 0]
    parent[key] = rng.choice([x for x in junk if type(x) is not type(parent[key])])
    return data


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, bool]]:
    """A function that runs the command line and returns its exit code, its one message, and whether it judged."""
    judged: list[bool] = []

    def passing(child: Child) -> Iterator[None]:
        judged.append(True)
        for n in range(1, len(child.requests) + 1):
            child.add(n, PropertyResult(child.options.keyword or "oracle.output_without_mask", "pass", cases=1))
        child.finished = True
        yield

    monkeypatch.setattr(Child, "run", passing)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*arguments: object) -> tuple[int, str, bool]:
        try:
            code = main(list(map(str, arguments)))
        except SystemExit as left:
            code = left.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert "internal error" not in err, err
        if not judged:
            assert out == ""
        return code, err, bool(judged)

    return run


def assert_refused(code: int, message: str, judged: bool, path: Path) -> None:
    assert (code, judged) == (2, False)
    assert message.startswith(f"mhsa: {path}:")
    assert message.endswith("\n")
    assert message.count("\n") == 1
    assert message[:-1].isprintable()
    assert len(message) < 800


@pytest.mark.parametrize("n", range(70))
def test_a_damaged_configuration(tmp_path: Path, run, n: int) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_bytes(damaged(TOML.encode(), random.Random(n)))
    found = run("verify", "--config", path, "--no-diagnosis", "--exit-zero")
    try:
        read = configuration.read(path)
    except configuration.ConfigurationError:
        assert_refused(*found, path)
    else:
        assert found[0] == 0
        for r in read.requests:
            assert Request.of_dict(json.loads(json.dumps(r.as_dict(), allow_nan=False))) == r
        path.unlink()
        path.parent.joinpath("pyproject.toml").write_text("")


@pytest.mark.parametrize("n", range(30))
def test_a_configuration_that_cannot_be(tmp_path: Path, run, n: int) -> None:
    def judged(path: tuple[Any, ...]) -> bool:
        inside = path[:2] == ("tool", "mhsa") and len(path) > 2
        # Any name of a subject or of an argument may be right, and a subject may be a text alone.
        return inside and (path[2] != "subjects" or len(path) > 4) and path[4:5] != ("arguments",) and path[2:] != ("subjects",)

    path = tmp_path / "pyproject.toml"
    path.write_text(tomlkit.dumps(spoiled(tomllib.loads(TOML), random.Random(n), judged)))
    assert_refused(*run("verify", "--config", path), path)
    assert re.match(rf"mhsa: {re.escape(str(path))}:\d+: \[tool\.mhsa", run("verify", "--config", path)[1])


@pytest.mark.parametrize("n", range(40))
def test_a_damaged_case(tmp_path: Path, run, n: int) -> None:
    path = tmp_path / "case.json"
    path.write_bytes(damaged(a_case(tmp_path), random.Random(n)))
    found = run("replay", path)
    try:
        saved = casefile.read(path)
    except casefile.CaseFileError:
        assert_refused(*found, path)
    else:
        assert found == (0, "", True)
        assert decode(saved.drawn)
        saved.request.require_known()


@pytest.mark.parametrize("n", range(30))
def test_a_case_that_cannot_be(tmp_path: Path, run, n: int) -> None:
    def judged(path: tuple[Any, ...]) -> bool:
        free = path[0] in ("found", "environment") and len(path) > 1
        # What a drawn argument is called, and what else it may be, the property alone can say.
        return not free and path[:2] != ("subject", "arguments") and not (path[0] == "drawn" and "layouts" in path)

    path = tmp_path / "case.json"
    data = spoiled(json.loads(a_case(tmp_path)), random.Random(n), lambda p: judged(p) and p != ("drawn", "case"))
    path.write_text(json.dumps(data))
    assert_refused(*run("replay", path), path)


@pytest.mark.parametrize("n", range(40))
def test_damaged_requests(tmp_path: Path, n: int) -> None:
    path = tmp_path / "requests.json"
    good = json.dumps([r.as_dict() for r in REQUESTS], indent=1).encode()
    rng = random.Random(n)
    if n % 2:
        data = spoiled(json.loads(good), rng, lambda p: "arguments" not in p[1:])
        path.write_text(json.dumps(data))
    else:
        path.write_bytes(damaged(good, rng))
    try:
        found = request.read_requests(path)
    except ValueError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < 800
    else:
        assert n % 2 == 0
        for r in found:
            r.require_known()


def test_what_is_not_damaged_is_read(tmp_path: Path, run) -> None:
    (tmp_path / "pyproject.toml").write_text(TOML)
    assert len(configuration.read(tmp_path / "pyproject.toml").requests) == 3
    (tmp_path / "case.json").write_bytes(a_case(tmp_path))
    assert run("replay", tmp_path / "case.json") == (0, "", True)
    (tmp_path / "requests.json").write_text(json.dumps([r.as_dict() for r in REQUESTS]))
    assert request.read_requests(tmp_path / "requests.json") == REQUESTS


def test_what_a_case_says_does_nothing_to_a_terminal(tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.loads(a_case(tmp_path))
    data["found"] = {"message": "\x1b[2J\ud800\r\nmhsa: all is well", "case": {"words": ["\x07"]}}
    (tmp_path / "case.json").write_text(json.dumps(data))
    said: list[str] = []
    monkeypatch.setattr("rich.console.Console.print", lambda self, text, **_: said.append(text.plain))
    assert run("replay", tmp_path / "case.json")[0] == 0
    assert said[2] == "  then  \\x1b[2J\\ud800\\r\\nmhsa: all is well"
    assert all(line.isprintable() for line in said)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("verify", lambda text: text[:-20]),
        ("verify", lambda text: text.replace(b'"cpu"', b"7")),
        ("verify", lambda text: text.replace(b"known", b"\xff")),
        ("replay", lambda text: text[:-20]),
        ("replay", lambda text: text.replace(b'"batch": 1', b'"batch": ' + b"9" * 5000)),
        ("replay", lambda text: text.replace(b'"case": {', b'"case": ' + b'{"list": [' * 50000, 1)),
    ],
)
def test_the_command_line_says_so_in_one_message(mhsa, tmp_path: Path, kind: str, change: Callable[[bytes], bytes]) -> None:
    if kind == "verify":
        (tmp_path / "pyproject.toml").write_bytes(change(TOML.encode()))
        done = mhsa("verify", cwd=tmp_path)
    else:
        (tmp_path / "case.json").write_bytes(change(a_case(tmp_path)))
        done = mhsa("replay", tmp_path / "case.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"mhsa: {tmp_path}/")
    assert done.stderr.count("\n") == 1


def test_the_engine_says_so_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "requests.json").write_text('[{"label": "mine"}]')
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "pytest.ini", "-p", "no:cacheprovider",
         "--attention-requests", "requests.json", str(properties_folder())],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--attention-requests requests.json: a request without subject, build, submodule, " in done.stdout
    assert "Traceback" not in done.stdout
    assert "1 error" in done.stdout
