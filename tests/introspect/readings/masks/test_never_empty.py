"""Words that ask the caller for a key in each row of the mask: NaN is expected without one, and nothing else is excused."""

from pathlib import Path

import pytest

from mhsa.judge.verification import verify

SOFTMAX_OF_NOTHING = '''
from torch import nn


class Attention(nn.Module):
    """Attention.

    Args:
        mask: [B, Tq, Tk], True may be attended to; SAID.
    """

    def __init__(self, d_model, num_heads):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], float("-inf"))
        return self.o((scores.softmax(DIM) @ v).transpose(1, 2).flatten(2))
'''


def verdict(folder: Path, said: str, dim: str = "-1", **contract: str) -> str:
    (folder / "softmax.py").write_text(SOFTMAX_OF_NOTHING.replace("SAID", said).replace("DIM", dim))
    some = ["oracle.*", "masks.*", "fully_masked_rows.*"]
    return str(verify(str(folder / "softmax.py"), contract=contract, dtypes="float64", properties=some).verdict)


@pytest.mark.parametrize("said", ["at least one key in each row", "a row must not be entirely masked", "each row keeps a key"])
def test_a_restriction_in_words_is_no_violation(tmp_path: Path, said: str) -> None:
    assert verdict(tmp_path, said) == "holds"


def test_without_words_it_is_a_question(tmp_path: Path) -> None:
    assert verdict(tmp_path, "one row for each query") == "question"


def test_what_is_declared_counts_more(tmp_path: Path) -> None:
    assert verdict(tmp_path, "at least one key in each row", fully_masked_row="zeros") == "violated"


def test_words_excuse_nothing_else(tmp_path: Path) -> None:
    assert verdict(tmp_path, "at least one key in each row", dim="-2") == "violated"
