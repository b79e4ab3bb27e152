"""A context is judged as one even where the module is exact without it: what is wrong with a context must not go unseen."""

from pathlib import Path

import pytest

from mhsa.commands.cli import main
from mhsa.introspect.resolve import understand
from tests.helpers.model_file import model_file

CROSS = """
from torch import nn


class Cross(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(d_model, d_model) for _ in range(4))

    def attend(self, x, keys, values):
        split = lambda t: t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        q, k, v = split(self.to_q(x)), split(self.to_k(keys)), split(self.to_v(values))
        return self.to_out(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))

    def forward(self, x, context=None):
        context = x if context is None else context
        return self.attend(x, context, context)


class ValuesOfTheQuery(Cross):
    def forward(self, x, context=None):
        context = x if context is None or context.size(1) != x.size(1) else context
        return self.attend(x, context, x)


class Steered(Cross):
    def forward(self, x, other=None):
        return self.attend(x, x, x) if other is None else self.attend(x + other.mean(1, keepdim=True), x, x)
"""


file = model_file(CROSS, "cross.py")


@pytest.mark.parametrize(("name", "code"), [("Cross", 0), ("ValuesOfTheQuery", 1)])
def test_a_wrong_use_of_the_context_is_a_violation(
    file: Path, name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", f"{file}:{name}", "-k", "output_without_mask", "--no-diagnosis", "--no-color"]) == code
    assert "argument context" not in capsys.readouterr().out


def test_a_name_that_may_mean_something_else_is_left_out_and_said(file: Path) -> None:
    subject = understand(f"{file}:Steered")
    assert subject.adapter.inputs == "x"
    assert "argument other" in subject.not_judged
