"""A repository with a right attention module in a package, for tests of what compares or follows commits."""

import subprocess
from pathlib import Path

MODULE = """
import math

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        from pack.scale import scale  # lazily: each commit must find its own

        batch, length, width = query.shape
        q, k, v = (
            linear(x).view(batch, -1, self.heads, width // self.heads).transpose(1, 2)
            for linear, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        scores = (q @ k.mT) * scale(q.size(-1))
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width))
"""
# The same numbers, with more memory.
MEMORY = MODULE.replace("        return self.o", "        kept = [scores + n for n in range(8)]\n        return self.o")
SCALE = "import math\n\n\ndef scale(d_k):\n    return 1 / math.sqrt(d_k)\n"


class Repository:
    def __init__(self, folder: Path, *, configured: bool = True) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        if configured:
            self.commit("configuration", {"pyproject.toml": '[tool.mhsa.subjects]\natt = "pack.attention:Attention"\n'})
        self.commit("module", {"pack/__init__.py": "", "pack/attention.py": MODULE, "pack/scale.py": SCALE})

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def commit(self, message: str, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def worktrees(self) -> list[str]:
        """What is left of commits that were checked out."""
        return self.git("worktree", "list").splitlines()[1:]


# Options of mhsa history that measure as little as can be.
QUICK_HISTORY = ["--shape", "exercise", "--pass", "forward", "--budget", "0.05", "--no-color"]
