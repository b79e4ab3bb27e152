"""Somebody's repository with attention in several forms, and a property judged of it with its script."""

from pathlib import Path

from mhsa.introspect.resolve import understand
from mhsa.judge.finding import explain, find
from mhsa.judge.property_modules import Effort, import_properties
from mhsa.judge.script.recorded_calls import Recorder
from mhsa.judge.script.standalone_script import write_script
from mhsa.judge.strategies import judging
from mhsa.records.case_files.case_json import decode, encode
from mhsa.records.catalogue import properties_folder
from mhsa.records.request import Request
from mhsa.subject import check

LAYERS = """
import torch
from torch import nn

from .scale import SCALE


class Attention(nn.Module):
    def __init__(self, num_heads, d_model, bias=True):
        super().__init__()
        self.num_heads, self.d_model = num_heads, d_model
        self.q, self.k, self.v, self.out_proj = (nn.Linear(d_model, d_model, bias=bias) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        pairs = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (project(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for project, x in pairs)
        scores = q @ k.transpose(-2, -1) * SCALE
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(dim=-1).nan_to_num(0.0)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2)), weights


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Attention(2, 8), Attention(2, 8)])


class Doubled(nn.MultiheadAttention):
    def __init__(self, embed_dim, num_heads):
        super().__init__(embed_dim, num_heads, batch_first=True)

    def forward(self, query, key, value, attn_mask=None):
        mask = None if attn_mask is None else ~attn_mask.repeat_interleave(self.num_heads, 0)
        return super().forward(2 * query, key, value, attn_mask=mask)[0]


def build():
    return Model()


def later():
    return nn.MultiheadAttention(8, 2)


def one():
    return Attention(1, 4, bias=False)


model, part = Model(), Attention(2, 4)
"""

KERNELS = """
import torch
from torch import nn


def attention(q, k, v, dropout=None, mask=None):
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    return weights @ v, weights


def raising(q, k, v, mask=None):
    if mask is not None and not mask.all():
        raise RuntimeError("not today")
    return attention(q, k, v, mask=mask)


class Core(nn.Module):
    def forward(self, query, key, value, mask=None):
        return attention(query, key, value, mask=mask)[0]
"""

ADAPTED = """
import mhsa
from toys.layers import Attention


class Adapted(mhsa.Adapter):
    def build(self, head, d_model):
        return Attention(head, d_model)

    def call(self, module, query, key, value, mask):
        return module(query=query, key=key, value=value, mask=mask)[0]
"""


def project(folder: Path) -> Path:
    """Write somebody's repository with everything in it wrong: no score is divided by the root of d_k."""
    (folder / "src" / "toys").mkdir(parents=True)
    (folder / "src" / "toys" / "__init__.py").write_text("")
    (folder / "src" / "toys" / "scale.py").write_text("SCALE = 1.0\n")
    (folder / "src" / "toys" / "layers.py").write_text(LAYERS)
    (folder / "kernels.py").write_text(KERNELS)
    (folder / "odd").mkdir()
    (folder / "odd" / "types.py").write_text(KERNELS.partition("def raising")[0])
    (folder / "odd" / "my-kernel.py").write_text("from kernels import Core\n\n\nclass Own(Core):\n    pass\n")
    (folder / "adapted.py").write_text(ADAPTED)
    (folder / "pyproject.toml").write_text(
        '[tool.mhsa.subjects]\nlayer = { subject = "toys.layers:Attention", arguments = { bias = false } }\n'
        'kernel = "kernels.py:attention"\n'
    )
    return folder


def replayed(request: Request, identity: str, drawn: dict, path: Path) -> str:
    """Judge in this process by one property on one case, as replay does in another; return the reason of the failure."""
    subject = understand(request)
    family, _, name = identity.partition(".")
    file = properties_folder() / f"test_{family}.py"
    test = getattr(import_properties(file, Effort(replay=decode(encode(drawn)))), f"test_{name}")
    error = None
    with check.recording() as record, judging(subject):
        record.recorder = Recorder()
        try:
            test(subject=subject)
        except check.Violation as violation:
            error = violation
    finding = find(record, error) | {"id": identity}
    assert finding["outcome"] in ("pass", "fail"), explain(finding, request.label)
    write_script(path, request, subject, identity, "a law.", finding["reason"], record.recorder.calls)
    return finding["reason"]
