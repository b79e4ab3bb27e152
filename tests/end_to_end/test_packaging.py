"""The wheel works without a checkout, and what is installed sets a user's repository up: its workflow runs as it is written."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from tests.helpers.places import ROOT


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("mhsa_verify-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_carries_the_properties_and_nothing_beside_mhsa(unpacked: Path) -> None:
    ours = {p.name for p in (ROOT / "properties").glob("*.py")}
    assert {p.name for p in (unpacked / "mhsa" / "properties").glob("*.py")} == ours
    assert {p.name for p in unpacked.iterdir()} == {"mhsa", "mhsa_verify-0.1.0.dist-info"}


def test_it_carries_everything_that_lies_beside_the_code(unpacked: Path) -> None:
    beside = {p.relative_to(ROOT) for p in (ROOT / "mhsa").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert {p.suffix for p in beside} >= {".json", ".html", ".css", ".js", ".txt"}
    assert [str(p) for p in beside if not (unpacked / p).is_file()] == []


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that has what mhsa needs, and mhsa by pip install PATH: nothing in it knows the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for entry in Path(torch.__file__).parent.parent.iterdir():  # as links: torch alone is a gigabyte
        if "mhsa" not in entry.name and entry.suffix != ".pth" and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "-q", "--no-index", "--no-build-isolation", str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    script = folder / "bin" / "pytest"
    script.write_text(f"#!{python}\nimport sys\nimport pytest\n\nsys.exit(pytest.console_main())\n")
    script.chmod(0o755)
    return folder


def test_it_verifies_a_users_file_outside_the_checkout(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text((ROOT / "tests" / "corpus" / "wrong" / "no_scale.py").read_text())
    python = str(environment / "bin" / "python")
    code = "import json, mhsa.records.catalogue as c; from mhsa.records.distribution import origin as o; "
    code += "print(json.dumps([str(c.properties_folder()), o().folder, o().editable]))"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    properties, folder, editable = json.loads(done.stdout)
    assert Path(properties).is_relative_to(environment)
    assert (folder, editable) == (str(ROOT), False), "hints name what was installed"
    command = [python, "-m", "mhsa", "verify", "model.py", "-k", "oracle", "--no-diagnosis"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "violated: 2 of 2 properties fail" in done.stdout


def test_from_an_empty_repository_to_a_bug_that_the_workflow_as_it_is_written_shows(environment: Path, tmp_path: Path) -> None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "PYTEST_", "PYTHONPATH"))}
    variables |= {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "GITHUB_ACTIONS": "true", "COLUMNS": "200"}
    variables |= {"PIP_NO_INDEX": "1", "PYTEST_ADDOPTS": "-k oracle -p no:cacheprovider"}
    file = tmp_path / ".github" / "workflows" / "attention.yml"

    def run(name: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run a step of the workflow as GitHub does, or else a command, with further options."""
        workflow = yaml.safe_load(file.read_text()) if file.exists() else {"env": {}, "jobs": {"attention": {"steps": []}}}
        steps = {step["name"]: step["run"] for step in workflow["jobs"]["attention"]["steps"] if "run" in step}
        assert file.exists() == (name in steps)
        command, given = ["bash", "-e", "-c", " ".join([steps.get(name, name), *more])], variables | workflow["env"]
        return subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=300, check=False)

    module = tmp_path / "toy" / "layers.py"
    module.parent.mkdir()
    (module.parent / "__init__.py").touch()
    module.write_text(right := (ROOT / "tests" / "corpus" / "right" / "einsum_parameters.py").read_text())
    done = run("mhsa init --ci")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "to be filled in: MHSA_INSTALL in .github/workflows/attention.yml" in done.stdout

    done = run("Install mhsa")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("::error::MHSA_INSTALL is empty: fill in")
    file.write_text(file.read_text().replace('MHSA_INSTALL: ""', 'MHSA_INSTALL: "mhsa-verify==0.1.0"'))
    for step in ("Install", "Install mhsa", "Verify the attention", "Run the properties as tests"):
        done = run(step)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "::" not in done.stdout.replace("test_attention_properties.py::", "")
    for report in ("mhsa.xml", "mhsa.html"):
        assert (tmp_path / report).stat().st_size > 0
        (tmp_path / report).unlink()

    module.write_text(wrong := right.replace("s.softmax(-1)", "s.softmax(-2)"))
    assert wrong != right
    done = run("Verify the attention", "-k oracle", "--no-diagnosis")  # which takes a tenth of the time
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = (n for n, text in enumerate(right.splitlines(), 1) if "def forward" in text)
    assert re.search(rf"::error file=toy/layers.py,line={line},title=\w+%3A oracle.output_without_mask::", done.stdout)
    assert (tmp_path / "mhsa.xml").exists()
    assert (tmp_path / "mhsa.html").exists()
    done = run("Run the properties as tests")
    assert done.returncode == 1, done.stdout + done.stderr
    assert " failed" in done.stdout
