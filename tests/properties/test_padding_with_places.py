"""A causal module that rotates and takes a mask of keys, [B, Tk], is not called wrong for what no such mask can say."""

from pathlib import Path

import pytest

from mhsa.commands.cli import main

PADDED = """
import torch
from torch import nn


def turned(x):
    length, width = x.shape[-2:]
    angles = torch.outer(torch.arange(length).to(x), 10000.0 ** -(torch.arange(0, width, 2).to(x) / width)).repeat(1, 2)
    one, other = x.chunk(2, -1)
    return x * angles.cos() + torch.cat([-other, one], -1) * angles.sin()


class Padded(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, attention_mask=None):
        split = lambda map: map(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        q, k, v = turned(split(self.q_proj)), turned(split(self.k_proj)), split(self.v_proj)
        seen = torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril()
        if attention_mask is not None:
            seen = seen & attention_mask[:, None, None, :]
        scores = (q @ k.mT / q.size(-1) ** 0.5).masked_fill(~seen, -torch.inf)
        return self.out_proj((scores.softmax(-1).nan_to_num(0.0) @ v).transpose(1, 2).flatten(2))


class QueriesAtZero(Padded):
    def forward(self, x, attention_mask=None):
        global turned
        kept, calls = turned, []
        turned = lambda y: y if not calls.append(1) and len(calls) == 1 else kept(y)
        try:
            return super().forward(x, attention_mask)
        finally:
            turned = kept
"""
DECLARED = ["--contract", "rotary=half", "--contract", "causal=top-left", "--contract", "mask=allowed"]


@pytest.mark.parametrize(("name", "code"), [("Padded", 0), ("QueriesAtZero", 1)])
def test_what_a_mask_of_keys_cannot_say_is_no_violation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    (tmp_path / "padded.py").write_text(PADDED)
    subject = f"{tmp_path / 'padded.py'}:{name}"
    keyword = "only_distances_matter or output_without_mask"
    assert main(["verify", subject, *DECLARED, "-k", keyword, "--no-diagnosis", "--no-color"]) == code
    shown = capsys.readouterr().out
    assert ("FAILED oracle.output_without_mask" in shown) == bool(code)
    assert "FAILED rotary.only_distances_matter" not in shown
