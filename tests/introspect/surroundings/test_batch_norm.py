"""A block with BatchNorm: what depends on the batch in train mode is named as not judged, and is no violation."""

import torch
from torch import nn

import mhsa
from tests.helpers.layers import Layers

TRAINED = ("modes.train_is_eval_without_dropout", "modes.eval_is_deterministic", "dropout.the_backward_pass_drops_the_same")
SAID = "BatchNorm1d in train mode, where it depends on the batch"


class Attention(Layers):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__(num_heads, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o((self.dropout((q @ k.mT * self.scale).softmax(-1)) @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    attention = Attention

    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__()
        self.attn = self.attention(num_heads, d_model, dropout)
        self.norm = nn.BatchNorm1d(d_model)

    def forward(self, x):
        return self.norm((x + self.attn(x)).transpose(1, 2)).transpose(1, 2)


class DropsInEval(Attention):
    def forward(self, x):
        self.dropout.train()
        return super().forward(x)


class DroppingBlock(Block):
    attention = DropsInEval


class OwnStatistics(Attention):
    """Centres over the batch by itself, where it is trained."""

    def forward(self, x):
        return super().forward(x - x.mean(0, keepdim=True) if self.training else x)


class CentringBlock(Block):
    attention = OwnStatistics


def test_it_holds_and_the_norm_is_named() -> None:
    found = mhsa.verify(Block, properties=TRAINED)
    assert found, str(found)
    assert SAID in found.not_judged
    assert SAID not in mhsa.verify(Attention, properties=TRAINED[:1]).not_judged


def test_bugs_next_to_it_are_found() -> None:
    assert mhsa.verify(DroppingBlock, properties="modes.*").verdict == "violated"
    assert mhsa.verify(CentringBlock, properties=TRAINED[:1]).verdict == "violated"


def test_statistics_are_left_as_they_are() -> None:
    """The mode of the norm is its module's again after eval."""
    block = Block(2, 4).train()
    assert mhsa.verify(block, properties=TRAINED[:1])
    assert block.norm.training
    assert torch.equal(block.norm.running_mean, torch.zeros(4))
