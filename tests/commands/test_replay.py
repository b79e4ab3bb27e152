"""A failure as a file: saved, judged again, and written out as a script that needs nothing of this project."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mhsa.records.case import Case
from mhsa.records.case_files.case_file import CaseFileError, read, save
from mhsa.records.case_files.case_json import decode, encode
from mhsa.records.errors import SubjectError
from mhsa.records.request import Expected, Request
from mhsa.records.results import PropertyResult
from tests.helpers.toy_project import project, replayed


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = project(tmp_path_factory.mktemp("project"))
    chosen = "oracle.output_without_mask or each_tensor_in_its_own or the_same_call"
    command = [sys.executable, "-m", "mhsa", "verify", "-v", "-k", chosen, "--no-diagnosis", "--json", "o.json"]
    return folder, subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_every_failure_is_saved_and_its_command_is_shown(verified) -> None:
    folder, done = verified
    assert done.returncode == 1, done.stdout + done.stderr
    cases = sorted((folder / ".mhsa" / "cases").iterdir())
    assert [path.name for path in cases] == [
        "kernel--layout.each_tensor_in_its_own_layout.json",
        "kernel--oracle.output_without_mask.json",
        "layer--layout.each_tensor_in_its_own_layout.json",
        "layer--oracle.output_without_mask.json",
    ]
    assert (folder / ".mhsa" / ".gitignore").read_text() == "*\n"
    files = [
        p["counterexample"]["file"]
        for s in json.loads((folder / "o.json").read_text())["subjects"]
        for p in s["properties"]
        if p["outcome"] == "fail"
    ]
    assert sorted(files) == [str(path.relative_to(folder)) for path in cases]
    for path in cases:
        assert f"mhsa replay {path.relative_to(folder)}\n" in done.stdout
        saved = read(path)
        assert str(folder) not in path.read_text(), "a file that is sent to somebody says nothing of where it was made"
        assert isinstance(saved.drawn["case"], dict)
        assert saved.environment["torch"]
        assert saved.request.expected == ()
    assert saved.request.arguments == {"bias": False}
    assert "but must be" in saved.found["message"]


def test_replay_says_failed_while_it_is_wrong_and_fixed_when_it_is_not(verified, mhsa) -> None:
    folder, _ = verified
    file = folder / ".mhsa" / "cases" / "kernel--layout.each_tensor_in_its_own_layout.json"
    (folder / "deeper").mkdir()
    then = read(file).found["message"]
    done = mhsa("replay", file, cwd=folder / "deeper")
    assert done.returncode == 1, done.stderr
    head, case, *lines = (line.rstrip() for line in done.stdout.splitlines())
    assert head == "FAILED  layout.each_tensor_in_its_own_layout  kernel"
    assert case.startswith("  case  B=1 H=")
    assert lines == [f"  then  {then}", f"  now   {then}"]

    done = mhsa("replay", file, "--subject", "torch.nn.functional:scaled_dot_product_attention", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    head, _, *lines = (line.rstrip() for line in done.stdout.splitlines())
    assert head == "FIXED  layout.each_tensor_in_its_own_layout  torch.nn.functional:scaled_dot_product_attention"
    assert lines[0] == f"  then  {then}"
    assert lines[1].startswith("  now   it holds (error/bound 0")


def test_a_subject_that_is_gone_is_an_error(verified, mhsa, tmp_path: Path) -> None:
    folder, _ = verified
    file = folder / ".mhsa" / "cases" / "kernel--oracle.output_without_mask.json"
    done = mhsa("replay", file, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.startswith("ERROR  oracle.output_without_mask  kernel\n")
    assert "  now   no file kernels.py" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    done = mhsa("replay", file, "--python", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "mhsa: no script could be made: no file kernels.py\n"


def test_a_script_needs_torch_and_the_subject_only(verified, mhsa, tmp_path: Path) -> None:
    folder, _ = verified
    done = mhsa("replay", folder / ".mhsa" / "cases" / "layer--oracle.output_without_mask.json", "--python", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "from toys.layers import Attention\n" in done.stdout
    assert "import mhsa" not in done.stdout
    (tmp_path / "script.py").write_text(done.stdout)
    ran = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("AssertionError: output is off by up to 0.")
    assert ran.stdout.startswith("output  is [[[")
    assert "output  must be [[[" in ran.stdout


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        ({"layouts": ("offset", "upside down", "sliced")}, "ValueError: layout 'upside down'; must be one of contiguous"),
        ({"layouts": ("offset", "sliced")}, "StopIteration"),
        ({"layout": "offset"}, "TypeError: .* unexpected keyword argument 'layout'"),
        ({}, "TypeError: .* missing 1 required .* 'layouts'"),
    ],
)
def test_what_was_saved_has_to_fit_the_property(tmp_path: Path, drawn: dict, words: str) -> None:
    given = {"case": Case("float64", 1, 2, 2, 3, 2)} | drawn
    with pytest.raises(SubjectError, match=f"^it cannot be called with what was saved: {words}"):
        replayed(Request("r", "mhsa:MultiHeadAttention"), "layout.each_tensor_in_its_own_layout", given, tmp_path / "s.py")


@pytest.mark.parametrize(
    "drawn",
    [
        {},
        {"case": Case("float16", 1, 2, 3, 4, 5, "ties", "causal", "expanded", "kv", True, False, 2**63)},
        {"rate": 0.25, "size": 3, "which": "B = H", "flag": True, "nothing": None},
        {"layouts": ("offset", "sliced", ["a", (1, 2.5)]), "case": Case("float64", 0, 1, 0, 1, 1)},
    ],
)
def test_what_a_property_is_called_with_survives_json(drawn: dict) -> None:
    assert decode(json.loads(json.dumps(encode(drawn)))) == drawn


def test_what_json_cannot_hold_is_not_saved() -> None:
    assert encode({"case": object()}) is None
    assert encode({"list": [1, {2}]}) is None


def failure(**facts: object) -> PropertyResult:
    drawn = encode({"case": Case("float64", 1, 1, 1, 2, 2)})
    return PropertyResult("oracle.output_without_mask", "fail", counterexample={"message": "off", "drawn": drawn, **facts})


def test_a_case_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    request = Request(
        "mine", "m:A", "", "x.y", "/home/somebody", {"bias": False, "n": [1, {"x": 0.5}]}, {"fully_masked_row": "zeros"},
        "ci", 2**70, ("float32",), "cuda:1", (Expected("a", "b"),),
    )  # fmt: skip
    saved = read(save(tmp_path / ".mhsa" / "cases", request, failure(observed=1.5), {"torch": "2"}))
    assert (saved.property, saved.environment) == ("oracle.output_without_mask", {"torch": "2"})
    assert saved.found == {"message": "off", "observed": 1.5}
    assert decode(saved.drawn) == {"case": Case("float64", 1, 1, 1, 2, 2)}
    for name in ("label", "subject", "submodule", "arguments", "contract", "profile", "seed", "dtypes", "device"):
        assert getattr(saved.request, name) == getattr(request, name)
    assert (saved.request.folder, saved.request.expected) == ("", ())


def test_subjects_that_are_called_alike_have_files_of_their_own_and_a_later_failure_takes_the_place(tmp_path: Path) -> None:
    labels = ("model.py", "a/model.py", "b/model.py", "a/model.py:X", "../../model.py", "/model.py", "ü ü.py")
    paths = [save(tmp_path / "cases", Request(label, "m:A"), failure(), {}) for label in labels]
    assert len(set(paths)) == len(labels)
    assert {path.parent for path in paths} == {tmp_path / "cases"}
    assert save(tmp_path / "cases", Request("model.py", "m:A"), failure(observed=2), {}) == paths[0]
    assert read(paths[0]).found["observed"] == 2
    assert (tmp_path / "cases" / ".gitignore").read_text() == "*\n"
    assert not (tmp_path / ".gitignore").exists()


def test_an_ignore_file_of_the_users_own_stays(tmp_path: Path) -> None:
    (tmp_path / ".mhsa").mkdir()
    (tmp_path / ".mhsa" / ".gitignore").write_text("!cases\n")
    save(tmp_path / ".mhsa" / "cases", Request("a", "m:A"), failure(), {})
    assert (tmp_path / ".mhsa" / ".gitignore").read_text() == "!cases\n"
    assert not (tmp_path / ".mhsa" / "cases" / ".gitignore").exists()


def test_a_file_of_another_version_is_told(tmp_path: Path) -> None:
    path = save(tmp_path, Request("a", "m:A"), failure(), {})
    good = json.loads(path.read_text())
    for change, words in (
        ({"schema": 2}, "of schema 2; this version reads 1"),
        ({"property": "oracle.of_delphi"}, "there is no property 'oracle.of_delphi' in this version"),
        ({"kind": "case"}, "no case of mhsa; `mhsa verify` saves one for each failure"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(CaseFileError) as raised:
            read(path)
        assert str(raised.value) == f"{path}: {words}"
