"""mhsa bench --record: the script's output and exit code are its own, and its calls are in pyproject.toml."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mhsa.commands.cli import _parser, main
from mhsa.commands.options.parser import parse
from mhsa.commands.record import MOST, recorded, script_of, write_calls
from mhsa.records.configuration import read
from mhsa.records.errors import UsageError
from mhsa.records.pyproject.bench_calls import BenchCall

SCRIPT = """
import sys

import torch
from torch.nn.functional import scaled_dot_product_attention

q, k = torch.ones(2, 4, 1, 8), torch.ones(2, 4, 64, 8)
for _ in range(int(sys.argv[1])):
    scaled_dot_product_attention(q, k, k)
print("the script's", __name__, sys.argv[1:])
sys.exit(int(sys.argv[2]))
"""


def call(**more: Any) -> dict[str, Any]:
    usual = {"batch": 2, "queries": 16, "keys": 16, "heads": 4, "width": 8, "dtype": "float32", "mask": "", "causal": False,
             "training": False}  # fmt: skip
    return usual | more


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["--", "python", "train.py", "--epochs", "1"], ["train.py", "--epochs", "1"]),
        (["train.py", "--", "-x"], ["train.py", "--", "-x"]),
        (["/usr/bin/python3.11", "-m", "torch.x", "-m"], ["-m", "torch.x", "-m"]),
    ],
)
def test_what_is_run(here: Path, words: list[str], command: list[str]) -> None:
    assert script_of(words) == command
    assert parse(_parser(), ["bench", "--config", "a.toml", "--record", *words]).record == words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing stands after it"),
        (["--"], "nothing stands after it"),
        (["python", "-u", "train.py"], "-u is an option of Python that is not taken"),
        (["torchrun", "train.py"], "there is no script torchrun"),
    ],
)
def test_what_cannot_be_run(here: Path, words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        script_of(words)


@pytest.mark.parametrize("words", [["m.py", "--record", "train.py"], ["--json", "x.json", "--record", "train.py"]])
def test_it_times_nothing(here: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *words])
    assert stopped.value.code == 2
    assert "takes neither subjects nor files to write" in " ".join(capsys.readouterr().err.split())


def test_calls_of_one_kind_are_one_and_the_most_frequent_come_first() -> None:
    many = [[call(batch=n), 1] for n in range(10, 30)]
    found, notes = recorded({
        "calls": [
            [call(), 3], [call(queries=1), 9], [call(queries=1), 1], [call(training=True, mask="bool [B, Tk]"), 4],
            [call(dtype="float8_e4m3fn"), 5], [call(queries=17), 2], *many,
        ],
        "unclear": {"OddAttention": 3},
    })  # fmt: skip
    assert found[:3] == [
        BenchCall("2x1/16x4x32", count=10), BenchCall("2x16x4x32", passes="training", mask="bool [B, Tk]", count=4),
        BenchCall("2x16x4x32", count=3),
    ]  # fmt: skip
    assert len(found) == MOST
    assert notes[:3] == [
        "5 calls of float8_e4m3fn were left out", "2 calls with more queries than keys were left out",
        "11 kinds of calls, with 11 calls, were left out as rare",
    ]  # fmt: skip
    assert "of OddAttention it is not known how many heads there are" in notes[3]


@pytest.mark.parametrize(
    "before",
    ["", "# mine\n[project]\nname = 'x'  # y\n", "[tool.mhsa]\nprofile = 'ci'\n[tool.mhsa.bench]\ncalls = []  # old\n"],
)
def test_what_is_written_is_read_and_the_rest_stays(tmp_path: Path, before: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(before)
    calls = (BenchCall("2x1/16x4x32", "float16", "forward", "bool [B, Tk]", True, 10), BenchCall("2x16x4x32", count=4))
    write_calls(path, calls)
    assert read(path).calls == calls
    assert path.read_text().startswith(before.partition("[tool.mhsa.bench]")[0])
    write_calls(path, calls[:1])
    assert read(path).calls == calls[:1]


def test_output_and_exit_code_are_the_scripts(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--record", "--", "python", "train.py", "7", "3"]) == 3
    out, err = capfd.readouterr()
    assert out == "the script's __main__ ['7', '3']\n"
    assert "1 kinds of calls, 7 in all, are in [tool.mhsa.bench]" in " ".join(err.split())
    written = tomllib.loads((here / "pyproject.toml").read_text())["tool"]["mhsa"]["bench"]["calls"]
    assert written == [{"shape": "2x1/64x4x32", "dtype": "float32", "pass": "forward", "count": 7}]


def test_where_nothing_is_recorded_it_says_what_to_do(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--record", "train.py", "0", "0"]) == 2
    err = capfd.readouterr().err
    assert "no attention was recorded, so nothing was written" in err
    assert "--shape" in err
    assert not (here / "pyproject.toml").exists()
