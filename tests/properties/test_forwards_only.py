"""An implementation without a backward pass, as flex_attention is on a CPU, is judged in its forward pass."""

from pathlib import Path

FORWARDS_ONLY = """
import torch

import mhsa


class Attention(mhsa.MultiHeadAttention):
    def __init__(self, head, d_model):
        super().__init__(head, d_model)

    def forward(self, query, key, value, mask=None):
        if torch.is_grad_enabled():
            raise NotImplementedError("there is no backward pass")
        return super().forward(query, key, value, mask)
"""


def test_the_call_after_another_is_without_gradients_too(tmp_path: Path, judge_pairs) -> None:
    (tmp_path / "forwards.py").write_text(FORWARDS_ONLY)
    pair = f"{tmp_path / 'forwards.py'}:Attention", "transforms.called_with_other_parameters"
    assert judge_pairs({pair}) == {pair: "pass"}
