"""The machine that figures are from: what must be stated with them, and which of them may be compared."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mhsa.run.workers import bound_cores

UNKNOWN = "unknown"
_CPUINFO = Path("/proc/cpuinfo")
_PATIENCE = 10.0  # seconds for nvidia-smi, which takes one or two where the driver has to be woken up
# What is asked of nvidia-smi, by the names that the description has for it; clocks are in MHz, power in W.
_ASKED = {
    "gpu": "name",
    "driver": "driver_version",
    "SM clock": "clocks.sm",
    "memory clock": "clocks.mem",
    "maximal SM clock": "clocks.max.sm",
    "maximal memory clock": "clocks.max.mem",
    "power limit": "power.limit",
}
# What two series must have in common. Clocks of the moment are not here, and nothing that says how busy the machine was.
# The processor is, on a GPU too: it launches the kernels, and at small sizes that is what takes the time.
IN_COMMON = (
    "device", "cpu", "threads", "torch", "memory",
    "gpu", "driver", "cuda", "maximal SM clock", "maximal memory clock", "power limit",
)  # fmt: skip


def describe_machine(device: str, threads: int, *, keeping: bool = False) -> dict[str, str | int]:
    """Return what must be stated with every figure; an item that cannot be read is "unknown".

    Args:
        device: where the figures are taken, as torch writes it: "cpu" or "cuda:0".
        threads: how many torch uses.
        keeping: whether the process keeps the memory that it frees (:func:`mhsa.run.process_limits.keep_memory`).

    Returns:
        "device", without a GPU's number; "cpu", the model; "cores", those that this process may use; "threads", "torch",
        "python" and "os"; on a CPU "memory", "kept", where it is. On CUDA also "gpu", its name; "multiprocessors", "driver" and
        "cuda", versions; "SM clock" and "memory clock", now, and their "maximal" ones, in MHz; "power limit" in W; and "other
        processes", how many others compute on it. In a container with process numbers of its own, this process is one of those.
    """
    import torch

    description: dict[str, str | int] = {
        "device": device.partition(":")[0],
        "cpu": _cpu(),
        "cores": _cores(),
        "threads": threads,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "os": platform.platform(),
    }
    if keeping and description["device"] == "cpu":
        description["memory"] = "kept"
    return description | _gpu(device) if description["device"] == "cuda" else description


def series_key(description: Mapping[str, str | int]) -> str:
    """Return a short name that two descriptions share if their figures may be compared, as "cpu-0f3a91c2" say."""
    common = {name: description[name] for name in IN_COMMON if name in description}
    digest = hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest()
    return f"{description.get('device', UNKNOWN)}-{digest[:8]}"  # of a handful of machines no two will share 32 bits


def one_line(description: Mapping[str, str | int]) -> str:
    """Return the description for a header."""

    def value(name: str) -> str:
        return str(description.get(name, UNKNOWN))

    parts = [f"{value('cpu')}, {value('cores')} cores, {value('threads')} {'thread' if value('threads') == '1' else 'threads'}"]
    if "gpu" in description:
        parts.insert(
            0,
            f"{value('gpu')}, driver {value('driver')}, CUDA {value('cuda')}, limit {value('power limit')} W,"
            f" SM {value('SM clock')} of {value('maximal SM clock')} MHz,"
            f" memory {value('memory clock')} of {value('maximal memory clock')} MHz,"
            f" other processes: {value('other processes')}",
        )
    parts.append(f"torch {value('torch')}, Python {value('python')}, {value('os')}")
    return "; ".join(parts)


def _cpu() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+?)\s*$", _CPUINFO.read_text(errors="replace"), re.M)
        if found:
            return found[1]
    return platform.processor() or platform.machine() or UNKNOWN


def _cores() -> int | str:
    return bound_cores() or UNKNOWN


def _gpu(device: str) -> dict[str, str | int]:
    """What is known of a GPU: from torch what belongs to this process, and from the driver's tool the rest."""
    import torch

    found: dict[str, str | int] = dict.fromkeys((*_ASKED, "multiprocessors"), UNKNOWN)
    number = device.partition(":")[2] or "0"
    which = number
    with contextlib.suppress(Exception):  # torch without CUDA, or no driver: each fails in its own way
        properties = torch.cuda.get_device_properties(torch.device("cuda", int(number)))
        found |= {"gpu": properties.name, "multiprocessors": properties.multi_processor_count}
        which = f"GPU-{properties.uuid}"  # torch's numbers are not the tool's where only some of the GPUs are visible
    answers = _answer_of_nvidia_smi(f"--query-gpu={','.join(_ASKED.values())}", which)
    if answers and len(answers[0]) == len(_ASKED):
        found |= {name: value for name, value in zip(_ASKED, answers[0], strict=True) if value != UNKNOWN}
    processes = _answer_of_nvidia_smi("--query-compute-apps=pid", which)
    found["cuda"] = torch.version.cuda or UNKNOWN
    found["other processes"] = UNKNOWN if processes is None else len(_others(processes))
    return found


def _others(processes: list[list[str]]) -> set[str]:
    return {row[0] for row in processes if row[0].isdigit()} - {str(os.getpid())}


def _answer_of_nvidia_smi(query: str, which: str) -> list[list[str]] | None:
    """Return the rows of nvidia-smi's answer on one GPU; None if there is none."""
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits", "-i", which]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return [[_value(cell) for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]


def _value(cell: str) -> str:
    """What the tool says, unless that is "[N/A]", "[Not Supported]" or the like."""
    cell = cell.strip()
    return cell if cell and not cell.startswith("[") and cell != "N/A" else UNKNOWN
