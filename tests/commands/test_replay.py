"""A failure as a file: saved, judged again, and written out as a script that needs nothing of this project."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.finding import explain, find
from mhsa.judge.property_modules import Effort, import_properties
from mhsa.judge.script.recorded_calls import Recorder
from mhsa.judge.script.standalone_script import write_script
from mhsa.judge.strategies import judging
from mhsa.records.case import Case
from mhsa.records.case_files.case_file import CaseFileError, read, save
from mhsa.records.case_files.case_json import decode, encode
from mhsa.records.catalogue import properties_folder
from mhsa.records.errors import SubjectError
from mhsa.records.request import Expected, Request
from mhsa.records.results import PropertyResult
from mhsa.subject import check

LAYERS = """
import torch
from torch import nn

from .scale import SCALE


class Attention(nn.Module):
    def __init__(self, num_heads, d_model, bias=True):
        super().__init__()
        self.num_heads, self.d_model = num_heads, d_model
        self.q, self.k, self.v, self.out_proj = (nn.Linear(d_model, d_model, bias=bias) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        pairs = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (project(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for project, x in pairs)
        scores = q @ k.transpose(-2, -1) * SCALE
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(dim=-1).nan_to_num(0.0)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2)), weights


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Attention(2, 8), Attention(2, 8)])


class Doubled(nn.MultiheadAttention):
    def __init__(self, embed_dim, num_heads):
        super().__init__(embed_dim, num_heads, batch_first=True)

    def forward(self, query, key, value, attn_mask=None):
        mask = None if attn_mask is None else ~attn_mask.repeat_interleave(self.num_heads, 0)
        return super().forward(2 * query, key, value, attn_mask=mask)[0]


def build():
    return Model()


def later():
    return nn.MultiheadAttention(8, 2)


def one():
    return Attention(1, 4, bias=False)


model, part = Model(), Attention(2, 4)
"""

KERNELS = """
import torch
from torch import nn


def attention(q, k, v, dropout=None, mask=None):
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    return weights @ v, weights


def raising(q, k, v, mask=None):
    if mask is not None and not mask.all():
        raise RuntimeError("not today")
    return attention(q, k, v, mask=mask)


class Core(nn.Module):
    def forward(self, query, key, value, mask=None):
        return attention(query, key, value, mask=mask)[0]
"""

ADAPTED = """
import mhsa
from toys.layers import Attention


class Adapted(mhsa.Adapter):
    def build(self, head, d_model):
        return Attention(head, d_model)

    def call(self, module, query, key, value, mask):
        return module(query=query, key=key, value=value, mask=mask)[0]
"""


def project(folder: Path) -> Path:
    """Write somebody's repository with everything in it wrong: no score is divided by the root of d_k."""
    (folder / "src" / "toys").mkdir(parents=True)
    (folder / "src" / "toys" / "__init__.py").write_text("")
    (folder / "src" / "toys" / "scale.py").write_text("SCALE = 1.0\n")
    (folder / "src" / "toys" / "layers.py").write_text(LAYERS)
    (folder / "kernels.py").write_text(KERNELS)
    (folder / "odd").mkdir()
    (folder / "odd" / "types.py").write_text(KERNELS.partition("def raising")[0])
    (folder / "odd" / "my-kernel.py").write_text("from kernels import Core\n\n\nclass Own(Core):\n    pass\n")
    (folder / "adapted.py").write_text(ADAPTED)
    (folder / "pyproject.toml").write_text(
        '[tool.mhsa.subjects]\nlayer = { subject = "toys.layers:Attention", arguments = { bias = false } }\n'
        'kernel = "kernels.py:attention"\n'
    )
    return folder


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


def replayed(request: Request, identity: str, drawn: dict, path: Path) -> str:
    """Judge in this process by one property on one case, as replay does in another; return the reason of the failure."""
    subject = understand(request)
    family, _, name = identity.partition(".")
    file = properties_folder() / f"test_{family}.py"
    test = getattr(import_properties(file, Effort(replay=decode(encode(drawn)))), f"test_{name}")
    error = None
    with check.recording() as record, judging(subject):
        record.recorder = Recorder()
        try:
            test(subject=subject)
        except check.Violation as violation:
            error = violation
    finding = find(record, error) | {"id": identity}
    assert finding["outcome"] in ("pass", "fail"), explain(finding, request.label)
    write_script(path, request, subject, identity, "a law.", finding["reason"], record.recorder.calls)
    return finding["reason"]


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
        ("dropout.the_share_that_is_dropped", {"rate": 0.25}, "about many random numbers"),
        ("construction.indivisible_width_is_refused", None, "makes no call"),
    ],
)
def test_what_no_script_can_show_is_told(tmp_path: Path, identity: str, drawn: dict | None, words: str) -> None:
    given = {"head": 2, "d_model": 5} if drawn is None else drawn | {"case": Case("float64", 1, 2, 2, 3, 2)}
    with pytest.raises(SubjectError, match=words):
        replayed(Request("r", "mhsa:MultiHeadAttention"), identity, given, tmp_path / "s.py")
    assert not (tmp_path / "s.py").exists()


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
