"""What docstrings promise of a query without any allowed key is judged, and is no question."""

from pathlib import Path

import pytest

from mhsa.judge.verification import verify
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.docstrings.empty_rows import stated_row

ATTENTION = '''
import torch
from torch import nn


class Attention(nn.Module):
    """Attention, which is CAUSAL.

    Args:
        mask: SHAPE, True may be attended to. SAID
    """

    def __init__(self, d_model, num_heads):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        allowed = torch.ones(1, 1, q.size(2), q.size(2), dtype=torch.bool, device=x.device)
        if mask is not None:
            allowed = allowed & mask[INDEX]
        empty = EMPTY
        if CAUSAL:
            allowed = allowed.tril()
        scores = (q @ k.mT / q.size(-1) ** 0.5).masked_fill(~allowed, FILL)
        weights = scores.softmax(-1)
        if CAUSAL:
            weights = weights.masked_fill(empty, 0.0)
        return self.o((weights @ v).transpose(1, 2).flatten(2))
'''
SHAPES = {"[B, Tk]": ":, None, None", "[B, Tq, Tk]": ":, None"}


def verdict(folder: Path, said: str, fill: str, shape: str = "[B, Tk]", causal: str = "", empty: str = "") -> str:
    text = ATTENTION.replace("SAID", said).replace("FILL", fill).replace("SHAPE", shape).replace("INDEX", SHAPES[shape])
    text = text.replace("CAUSAL", str(bool(causal))).replace("EMPTY", empty or "None")
    (folder / "attention.py").write_text(text)
    contract = {"causal": causal} if causal else {}
    some = ["oracle.*", "masks.*", "fully_masked_rows.*"]
    return str(verify(str(folder / "attention.py"), contract=contract, dtypes="float64", properties=some).verdict)


@pytest.mark.parametrize(
    ("said", "row"),
    [
        ("Fully masked rows give zeros instead of NaN.", "zeros"),
        ("A query without any visible key attends to nothing (its heads are zero).", "zeros"),
        ("Queries that cannot see any key receive a zero vector.", "zeros"),
        ("Rows without any key yield 0.", "zeros"),
        ("A sample whose keys are all hidden attends uniformly.", "uniform"),
        ("Rows with no allowed key average the values.", "uniform"),
        ("Returns NaN if every key of a row is masked.", "nan"),
        ("Guards against NaN in fully masked rows.", None),
        ("Fully masked rows do not give zeros.", None),
        ("Fully masked rows give zeros. Fully masked rows give NaN.", None),
        ("mask (B, S): True where keys are padding, zero otherwise.", None),
        ("Fully masked keys get zero weight.", None),
        ("All masked positions are 0.", None),
        ("Padded queries give zeros.", None),
        ("A large number keeps fully masked rows from a division by zero.", None),
        ("Fully masked rows (all zeros) attend to every key alike.", None),
        ("Fully masked rows get zero gradient.", None),
        ("The output of fully masked rows has to be zeroed downstream.", None),
        ("A fully masked row means that all weights are dropped.", None),
        ("Fully masked rows raise an error, since the mean of no values is undefined.", None),
        ("With -inf a fully masked row would be NaN.", None),
        ("Fully masked rows give zeros, unless safe is False.", None),
    ],
)
def test_words(said: str, row: str | None) -> None:
    def attention(q: object, k: object, v: object, mask: object = None) -> None:
        del q, k, v, mask

    attention.__doc__ = said
    assert stated_row(FunctionAdapter(attention, "attention", takes_mask=True, takes_dropout=False)) == row


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("said", "fill", "expected"),
    [
        ("Rows without any key give zeros.", "-1e9", "violated"),
        ("Rows without any key give zeros.", 'float("-inf")', "violated"),
        ("Rows without any key average the values.", "-1e9", "holds"),
        ("Rows without any key give NaN.", 'float("-inf")', "holds"),
        ("", 'float("-inf")', "question"),
        ("", "-1e9", "holds"),
    ],
)
def test_a_promise_is_judged(tmp_path: Path, said: str, fill: str, expected: str, shape: str) -> None:
    assert verdict(tmp_path, said, fill, shape) == expected


@pytest.mark.parametrize(
    ("empty", "expected"),
    [("~allowed.tril().any(-1, keepdim=True)", "holds"), ("~allowed.any(-1, keepdim=True)", "violated")],
)
def test_rows_that_causality_leaves_without_a_key(tmp_path: Path, empty: str, expected: str) -> None:
    said = "A query that may attend to no key gets zeros."
    assert verdict(tmp_path, said, "-1e9", causal="top-left", empty=empty) == expected


def test_what_is_said_of_an_option_is_no_promise() -> None:
    def attention(q: object, k: object, v: object, mask: object = None, safe: bool = False) -> None:
        """Attend.

        Args:
            mask: True may be attended to. Rows without any key average the values.
            safe (bool): fully masked rows give zeros.
        """
        del q, k, v, mask, safe

    assert stated_row(FunctionAdapter(attention, "attention", takes_mask=True, takes_dropout=False)) == "uniform"


def test_what_is_said_of_samples_is_no_promise_for_rows_that_causality_empties(tmp_path: Path) -> None:
    empty = "~allowed.any(-1, keepdim=True)"
    assert verdict(tmp_path, "A fully padded sequence gives zeros.", "-1e9", causal="top-left", empty=empty) == "holds"
