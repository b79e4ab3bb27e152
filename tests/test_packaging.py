"""The wheel works without a checkout: it carries the properties, the templates and the page's parts."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("mhsa-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_carries_the_properties_and_nothing_beside_mhsa(unpacked: Path) -> None:
    ours = {p.name for p in (ROOT / "properties").glob("*.py")}
    assert {p.name for p in (unpacked / "mhsa" / "properties").glob("*.py")} == ours
    assert {p.name for p in unpacked.iterdir()} == {"mhsa", "mhsa-0.1.0.dist-info"}


def test_it_verifies_a_users_file_outside_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text((ROOT / "tests" / "corpus" / "wrong" / "no_scale.py").read_text())
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    where = [sys.executable, "-c", "import mhsa.catalogue as c; print(c.properties_folder())"]
    folder = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert folder.strip() == str(unpacked / "mhsa" / "properties")
    command = [sys.executable, "-m", "mhsa", "verify", "model.py", "-k", "oracle"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "violated: 2 of 2 properties fail" in done.stdout


def test_it_carries_everything_that_lies_beside_the_code(unpacked: Path) -> None:
    beside = {p.relative_to(ROOT) for p in (ROOT / "mhsa").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert {p.suffix for p in beside} >= {".json", ".html", ".css", ".js", ".txt"}
    assert [str(p) for p in beside if not (unpacked / p).is_file()] == []


def test_a_repository_is_set_up_and_a_bug_of_one_character_is_annotated_in_it(unpacked: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked), "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": ""}
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    module = tmp_path / "pack" / "attention.py"
    module.write_text((ROOT / "tests" / "corpus" / "right" / "einsum_parameters.py").read_text())

    def mhsa(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mhsa", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert mhsa("init").returncode == 0
    done = mhsa("verify", "--strict", "-k", "oracle")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::error" not in done.stdout
    right = module.read_text()
    module.write_text(right.replace("s.softmax(-1)", "s.softmax(-2)"))
    assert module.read_text() != right
    done = mhsa("verify", "--strict", "-k", "oracle", "--no-diagnosis")
    assert done.returncode == 1
    assert "::error file=pack/attention.py,line=" in done.stdout
