"""What a first user does wrong, and the one line that says so: what was given, what is allowed, what to do."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mhsa.commands.cli import main
from mhsa.introspect.load import load
from mhsa.records.errors import SubjectError, folded
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult
from mhsa.run.child import Child
from mhsa.run.runner import Interrupted, run

CLASS = "class {}:\n    def forward(self, x):\n        return x\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return tmp_path


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subjects that a process was started for; it holds of each that it was."""
    started: list[str] = []

    def run(child: Child) -> Iterator[None]:
        started.extend(r.label for r in child.requests)
        for n in range(1, len(child.requests) + 1):
            child.add(n, PropertyResult("oracle.output_without_mask", "pass", cases=5))
        child.finished = True
        yield

    monkeypatch.setattr(Child, "run", run)
    return started


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a process was started; it is ended at once."""
    found: list[bool] = []

    def start(*_: object) -> None:
        found.append(True)
        raise KeyboardInterrupt

    monkeypatch.setattr("mhsa.run.listener.Contained", start)
    return found


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["verfy"], "mhsa: there is no command 'verfy'; did you mean verify?"),
        (["model.py"], "mhsa: there is no command 'model.py'; did you mean mhsa verify model.py?"),
        (["m:A", "-k", "x"], "mhsa: there is no command 'm:A'; did you mean mhsa verify m:A?"),
        (["--verison"], "mhsa: there is no option --verison; did you mean --version?"),
        (["verify", "--profile", "quik"],
         "mhsa verify: --profile: 'quik' is not one of quick, ci, thorough; did you mean quick?"),
        (["verify", "--profile"], "mhsa verify: --profile: needs a value"),
        (["verify", "--no-color=3"], "mhsa verify: --no-color: takes no value; given was '3'"),
        (["verify", "--dtype", "float46"],
         "mhsa verify: --dtype: 'float46' is not one of float64, float32, bfloat16, float16; did you mean float64?"),
        (["verify", "--sede=3"], "mhsa verify: there is no option --sede; did you mean --seed?"),
        (["verify", "A", "--profil", "quick"], "mhsa verify: there is no option --profil; did you mean --profile?"),
        (["verify", "A", "--p=quick"], "mhsa verify: there is no option --p; did you mean --profile?"),
        (["--ver"], "mhsa: there is no option --ver; did you mean --version?"),
        (["bench", "--shap", "128"], "mhsa bench: there is no option --shap; did you mean --shape?"),
        (["verify", "A", "--zzz", "3"], "mhsa verify: there is no option --zzz; `mhsa verify --help` lists them"),
        (["verify", "A", "-k", "masks", "and", "not", "row"],
         "mhsa verify: -k takes one text, so 'and' stood alone after it; write it in quotes: -k 'masks and not row'"),
        (["diagnose"], "mhsa diagnose: SUBJECT is missing; `mhsa diagnose --help` says what it is"),
        (["diagnose", "A", "--seed", "3", "B"],
         "mhsa diagnose: 'B' is one too many: what it takes, options apart, is SUBJECT"),
        (["replay", "a", "b"], "mhsa replay: 'b' is one too many: what it takes, options apart, is FILE"),
        (["bench", "--pass", "trainign"],
         "mhsa bench: --pass: 'trainign' is not one of forward, training; did you mean training?"),
        (["properties", "mask_zero"], "mhsa: no property has 'mask_zero' in its id; `mhsa properties` lists them"),
        (["properties", "masking_is_deleteing"],
         "mhsa: no property has 'masking_is_deleteing' in its id; did you mean masks.masking_is_deleting?"),
        (["help", "verfy"], "mhsa: there is no command 'verfy'; did you mean verify?"),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert capsys.readouterr() == ("", f"{line}\n")


def test_on_a_terminal_a_message_is_folded_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    long = "mhsa verify: --dtype: 'float46' is not one of float64, float32, bfloat16, float16; did you mean float64?"
    first, second, *rest = folded(f"{long}\n\n{long}").split("\n")
    assert (f"{first} {second}", rest) == (long, ["", long])
    assert 70 < len(first) <= 80
    with pytest.raises(SystemExit):
        main(["verify", "--dtype", "float46"])
    assert capsys.readouterr().err == f"{first}\n{second}\n"


@pytest.mark.parametrize(
    ("arguments", "words"), [(["help"], "usage: mhsa [-h]"), (["help", "verify"], "usage: mhsa verify [-h]")]
)
def test_help_is_a_command_too(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(words)


def test_subjects_may_stand_between_options(here: Path, judged: list[str]) -> None:
    for name in "abc":
        (here / f"{name}.py").touch()
    assert main(["verify", "a.py", "-k", "x", "b.py", "--seed", "3", "c.py", "--no-diagnosis"]) == 0
    assert judged == ["a.py", "b.py", "c.py"]


def test_commits_may_stand_between_options(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr("mhsa.commands.compare.compare", lambda options: given.append((options.base, options.head)) or 0)
    main(["compare", "main", "-k", "x", "HEAD"])
    main(["compare", "-k", "x", "main"])
    assert given == [("main", "HEAD"), ("main", "")]


@pytest.mark.parametrize("command", [["verify"], ["diagnose", "m.py"], ["replay", "f"], ["bench"], ["compare"], ["power"]])
def test_that_torch_is_missing_is_said_before_anything_else(
    here: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else find(name, *rest))
    with pytest.raises(SystemExit) as left:
        main(command)
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert (out, judged) == ("", [])
    assert err.startswith("mhsa: torch is not installed for ")
    assert "pip install torch" in err
    assert err.count("\n") == 1


def test_a_torch_that_cannot_be_imported_is_named_with_its_error(mhsa: Callable, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text('raise ImportError("libcudart.so.12: cannot open shared object file")\n')
    done = mhsa("verify", "mhsa:MultiHeadAttention", "-k", "oracle.output_without_mask", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    words = "unjudged: the properties could not be imported: ImportError: libcudart.so.12: cannot open shared object file"
    assert words in done.stdout


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nosuch:thing", "import of nosuch failed: ModuleNotFoundError: No module named 'nosuch'"),
        ("nosuch.deep.er:thing", "import of nosuch.deep.er failed: ModuleNotFoundError: No module named 'nosuch'"),
        ("modle.py", "no file modle.py; did you mean model.py?"),
        ("pkg/modle.py:A", "no file pkg/modle.py"),
        ("pkg.model", "'pkg.model' names no object; write package.module:attr, or path/file.py[:attr]"),
        ("pkg.attention", "write package.module:attr, or path/file.py[:attr]; did you mean pkg/attention.py?"),
        ("model", "'model' names no object; write package.module:attr, or path/file.py[:attr]; did you mean model.py?"),
        ("pkg", "pkg is a folder; name a file or an object: pkg/attention.py:MyAttention, pkg/attention.py:OtherAttn"),
        ("pkg:Attention", ""),
        (".", "pkg/attention.py:OtherAttn"),
        ("empty", "empty is a folder without Python files; name path/file.py[:attr] or package.module:attr"),
        ("plain", "plain is a folder; name a file or an object: plain/one.py, plain/two.py"),
        ("plain/", "plain/ is a folder; name a file or an object: plain/one.py, plain/two.py"),
        ("try.ipynb", "try.ipynb is a notebook; a subject stands in a module or a .py file: jupyter nbconvert --to script"),
        ("try.ipynb:A", "is a notebook"),
        ("x" * 5000 + ".py", "cannot be looked for: File name too long"),
        ("model.py", ""),
        ("torch.nn:MultiheadAttention", ""),
        ("inner:A", ""),
    ],
)
def test_what_is_not_there_is_told_without_a_process(here: Path, started: list[bool], spec: str, words: str) -> None:
    for name in ("pkg", "empty", "plain", "src"):
        (here / name).mkdir()
    (here / "pkg" / "attention.py").write_text(CLASS.format("MyAttention") + CLASS.format("OtherAttn") + CLASS.format("Norm"))
    for name in ("model.py", "try.ipynb", "plain/one.py", "plain/two.py", "src/inner.py"):
        (here / name).touch()
    # A subject that stands in a configured folder is looked for in it and in its src.
    (here / "pyproject.toml").write_text(f"[tool.mhsa.subjects]\nmine = {json.dumps(spec)}\n")
    assert main(["verify", "mine", "--no-diagnosis", "--json", "o.json"]) == 2
    (subject,) = json.loads(Path("o.json").read_text())["subjects"]
    assert (bool(started), subject["verdict"]) == (not words, "unjudged")
    assert words in subject["reason"]
    if words and "too long" not in words:
        (result,) = run(Options((Request.of(spec),)))
        assert words in result.reason
        with pytest.raises(SubjectError) as told:
            load(spec)
        assert str(told.value) == result.reason


def test_beside_one_that_is_there_a_process_is_started(here: Path, started: list[bool]) -> None:
    (here / "model.py").touch()
    with pytest.raises(Interrupted):
        run(Options((Request.of("nosuch:thing"), Request.of("model.py"))))
    assert started


@pytest.mark.parametrize("name", ["pkg", "try.ipynb"])
def test_beside_configured_subjects_a_folder_is_a_folder(
    here: Path, started: list[bool], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (here / "pkg").mkdir()
    (here / "pyproject.toml").write_text('[tool.mhsa.subjects]\nmine = "m.py"\n')
    assert main(["verify", name, "--no-diagnosis"]) == 2
    assert f"unjudged: {name} is a {'folder' if name == 'pkg' else 'notebook'}" in capsys.readouterr().out
    assert not started


def test_a_run_that_is_interrupted_within_a_command_is_no_internal_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise Interrupted([])

    monkeypatch.setattr("mhsa.commands.properties.properties", interrupted)
    assert main(["properties"]) == 2
    assert capsys.readouterr().err == "mhsa: interrupted; nothing was concluded\n"
