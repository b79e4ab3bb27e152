"""The plugin inside somebody else's pytest: light, harmless, and the same judge as the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mhsa.records.catalogue import properties_folder


def run_pytest(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_judge_is_the_same(corpus: Path, tmp_path: Path) -> None:
    done = run_pytest("--attention", corpus / "wrong" / "no_scale.py", properties_folder(), "-k", "oracle", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 skipped" in done.stdout
    assert "2 failed" in done.stdout
    assert "output[0, 0, " in done.stdout
    assert "smallest case: B=1 H=1 Tq=1 Tk=2 d_k=2" in done.stdout


def test_a_warning_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "warns.py").write_text(
        "import warnings\nfrom mhsa import MultiHeadAttention\nclass Warns(MultiHeadAttention):\n"
        "    def forward(self, query, key, value, mask=None):\n        warnings.warn('old')\n"
        "        return super().forward(query, key, value, mask)\n"
    )
    done = run_pytest("-W", "error", "--attention", "warns.py", properties_folder(), "-k", "oracle", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_a_subject_that_cannot_be_judged_exits_2(tmp_path: Path) -> None:
    done = run_pytest("--attention", "nosuch:thing", properties_folder(), cwd=tmp_path)
    assert done.returncode == 2
    assert "1 failed" in done.stdout
    assert "No module named 'nosuch'" in done.stdout


def test_it_lives_beside_tests_and_packages_of_the_same_names(corpus: Path, tmp_path: Path) -> None:
    """A user has a package called properties, test files called as ours, and Hypothesis settings of their own."""
    (tmp_path / "properties").mkdir()
    (tmp_path / "properties" / "__init__.py").write_text("VALUE = 7\n")
    (tmp_path / "properties" / "test_masks.py").write_text("def test_ours():\n    assert True\n")
    (tmp_path / "conftest.py").write_text(
        "import hypothesis\nhypothesis.settings.register_profile('mine', max_examples=3)\n"
        "hypothesis.settings.load_profile('mine')\n"
    )
    (tmp_path / "test_masks.py").write_text(
        "import hypothesis, properties\nfrom hypothesis import strategies as st\nseen = []\n"
        "@hypothesis.given(st.integers())\ndef test_few(x):\n    seen.append(x)\n"
        "def test_settings():\n    assert properties.VALUE == 7\n    assert len(seen) <= 3\n"
    )
    mine, theirs = properties_folder() / "test_masks.py", corpus / "right" / "plain_function.py"
    done = run_pytest("test_masks.py", "properties", mine, "--attention", theirs, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "11 passed, 2 skipped" in done.stdout


@pytest.mark.parametrize(
    "module", ["mhsa", "mhsa.judge.plugin", "mhsa.commands.cli", "mhsa.run.runner", "mhsa.records.catalogue"]
)
def test_start_up_is_light(module: str) -> None:
    heavy = "{'torch', 'numpy', 'hypothesis', 'rich'}"
    code = f"import sys, {module}; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_ordinary_pytest_run_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(
        "import sys\ndef test_light():\n    assert 'mhsa.judge.plugin' in sys.modules\n"
        "    assert not {'torch', 'numpy', 'mhsa.judge.judge'} & set(sys.modules)\n"
    )
    done = run_pytest("-q", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_that_test_can_fail(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text("import sys, torch\ndef test_light():\n    assert 'torch' not in sys.modules\n")
    assert run_pytest("-q", cwd=tmp_path).returncode == 1
