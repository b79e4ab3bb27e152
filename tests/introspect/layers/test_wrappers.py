"""Classes that wrap any part are read with something in the place of the part."""

from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.helpers.model_file import SELF_ATTENTION

OF_THE_CONSTRUCTOR = """
class Wrapper(nn.Module):
    def __init__(self, dim, fn, dropout):
        super().__init__()
        self.norm, self.fn, self.drop = nn.LayerNorm(dim), fn, nn.Dropout(dropout)

    def forward(self, x, **kwargs):
        return BODY
"""
OF_THE_CALL = """
class Wrapper(nn.Module):
    def __init__(self, size, dropout):
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(size), nn.Dropout(dropout)

    def forward(self, x, sublayer):
        return BODY
"""


def understood(folder: Path, wrapper: str, body: str, **contract: str) -> tuple[str, str]:
    path = folder / "model.py"
    path.write_text(SELF_ATTENTION + wrapper.replace("BODY", body))
    subject = understand(Request.of(str(path), dtypes=("float64",), contract=contract))
    return subject.layer, subject.wrong_layer


@pytest.mark.parametrize(
    ("wrapper", "body", "layer"),
    [
        (OF_THE_CONSTRUCTOR, "self.fn(self.norm(x), **kwargs)", "sublayer(norm(x))"),
        (OF_THE_CONSTRUCTOR, "x + self.drop(self.fn(self.norm(x)))", "x + sublayer(norm(x))"),
        (OF_THE_CALL, "x + self.drop(sublayer(self.norm(x)))", "x + sublayer(norm(x))"),
        (OF_THE_CALL, "self.norm(x + self.drop(sublayer(x)))", "norm(x + sublayer(x))"),
        (OF_THE_CALL, "self.drop(sublayer(x)).cos()", ""),
    ],
)
def test_a_usual_wrapper_holds(wrapper: str, body: str, layer: str, tmp_path: Path) -> None:
    assert understood(tmp_path, wrapper, body) == (layer, "")


def test_a_wrapper_that_adds_twice_is_violated(tmp_path: Path) -> None:
    _, wrong = understood(tmp_path, OF_THE_CALL, "x + sublayer(self.norm(x)) + x")
    assert wrong == "Wrapper computes x + x + sublayer(norm(x)): x is added twice"


def test_a_wrapper_that_changes_its_input_is_violated(tmp_path: Path) -> None:
    _, wrong = understood(tmp_path, OF_THE_CONSTRUCTOR, "x.add_(self.fn(self.norm(x)))")
    assert wrong == "Wrapper computes x + sublayer(norm(x)): it changes its input in place"


def test_a_norm_before_the_residual_is_a_question(tmp_path: Path) -> None:
    with pytest.raises(Question, match="Wrapper computes x \\+ norm\\(sublayer\\(x\\)\\), which is no usual form") as asked:
        understood(tmp_path, OF_THE_CONSTRUCTOR, "x + self.norm(self.drop(self.fn(x)))")
    declared = understood(tmp_path, OF_THE_CONSTRUCTOR, "x + self.norm(self.drop(self.fn(x)))", **asked.value.declaration)
    assert declared == ("x + norm(sublayer(x))", "")
    _, wrong = understood(tmp_path, OF_THE_CONSTRUCTOR, "x + self.norm(self.drop(self.fn(x)))", layer="x + sublayer(norm(x))")
    assert wrong == "Wrapper computes x + norm(sublayer(x)): it must compute x + sublayer(norm(x))"
