"""asv's configuration is what its traps demand, and its benchmarks are there for old commits, too."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest

from mhsa.bench.measure.measurement import KNOWN, PASSES
from mhsa.bench.tools.asv_suite import Suite
from mhsa.records.shape import SHAPES
from tests.helpers.places import ROOT


def load():
    spec = importlib.util.spec_from_file_location("benchmarks_attention", ROOT / "benchmarks" / "attention.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_name_what_there_is() -> None:
    names, passes, shapes, dtypes, devices = load().Attention.params
    assert set(names) == set(KNOWN)
    assert tuple(passes) == PASSES
    assert set(shapes) == set(SHAPES)
    assert (dtypes, devices) == (["float32", "bfloat16"], ["cpu", "cuda"])


def test_a_commit_without_benchmarks_is_not_applicable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mhsa.asv", None)  # as if it could not be imported
    old = load().Attention()
    assert old.setup_cache() == {}
    with pytest.raises(NotImplementedError, match="n/a: this commit has no benchmarks"):
        old.setup({}, "reference", "forward", "exercise", "float32", "cpu")
    tracks = {name for name in dir(Suite) if name.startswith("track_")}
    assert {name for name in dir(old) if name.startswith("track_")} == tracks


def test_looking_a_figure_up_imports_no_torch() -> None:
    code = "import sys, benchmarks.attention; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_file_for_pytest_benchmark_is_that_of_mhsa_init() -> None:
    assert (ROOT / "benchmarks" / "test_speed.py").read_text() == (
        ROOT / "mhsa" / "commands" / "init_files" / "templates" / "pytest_benchmark.py.txt"
    ).read_text()


def test_asvs_configuration() -> None:
    text = re.sub(r"^\s*//.*$", "", (ROOT / "asv.conf.json").read_text(), flags=re.MULTILINE)
    configuration = json.loads(text)
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    # mhsa is installed without its dependencies for each commit; these are what the benchmarks import of them.
    assert configuration["matrix"]["req"] == {name: [pinned[name]] for name in ("torch", "numpy", "hatchling", "pytest")}
    assert all("--no-deps" in configuration[key][0] for key in ("build_command", "install_command"))
    # What commits from before and after the distribution's new name have installed.
    assert configuration["uninstall_command"][0].endswith(" uninstall -y mhsa-verify mhsa")
    assert configuration["launch_method"] == "forkserver"
    assert configuration["branches"] == ["HEAD"]
    assert (ROOT / "benchmarks" / "__init__.py").is_file()
