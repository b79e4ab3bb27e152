"""What is said of a machine, with a driver's tool that is not there and one that is made up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mhsa.bench.measure import machine
from mhsa.bench.measure.machine import describe_machine, one_line, series_key

GPU = "NVIDIA H100 80GB HBM3, 550.90.07, 1755, 2619, 1980, 2619, 700.00"

DESCRIBED: dict[str, str | int] = {
    "device": "cuda", "cpu": "c", "cores": 8, "threads": 1, "torch": "2.13.0", "python": "3.11.7", "os": "Linux",
    "gpu": "g", "multiprocessors": 132, "driver": "550", "cuda": "12.4", "SM clock": "1755", "memory clock": "2619",
    "maximal SM clock": "1980", "maximal memory clock": "2619", "power limit": "700.00", "other processes": 0,
}  # fmt: skip


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A function that puts an nvidia-smi on the path, alone, which answers so; the arguments it gets are in a file."""

    def put(gpu: str = GPU, processes: str = "", code: int = 0) -> Path:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
            f'case "$1" in --query-gpu=*) printf "%s\\n" "{gpu}";; *) printf "%b" "{processes}";; esac\nexit {code}\n'
        )
        tool.chmod(0o755)
        return tmp_path / "asked"

    monkeypatch.setenv("PATH", str(tmp_path))
    return put


def test_a_cpu_is_described_without_asking_for_a_gpu(smi) -> None:
    asked = smi()
    found = describe_machine("cpu", 3)
    assert not asked.exists()
    assert (found["device"], found["threads"], found["torch"]) == ("cpu", 3, torch.__version__)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert not {"gpu", "driver", "power limit", "memory"} & set(found)
    assert describe_machine("cpu", 3, keeping=True) == found | {"memory": "kept"}


def test_the_processor_is_read_where_linux_says_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 3.00GHz \nmodel name\t: other\n")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    assert describe_machine("cpu", 1)["cpu"] == "Some CPU @ 3.00GHz"


def test_a_processor_that_nobody_names_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "")
    assert describe_machine("cpu", 1)["cpu"] == "unknown"


def test_what_nvidia_smi_says_is_read(smi) -> None:
    asked = smi(processes=f"{os.getpid()}\\n17\\n18\\n17\\n")
    found = describe_machine("cuda:2", 1)
    assert (found["gpu"], found["driver"]) == ("NVIDIA H100 80GB HBM3", "550.90.07")
    assert (found["SM clock"], found["maximal SM clock"]) == ("1755", "1980")
    assert (found["memory clock"], found["maximal memory clock"], found["power limit"]) == ("2619", "2619", "700.00")
    assert found["other processes"] == 2
    assert found["device"] == "cuda"
    if not torch.cuda.is_available():  # else nvidia-smi is called with the name that torch gives
        assert all(line.endswith("--format=csv,noheader,nounits -i 2") for line in asked.read_text().splitlines())


def test_what_it_does_not_know_is_unknown_and_the_rest_is_not(smi) -> None:
    smi(gpu="Tesla T4, 535.1, [N/A], [Not Supported], 1590, 5001, [Unknown Error]")
    found = describe_machine("cuda", 1)
    assert {found[name] for name in ("SM clock", "memory clock", "power limit")} == {"unknown"}
    assert (found["gpu"], found["maximal SM clock"], found["other processes"]) == ("Tesla T4", "1590", 0)


@pytest.mark.parametrize("how", ["missing", "fails", "says something else"])
def test_without_its_answer_everything_of_the_gpu_is_unknown(smi, how: str) -> None:
    if how == "fails":
        smi(code=9)
    elif how == "says something else":
        smi(gpu="No devices were found", processes="?\\n")
    found = describe_machine("cuda:0", 1)
    ours = ("gpu", "multiprocessors", "cuda") if torch.cuda.is_available() else ()
    names = {"gpu", "driver", "SM clock", "maximal memory clock", "power limit", "multiprocessors"} - set(ours)
    assert {found[name] for name in names} == {"unknown"}
    assert found["other processes"] == (0 if how == "says something else" else "unknown")
    assert "unknown" in one_line(found)


def test_a_tool_that_hangs_is_not_waited_for(smi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(machine, "_PATIENCE", 0.2)
    assert describe_machine("cuda:0", 1)["driver"] == "unknown"


class TestSeriesKey:
    @pytest.mark.parametrize("name", ["device", "cpu", "threads", "torch", "memory", "gpu", "driver", "cuda",
                                      "maximal SM clock", "maximal memory clock", "power limit"])  # fmt: skip
    def test_what_makes_figures_incomparable_makes_another_key(self, name: str) -> None:
        assert series_key(DESCRIBED | {name: "other"}) != series_key(DESCRIBED)

    @pytest.mark.parametrize("name", ["SM clock", "memory clock", "other processes", "python", "os", "cores"])
    def test_what_comes_and_goes_does_not(self, name: str) -> None:
        assert series_key(DESCRIBED | {name: "other"}) == series_key(DESCRIBED)

    def test_it_is_the_same_in_every_process(self) -> None:
        code = f"from mhsa.bench.measure.machine import series_key; print(series_key({dict(reversed(DESCRIBED.items()))!r}))"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        assert said == series_key(DESCRIBED) == "cuda-24fc3c40"

    def test_one_line_has_what_matters(self) -> None:
        assert one_line(DESCRIBED) == (
            "g, driver 550, CUDA 12.4, limit 700.00 W, SM 1755 of 1980 MHz, memory 2619 of 2619 MHz, other processes: 0;"
            " c, 8 cores, 1 thread; torch 2.13.0, Python 3.11.7, Linux"
        )
        assert "2 threads" in one_line({"threads": 2})


def test_torch_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, mhsa.bench.measure.machine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
