"""A subject and slow-downs of it, each at one known line: the marked one of head, or of base where a line is taken away.

Every change also adds a comment above the class and a blank line in front of ``forward``, so that all lines have moved.
"""

from __future__ import annotations

from dataclasses import dataclass

MARK = "  # <-"
SUBJECT = """
import io
import math

import torch
from torch import nn

LOG = io.StringIO()


class Attention(nn.Module):
    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads, self.d_k = heads, d_model // heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))
        self.scale = 1 / math.sqrt(self.d_k)

    def forward(self, query, key, value, mask=None):
        q = self.split(self.q(query))
        k = self.split(self.k(key))
        v = self.split(self.v(value))
        q = q * self.scale
        k = k.contiguous()
        z = self.attend(q, k, v, mask)
        z = z.transpose(1, 2).reshape(query.shape)
        return self.o(z)

    def split(self, x):
        batch, length, _ = x.shape
        return x.view(batch, length, self.heads, self.d_k).transpose(1, 2)

    def attend(self, q, k, v, mask):
        scores = q @ k.transpose(-2, -1)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1)
        return weights @ v
"""


@dataclass(frozen=True)
class SlowDown:
    """A slow-down.

    Attributes:
        name: what is done.
        old: lines of the subject.
        new: what head has instead; the line that is to be named ends with :data:`MARK`.
        gone: whether the line that is to be named is one of base that head does not have; it is then marked in ``old``.
    """

    name: str
    old: str
    new: str
    gone: bool = False

    @property
    def head(self) -> str:
        """The text of head."""
        old = self.old.replace(MARK, "")
        assert SUBJECT.count(old) == 1, self.name
        text = SUBJECT.replace(old, self.new)
        text = text.replace("class Attention", "# Heads are split and joined by views.\nclass Attention")
        return text.replace("    def forward", "\n    def forward").replace(MARK, "")

    @property
    def line(self) -> str:
        """The text of the line that is to be named; "" where there is none."""
        marked = [line for line in (self.old if self.gone else self.new).splitlines() if line.endswith(MARK)]
        return marked[0].removesuffix(MARK).strip() if marked else ""


_SCORES = "        scores = q @ k.transpose(-2, -1)\n"
_WEIGHTS = "        weights = scores.softmax(-1)\n"
_RETURN = "        return weights @ v\n"
_SPLIT_Q = "        q = self.split(self.q(query))\n"
_ATTEND = "        z = self.attend(q, k, v, mask)\n"

SLOW_DOWNS = (
    SlowDown("a clone", _WEIGHTS, f"        scores = scores.clone(){MARK}\n{_WEIGHTS}"),
    SlowDown(
        "copies of everything",
        _ATTEND,
        f"        q, k, v = (t.mT.contiguous().mT.clone().contiguous() for t in (q, k, v)){MARK}\n{_ATTEND}",
    ),
    SlowDown(
        "the scores in float64", _SCORES, f"        scores = (q.double() @ k.double().transpose(-2, -1)).to(q.dtype){MARK}\n"
    ),
    SlowDown(
        "float64 from one line on",
        _ATTEND,
        f"        q, k, v = q.double(), k.double(), v.double(){MARK}\n        z = self.attend(q, k, v, mask).to(query.dtype)\n",
    ),
    SlowDown(
        "a softmax twice",
        _WEIGHTS,
        f"        weights = (scores.softmax(-1) + scores.softmax(-1)) / 2{MARK}\n",
    ),
    SlowDown(
        "a softmax by hand",
        _WEIGHTS,
        "        scores = scores - scores.amax(-1, keepdim=True)\n"
        f"        weights = scores.exp() / scores.exp().sum(-1, keepdim=True){MARK}\n",
    ),
    SlowDown(
        "heads one by one",
        _SCORES + "        if mask",
        f"        scores = torch.stack([a @ b.mT for a, b in zip(q.unbind(1), k.unbind(1))], 1){MARK}\n        if mask",
    ),
    SlowDown(
        "samples one by one",
        _RETURN,
        f"        return torch.cat([weights[n : n + 1] @ v[n : n + 1] for n in range(len(v))]){MARK}\n",
    ),
    SlowDown(
        "repeat, not expand",
        _RETURN,
        f"        v = v[None].repeat(8, 1, 1, 1, 1)[0]{MARK}\n{_RETURN}",
    ),
    SlowDown(
        "a mask in each call",
        _WEIGHTS,
        f"        bias = torch.zeros_like(scores).masked_fill(torch.ones_like(scores).tril().triu(1).bool(), -1e9){MARK}\n"
        "        weights = (scores + bias).softmax(-1)\n",
    ),
    SlowDown("a loop in Python", _ATTEND, f"        sum(n * n for n in range(20_000)){MARK}\n{_ATTEND}"),
    SlowDown(
        "a loop around a line",
        _WEIGHTS,
        f"        for _ in range(3):{MARK}\n            weights = scores.softmax(-1)\n",
    ),
    SlowDown(
        "numbers taken out one by one",
        _WEIGHTS,
        f"        largest = max(x.item() for x in scores.detach().flatten()[:2000]){MARK}\n"
        "        weights = (scores - largest + largest).softmax(-1)\n",
    ),
    SlowDown(
        "an einsum of three",
        _RETURN,
        f"        return torch.einsum('bhts,bhsd,bhsd->bhtd', weights, v, torch.ones_like(v)){MARK}\n",
    ),
    SlowDown("prints", _ATTEND, f"        print(q.detach().flatten()[:4096].tolist(), file=LOG){MARK}\n{_ATTEND}"),
    SlowDown("sleep", _ATTEND, f"        __import__('time').sleep(0.002){MARK}\n{_ATTEND}"),
    SlowDown("a projection twice", _SPLIT_Q, f"        q = self.split((self.q(query) + self.q(query)) / 2){MARK}\n"),
    SlowDown(
        "a check of every number",
        _ATTEND,
        f"        assert not any(t.isnan().any() or t.isinf().any() for t in (q, k, v)){MARK}\n{_ATTEND}",
    ),
    SlowDown(
        "features in another order in memory",
        "        k = k.contiguous()\n",
        f"        k = k.transpose(-2, -1).contiguous().transpose(-2, -1).transpose(0, 2).contiguous().transpose(0, 2){MARK}\n",
    ),
    SlowDown(
        "in a helper",
        "        return x.view(batch, length, self.heads, self.d_k).transpose(1, 2)\n",
        f"        x = torch.cat([x[..., n : n + 1] for n in range(x.size(-1))], -1){MARK}\n"
        "        return x.view(batch, length, self.heads, self.d_k).transpose(1, 2)\n",
    ),
)
# What does the same at both commits.
SAME = (
    SlowDown("nothing", _ATTEND, _ATTEND),
    SlowDown(
        "another name",
        "        z = z.transpose(1, 2).reshape(query.shape)\n        return self.o(z)\n",
        "        joined = z.transpose(1, 2).reshape(query.shape)\n        return self.o(joined)\n",
    ),
)
