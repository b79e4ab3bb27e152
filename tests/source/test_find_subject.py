"""Which object is meant: found by the files of a repository alone, and refused where that is not sure."""

from pathlib import Path

import pytest

from mhsa.commands.cli import main
from mhsa.records.configuration import read
from mhsa.records.results import SubjectResult

CLASS = "class {}:\n    def forward(self, x):\n        return x\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mhsa.commands.init.look", lambda specs: [SubjectResult(spec) for spec in specs])  # nothing is imported
    return tmp_path


def put(path: str, text: str = "") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def everything() -> list[str]:
    return sorted(p.as_posix() for p in Path().rglob("*"))


def subject() -> str:
    (request,) = read(Path("pyproject.toml")).requests
    return request.subject


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run, and return the one message with which it leaves, having written nothing."""
    before = everything()
    with pytest.raises(SystemExit) as left:
        main(["init", *arguments])
    assert left.value.code == 2
    assert everything() == before
    message = capsys.readouterr().err
    assert message.startswith("mhsa: ")
    return message


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["pkg/__init__.py", "pkg/nn/__init__.py", "pkg/nn/layers.py"], "pkg.nn.layers:Attention"),
        (["pkg/layers.py"], "pkg/layers.py:Attention"),
        (["src/pkg/__init__.py", "src/pkg/layers.py"], "pkg.layers:Attention"),
        (["src/pkg/layers.py"], "pkg.layers:Attention"),
        (["src/layers.py"], "src/layers.py:Attention"),
        (["src/__init__.py", "src/layers.py"], "src.layers:Attention"),
        (["my-code/__init__.py", "my-code/layers.py"], "my-code/layers.py:Attention"),
        (["pkg/__init__.py"], "pkg:Attention"),
    ],
)
def test_a_candidate_is_named_as_it_can_be_imported(here: Path, files: list[str], found: str) -> None:
    for path in files:
        put(path)
    put(files[-1], CLASS.format("Attention"))
    assert main(["init"]) == 0
    assert subject() == found


def test_what_is_no_part_of_the_project_is_no_candidate(here: Path) -> None:
    put("model.py", "try:\n    import fast\nexcept ImportError:\n    " + CLASS.format("Attention").replace("\n", "\n    "))
    put("more.py", CLASS.format("Encoder") + "class AttentionConfig:\n    pass\n")
    for path in ("tests/a.py", "pkg/test_a.py", "conftest.py", ".tox/a.py", "build/lib/a.py", "venv/lib/site-packages/a.py"):
        put(path, CLASS.format("OtherAttention"))
    put("env/pyvenv.cfg")
    put("env/a.py", CLASS.format("MHA"))
    put("old.py", "print 'Python 2'\n" + CLASS.format("Attn"))
    put("bytes.py", "\0" + CLASS.format("Attn"))
    put("odd.py", "'\\d'\n" + CLASS.format("forward"))
    assert main(["init"]) == 0
    assert subject() == "model.py:Attention"


def test_several_candidates_none_or_too_many_files_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "name a subject: mhsa init package.module:Attention" in refused(capsys)
    put("a.py", CLASS.format("SelfAttn"))
    put("b.py", CLASS.format("MHA") + CLASS.format("CrossAttention"))
    message = refused(capsys)
    assert (
        "be meant:\n  a.py:SelfAttn\n  b.py:MHA\n  b.py:CrossAttention\nname one or more: mhsa init a.py:SelfAttn;" in message
    )
    monkeypatch.setattr("mhsa.source.find_subject._MOST", 1)
    assert "more than 1 Python files" in refused(capsys)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nothing", "'nothing' names no object"),
        ("a.b:", "names no object"),
        ("a/b:C", "names no object"),
        ("model.py:no name", "names no object"),
        ("mod\nel.py:C", "names no object"),
        ("nosuch.py", "no file nosuch.py"),
        ("nosuch.py:Attention", "no file nosuch.py"),
        ("nosuch.module:Attention", "no module nosuch.module"),
        ("pkg.nosuch:Attention", "no module pkg.nosuch"),
        ("empty.nosuch:Attention", "no module empty.nosuch"),
    ],
)
def test_a_subject_that_cannot_be_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, given: str, words: str
) -> None:
    monkeypatch.syspath_prepend(str(here))  # as with python -m mhsa
    put("pkg/__init__.py")
    Path("empty").mkdir()
    message = refused(capsys, given)
    assert words in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("pkg.layers:Outer.Attention", "pkg.layers:Outer.Attention"),
        ("inner.core:Attention", "inner.core:Attention"),
        ("./pkg/layers.py:Attention", "pkg/layers.py:Attention"),
        ("pkg/layers.py", "pkg/layers.py"),
        ("torch.nn:MultiheadAttention", "torch.nn:MultiheadAttention"),
        ("pkg.native:Attention", "pkg.native:Attention"),
    ],
)
def test_a_subject_that_is_named_is_configured(here: Path, given: str, written: str) -> None:
    for path in ("pkg/__init__.py", "pkg/layers.py", "src/inner/core.py", "pkg/native.abi3.so"):
        put(path)
    assert main(["init", given]) == 0
    assert subject() == written


def test_an_absolute_path_is_written_as_a_relative_one(here: Path) -> None:
    put("pkg/layers.py")
    assert main(["init", str(here / "pkg/layers.py") + ":größe"]) == 0
    (request,) = read(Path("pyproject.toml")).requests
    assert (request.label, request.subject) == ("größe", "pkg/layers.py:größe")
