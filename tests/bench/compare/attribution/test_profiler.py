"""A call's lines and operators, followed: what is called where, counted exactly; times are not asserted."""

from pathlib import Path
from types import ModuleType

import pytest
import torch

from mhsa.bench.compare.attribution.line_tracer import LineTracer
from mhsa.bench.compare.attribution.profile_record import CallProfile, ProfiledLine
from mhsa.bench.compare.attribution.profiler import Profiler

TEXT = """
import torch


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone()
        return grad * 2


def helper(x):
    y = x.clone()
    return y + 1


def forward(x):
    a = helper(x)
    b = [
        part.exp()
        for part in a.unbind(0)
    ]
    total = 0
    for n in range(5):
        total += n
    return torch.stack(b) * total


def twice(x):
    return Doubled.apply(x.sin()).sum()


def grow(x):
    x = x.double()
    return x @ x
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    (tmp_path / "m.py").write_text(TEXT)
    found = ModuleType("m")
    exec(compile(TEXT, str(tmp_path / "m.py"), "exec"), vars(found))
    return found


def profile(call: object, folder: Path, *, backward: bool = False) -> CallProfile:
    assert callable(call)
    profiler = Profiler(call, folder, "cpu", backward=backward)
    for _ in range(2):
        profiler.once()
    return profiler.result()


def line(found: CallProfile, text: str) -> ProfiledLine:
    (one,) = (x for x in found.lines if x.statement and x.statement.text.startswith(text))
    return one


def calls(one: ProfiledLine, *, backward: bool = False) -> dict[str, int]:
    return {o.name.removeprefix("aten::"): o.calls for o in one.operators if o.backward == backward}


def test_operators_are_those_of_the_innermost_line(module: ModuleType, tmp_path: Path) -> None:
    found = profile(lambda: module.forward(torch.ones(3, 4)), tmp_path)
    assert calls(line(found, "y = x.clone()")) == {"clone": 1}
    assert calls(line(found, "return y + 1")) == {"add": 1}
    assert calls(line(found, "a = helper(x)")) == {}
    assert calls(line(found, "b = [")) == {"unbind": 1, "exp": 3}, "a comprehension is part of its statement"
    assert calls(line(found, "return torch.stack")) == {"stack": 1, "mul": 1}
    assert line(found, "total += n").hits == 5
    caller = found.lines[line(found, "y = x.clone()").parent].statement
    assert caller is not None
    assert caller.text == "a = helper(x)"


def test_what_is_given_and_who_made_it(module: ModuleType, tmp_path: Path) -> None:
    found = profile(lambda: module.grow(torch.ones(3, 3)), tmp_path)
    (product,) = line(found, "return x @ x").operators
    assert dict(product.inputs) == {"float64[3, 3], float64[3, 3]": 1}
    assert product.bytes == 72
    assert [found.lines[n].statement.text for n in product.made_by] == ["x = x.double()"]  # type: ignore[union-attr]


def test_the_backward_pass_belongs_to_the_lines_of_the_forward_pass(module: ModuleType, tmp_path: Path) -> None:
    x = torch.ones(3, requires_grad=True)

    def call() -> object:
        return torch.autograd.grad(module.twice(x), x)

    found = profile(call, tmp_path, backward=True)
    of_line = line(found, "return Doubled.apply")
    assert calls(of_line)["sin"] == 1
    assert calls(of_line, backward=True)["cos"] == 1
    assert calls(line(found, "grad = grad.clone()"), backward=True) == {"clone": 1}, "its own backward pass has lines"
    assert calls(line(found, "return grad * 2"), backward=True) == {"mul": 1}


def test_it_is_the_same_as_json(module: ModuleType, tmp_path: Path) -> None:
    import json

    found = profile(lambda: module.forward(torch.ones(3, 4)), tmp_path)
    assert CallProfile.of_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_the_tracer_before_is_there_again_and_errors_pass(module: ModuleType) -> None:
    import sys

    before = sys.gettrace()
    tracer = LineTracer(lambda name: True)
    with pytest.raises(ZeroDivisionError):
        tracer.follow(lambda: 1 // 0)
    assert sys.gettrace() is before
    assert tracer.current is not None


def test_time_is_that_of_the_line_that_takes_it(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 1))
    monkeypatch.setattr("mhsa.bench.compare.attribution.line_tracer.now", lambda: float(next(clock)))
    monkeypatch.setattr("mhsa.bench.compare.attribution.line_tracer.waited", lambda: 0.0)
    tracer = LineTracer(lambda name: name.endswith("m.py"))
    tracer.follow(lambda: module.forward(torch.ones(3, 4)))
    of_line = {node.line: node for node in tracer.root.children.values()}
    loop = [node for node in of_line.values() if node.hits == 5]
    assert len(loop) == 1
    assert loop[0].seconds == 5.0, "each tick of the clock between two of its looks is a line's"
