"""A stand-alone script of a failure fails by itself, whatever the form of the subject."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mhsa.records.case import Case
from mhsa.records.errors import SubjectError
from mhsa.records.request import Request
from tests.helpers.toy_project import project, replayed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Somebody's repository, whose modules are forgotten afterwards."""
    folder = project(tmp_path / "theirs")
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


FORMS = {
    "class": Request("a", "toys.layers:Attention"),
    "class_with_arguments": Request("a", "toys.layers:Attention", arguments={"bias": False}),
    "class_of_one_size": Request("a", "src/toys/layers.py:Attention", arguments={"num_heads": 2, "d_model": 4}),
    "factory": Request("a", "toys.layers:one"),
    "built": Request("a", "toys.layers:part"),
    "part_of_a_model": Request("a", "toys.layers:model", submodule="layers.0"),
    "part_of_what_a_function_builds": Request("a", build="src/toys/layers.py:build", submodule="layers.1"),
    "like_torchs": Request("a", "toys.layers:Doubled"),
    "function": Request("a", "kernels.py:attention"),
    "function_in_a_file_called_types": Request("a", "odd/types.py"),
    "core": Request("a", "kernels.py:Core"),
    "core_in_a_file_that_is_no_name": Request("a", "odd/my-kernel.py:Own"),
    "raising": Request("a", "kernels.py:raising"),
    "adapter": Request("a", "adapted.py"),
    "right_but_for_rows_without_a_key": Request("a", "torch.nn:MultiheadAttention"),
    "right_and_time_first": Request("a", "toys.layers:later"),
}
DRIVER = """
import contextlib, io, json, runpy, sys
names = sorted(sys.argv[1:], key=lambda name: "adapter" in name)  # the last one may import mhsa
for name in names:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            runpy.run_path(f"{name}.py", run_name="__main__")
            said = "nothing"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
    print(json.dumps([name, said, sorted(m for m in sys.modules if m.partition(".")[0] == "mhsa")]))
"""


def test_scripts_of_subjects_in_all_forms_fail_by_themselves(here: Path, tmp_path: Path) -> None:
    sizes = {"batch": 2, "query_length": 3, "key_length": 4}
    for name, form in FORMS.items():
        one_size = {"factory": (1, 4), "class_of_one_size": (2, 2), "built": (2, 2)}.get(
            name, (2, 4) if form.submodule or "time" in name else (2, 2)
        )
        mask = "fully_masked_row" if "right" in name else "random"
        case = Case(
            "float32", head=one_size[0], d_k=one_size[1], mask=mask, layout="transposed", seed=5, data="normal", **sizes
        )
        request = replace(form, folder=str(here))
        reason = replayed(request, "oracle.output_under_masks", {"case": case}, tmp_path / f"{name}.py")
        assert ("must be" in reason) or name in ("raising", "right_but_for_rows_without_a_key", "right_and_time_first")
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER, *FORMS], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    found = {name: (said, modules) for name, said, modules in map(json.loads, ran.stdout.splitlines())}
    for name, (said, modules) in found.items():
        if name == "raising":
            assert said == "RuntimeError: not today"
        elif name.startswith("right"):
            assert said == "nothing"
        else:
            assert said.startswith("AssertionError: output is off by up to "), (name, said)
            assert 1e-3 < float(said.rpartition(" ")[2]) < 100
        assert bool(modules) == (name == "adapter"), f"{name} imports {modules}"


MASKED = """
def added(q, k, v, mask=None):
    scores = q @ k.mT / q.size(-1) ** 0.5
    return (scores if mask is None else (scores + mask).clamp(min=-1e9)).softmax(-1) @ v


def blocked(q, k, v, mask=None):
    scores = q @ k.mT / q.size(-1) ** 0.5
    return (scores if mask is None else scores.masked_fill(mask, -1e9)).softmax(-1) @ v
"""


@pytest.mark.parametrize(("name", "mask"), [("added", "additive"), ("blocked", "blocked")])
def test_a_script_gives_a_function_its_mask_in_the_form_that_it_takes(name: str, mask: str, tmp_path: Path) -> None:
    (tmp_path / "masked.py").write_text(MASKED)
    request = Request("a", f"masked.py:{name}", folder=str(tmp_path), contract={"mask": mask})
    case = Case("float64", 2, 2, 3, 4, 2, mask="random", data="normal")
    assert replayed(request, "oracle.output_under_masks", {"case": case}, tmp_path / "script.py") == ""
    ran = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "output  must be [[[" in ran.stdout


def test_a_script_shows_calls_that_are_right_by_themselves(tmp_path: Path) -> None:
    case = Case("float64", 1, 2, 2, 3, 2)
    path = tmp_path / "s.py"
    replayed(Request("r", "mhsa:MultiHeadAttention"), "symmetry.queries_may_be_permuted", {"case": case}, path)
    text = path.read_text()
    assert "Each call by itself is right within rounding" in text
    assert "# call 1: B=1 H=2 Tq=2 Tk=3 d_k=2" in text
    assert "# call 2: " in text


@pytest.mark.parametrize(
    ("identity", "drawn", "words"),
    [
        ("dropout.the_share_that_is_dropped", {"rate": 0.25, "few": "query"}, "about many random numbers"),
        ("construction.indivisible_width_is_refused", None, "makes no call"),
    ],
)
def test_what_no_script_can_show_is_told(tmp_path: Path, identity: str, drawn: dict | None, words: str) -> None:
    given = {"head": 2, "d_model": 5} if drawn is None else drawn | {"case": Case("float64", 1, 2, 2, 3, 2)}
    with pytest.raises(SubjectError, match=words):
        replayed(Request("r", "mhsa:MultiHeadAttention"), identity, given, tmp_path / "s.py")
    assert not (tmp_path / "s.py").exists()
