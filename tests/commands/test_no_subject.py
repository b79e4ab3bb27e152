"""Without a subject nothing is verified: the exit code is 2, and the message says how one is named."""

from pathlib import Path

import pytest

from mhsa.commands.cli import main

CLASS = "class {}:\n    def forward(self, x):\n        return x\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main([*arguments])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mhsa: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("arguments", [["verify"], ["verify", "--strict"], ["verify", "--exit-zero"], ["bench"]])
def test_an_empty_folder_is_no_verdict(here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    said = refused(capsys, *arguments)
    assert "no subject is named, and no pyproject.toml here or above has [tool.mhsa.subjects]" in said
    assert f"`mhsa {arguments[0]} path/file.py` or `mhsa {arguments[0]} package.module:Attention`" in said
    assert "`mhsa init`" in said


@pytest.mark.parametrize("text", ["[tool.mhsa]\n", '[tool.mhsa]\nprofile = "ci"\n', "[tool.mhsa.subjects]\n"])
@pytest.mark.parametrize("command", ["verify", "bench"])
def test_a_configuration_without_subjects_is_no_verdict(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, command: str
) -> None:
    Path("pyproject.toml").write_text(text)
    assert f"{here / 'pyproject.toml'} configures none in [tool.mhsa.subjects]" in refused(capsys, command)


def test_a_file_without_our_table_is_no_verdict(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.toml").write_text('[project]\nname = "x"\n')
    assert "other.toml configures none" in refused(capsys, "verify", "--config", "other.toml")


def test_what_looks_like_an_attention_is_suggested_without_being_imported(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("model.py").write_text(f"raise SystemExit(0)\n{CLASS.format('Attention')}{CLASS.format('Encoder')}")
    Path("other.py").write_text("".join(CLASS.format(f"Attention{n}") for n in range(5)))
    Path("broken.py").write_text("class Attention: def forward(")
    said = refused(capsys, "verify")
    assert "perhaps `mhsa verify model.py:Attention` or `mhsa verify other.py:Attention0`" in said
    assert "Encoder" not in said
    assert "Attention2" not in said


@pytest.mark.parametrize("arguments", [["verify", ""], ["verify", "model.py", " "], ["diagnose", ""], ["bench", ""]])
def test_an_empty_name_is_no_subject(here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    Path("pyproject.toml").write_text('[tool.mhsa.subjects]\nmine = "m:A"\n')
    assert "names no subject; write package.module:attr, or path/file.py[:attr]" in refused(capsys, *arguments)


@pytest.mark.parametrize("name", [[], [""], ["mhsa:MultiHeadAttention", ""]])
def test_the_bare_engine_needs_a_subject_too(monkeypatch: pytest.MonkeyPatch, name: list[str]) -> None:
    from mhsa.judge.loaded_subjects import _requests

    class Config:
        def getoption(self, option: str) -> object:
            return {"--attention": name, "--attention-dtype": []}.get(option)

    with pytest.raises(pytest.Collector.CollectError, match="none is named: pytest --attention package"):
        _requests(Config())  # type: ignore[arg-type]
