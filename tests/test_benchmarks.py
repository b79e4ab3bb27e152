"""The benchmarks run, and asv's configuration is what its traps demand."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def load():
    spec = importlib.util.spec_from_file_location("benchmarks_modules", ROOT / "benchmarks" / "modules.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("implementation", load().Module.params[0])
def test_each_benchmark_runs_once(implementation: str) -> None:
    threads = torch.get_num_threads()
    try:
        benchmark = load().Module()
        benchmark.setup(implementation, "exercise", "cpu")
        benchmark.time_forward(implementation, "exercise", "cpu")
        benchmark.time_forward_backward(implementation, "exercise", "cpu")
        assert benchmark.x.grad.abs().max() > 0
    finally:
        torch.set_num_threads(threads)


def test_no_gpu_is_not_applicable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NotImplementedError, match="no CUDA device"):
        load().Module().setup("reference", "exercise", "cuda")


def test_asvs_configuration() -> None:
    text = re.sub(r"^\s*//.*$", "", (ROOT / "asv.conf.json").read_text(), flags=re.MULTILINE)
    configuration = json.loads(text)
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert configuration["matrix"]["req"] == {name: [pinned[name]] for name in ("torch", "numpy", "hatchling")}
    assert all("--no-deps" in configuration[key][0] for key in ("build_command", "install_command"))
    assert configuration["launch_method"] == "spawn"
    assert configuration["branches"] == ["HEAD"]
    assert (ROOT / "benchmarks" / "__init__.py").is_file()
