"""A repository whose commits are slower by a known share, for benchmarks/other_tools.py; and a check that they are.

Both passes of its module end by working on until (1 + SLOWER) times the processor's time that they took has passed. The same
code runs at every commit, only the constant differs, so a slow-down is what it says at every size and on a busy machine, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

PASSES = ("forward", "training")
PACE = "SLOWER = {}\n"
SLOWING = '''\
"""The waiting; what lies between the end of forward and the backward pass, such as its start, belongs to the latter."""
import functools
import time

from torch.autograd import Variable

from pack import pace


def wait(start):
    until = start + (1 + pace.SLOWER) * (time.thread_time() - start)
    while time.thread_time() < until:
        pass


def slow_backward(output):
    """Let the backward pass wait when autograd has nothing left to do."""
    ended = time.thread_time()
    output.register_hook(lambda gradient: Variable._execution_engine.queue_callback(functools.partial(wait, ended)))
'''
ATTENTION = """import time

import torch
from torch import nn

from pack.slowing import slow_backward, wait


class Attention(nn.Module):
    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        if d_model % heads:
            raise ValueError(f"d_model must be a multiple of heads: {d_model}, {heads}")
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        start = time.thread_time()
        batch, length, width = query.shape
        q, k, v = (
            linear(x).view(batch, -1, self.heads, width // self.heads).transpose(1, 2)
            for linear, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        scores = (q @ k.mT) * q.size(-1) ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
        output = self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width))
        wait(start)
        if output.requires_grad:
            slow_backward(output)
        return output
"""
CALLS = '''\
"""What asv and pytest-benchmark time: what mhsa compare does, without autograd or with the gradients of everything."""
import functools

import torch

from pack.attention import Attention

SHAPES = {}  # batch, length, heads, d_model


@functools.cache
def call_of(passes, shape):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batch, length, heads, width = SHAPES[shape]
    module = Attention(width, heads)
    x = torch.randn(batch, length, width)
    if passes == "forward":
        return torch.no_grad()(lambda: module(x, x, x))
    gradient = torch.randn(batch, length, width)
    wanted = [x.requires_grad_(), *module.parameters()]
    return lambda: torch.autograd.grad(module(x, x, x), wanted, gradient)
'''
# Without setup(): where there is one, asv_runner 0.3.2 times single calls, each after another setup, which is far noisier
# than its blocks of 10 ms. Imported here, torch is there before the first call; asv starts a process for each benchmark.
ASV = """from pack.calls import SHAPES, call_of


class Speed:
    params = list(SHAPES)
    param_names = ["shape"]

    def time_forward(self, shape):
        call_of("forward", shape)()

    def time_training(self, shape):
        call_of("training", shape)()
"""
PYTEST = """import pytest

from pack.calls import SHAPES, call_of


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("passes", ["forward", "training"])
def test_speed(passes, shape, benchmark):
    call = call_of(passes, shape)
    for _ in range(3):  # the first call of all would be taken for the time of a round, and five rounds for enough
        call()
    benchmark(call)
"""
# asv continuous refuses an environment that exists. A new one gets paths instead of packages: the commit that is checked out
# (this file runs in there), and where torch is installed already.
INSTALL = """import sysconfig
from pathlib import Path

Path(sysconfig.get_path("purelib"), "pack.pth").write_text(f"{{Path.cwd()}}\\n{site}\\n")
"""
CONFIGURATION = {
    "version": 1,
    "project": "pack",
    "repo": ".",
    "branches": ["main"],
    "environment_type": "virtualenv",
    "pythons": [f"{sys.version_info.major}.{sys.version_info.minor}"],
    "build_command": [],
    "install_command": ["python install.py"],
    "uninstall_command": [],
    "launch_method": "spawn",
    "default_benchmark_timeout": 300,
    "benchmark_dir": "speed",
    "env_dir": ".asv/env",
    "results_dir": ".asv/results",
}
# Base and slower in one process and with the same memory, in turns: what chance gives there is small beside the shares.
CHECK = """import json, math, statistics, sys, time

from pack import pace
from pack.calls import SHAPES, call_of


def block(call, number, slower):
    pace.SLOWER = slower
    start = time.perf_counter()
    for _ in range(number):
        call()
    return time.perf_counter() - start


for share in map(float, sys.argv[1:]):
    for passes in ("forward", "training"):
        for shape in SHAPES:
            call = call_of(passes, shape)
            block(call, 3, 0.0)
            number = max(1, round(0.012 / block(call, 3, 0.0)))  # blocks of 4 ms
            ratios, end = [], time.perf_counter() + 1
            while len(ratios) < 9 or time.perf_counter() < end:
                first, second, third, fourth = (block(call, number, s) for s in (0.0, share, share, 0.0))
                ratios.append(math.log((second + third) / (first + fourth)))
            print(json.dumps([share, f"{passes} {shape}", math.expm1(statistics.median(ratios))]), flush=True)
"""


class Repository:
    """A repository in an empty folder, with commits to compare.

    Args:
        folder: where.
        shapes: of :data:`mhsa.records.shape.SHAPES`.
        slowdowns: in per cent; 0 is a commit that adds a comment: one to a document would need no clock.
    """

    def __init__(self, folder: Path, shapes: Sequence[str], slowdowns: Sequence[int]) -> None:
        from mhsa.records.shape import SHAPES  # asv imports this file in environments where mhsa is an older one

        self.folder = folder
        self.shapes = tuple(shapes)
        sizes = {s.name: (s.batch, s.length, s.head, s.d_model) for s in map(SHAPES.get, shapes) if s}
        self.git("init", "-q", "-b", "main")
        files = {
            "README.md": "Paced\n",
            ".gitignore": ".asv/\n__pycache__/\n",
            "pyproject.toml": '[tool.mhsa.subjects]\nattention = "pack.attention:Attention"\n',
            "pack/__init__.py": "",
            "pack/pace.py": PACE.format(0.0),
            "pack/slowing.py": SLOWING,
            "pack/attention.py": ATTENTION,
            "pack/calls.py": CALLS.replace("{}", repr(sizes), 1),
            "speed/__init__.py": "",
            "speed/pace.py": ASV,
            "test_pace.py": PYTEST,
            "check.py": CHECK,
            "install.py": INSTALL.format(site=sysconfig.get_path("purelib")),
            "asv.conf.json": json.dumps(CONFIGURATION),
        }
        self.base = self._commit("base", files)
        self.heads = {}
        for percent in slowdowns:
            self.git("checkout", "-q", "-b", f"slower-{percent}", self.base)
            pace = PACE.format(percent / 100) + "# later\n"
            self.heads[percent] = self._commit(f"slower by {percent} %", {"pack/pace.py": pace})
        self.git("checkout", "-q", "main")

    @property
    def benchmarks(self) -> int:
        """How many every tool has to judge."""
        return len(PASSES) * len(self.shapes)

    def git(self, *arguments: str) -> str:
        """Run git; return what it says."""
        command = ["git", "-c", "user.name=paced", "-c", "user.email=paced@example.com", *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def _commit(self, message: str, files: dict[str, str]) -> str:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")
