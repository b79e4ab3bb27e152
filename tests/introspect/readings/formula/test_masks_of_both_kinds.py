"""A mask that hides where it is True or False, and is added where it holds floating numbers: both kinds are judged."""

from pathlib import Path

import pytest

from mhsa.judge.verification import verify
from mhsa.subject.docstrings.added_masks import are_floats_added

ATTENTION = '''
import torch
from torch import nn


class Attention(nn.Module):
    """Attention.

    Args:
        attn_mask: [B, 1, Tq, Tk]. SAID
    """

    def __init__(self, d_model, num_heads):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, attn_mask=None):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT / q.size(-1) ** 0.5
        if attn_mask is not None:
            s = MASKED
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
'''
HIDDEN = "s.masked_fill(~attn_mask.bool(), -1e9)"
BOTH = f"{HIDDEN} if attn_mask.dtype == torch.bool else s + attn_mask"
SAID = "True may be attended to; a float mask is added to the scores."


@pytest.mark.parametrize(
    ("said", "masked", "expected", "judged"),
    [
        (SAID, BOTH, "holds", True),
        (SAID, HIDDEN, "violated", True),
        (SAID, BOTH.replace("s + attn_mask", "s + 2 * attn_mask"), "violated", True),
        ("True may be attended to.", BOTH, "holds", True),
        ("True may be attended to.", HIDDEN, "holds", False),
        ("True may be attended to.", BOTH.replace("s + attn_mask", "s * attn_mask"), "holds", False),
    ],
)
def test_what_is_said_of_floats_is_judged(tmp_path: Path, said: str, masked: str, expected: str, judged: bool) -> None:
    (tmp_path / "attention.py").write_text(ATTENTION.replace("SAID", said).replace("MASKED", masked))
    result = verify(str(tmp_path / "attention.py"), dtypes="float64", properties=["oracle.*", "biases.*"])
    assert result.verdict == expected
    tried = {each.id for each in result.properties if each.outcome not in ("not-applicable", "not-run")}
    assert ("biases.output_with_a_bias" in tried) == judged


@pytest.mark.parametrize(
    ("said", "added"),
    [
        ("a bool mask hides where True; a float mask is added to the scaled scores", True),
        ("bool (True attends) or additive float", False),
        ("float mask of 0 and -inf is added", False),
        ("float mask, 1 attends", False),
        ("adds a mask. The output is float32", False),
        ("it is converted to float and added to the scores", False),
        ("float masks must not be added", False),
    ],
)
def test_words(said: str, added: bool) -> None:
    assert are_floats_added(said) == added
