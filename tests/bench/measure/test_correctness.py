"""No time without truth: what is right passes in every format, what is wrong in none."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mhsa.bench.measure import expected
from mhsa.bench.measure.correctness import find_mismatch
from mhsa.bench.measure.expected import Oracle, rows_of
from mhsa.bench.measure.implementation import Built
from mhsa.bench.measure.measurement import KNOWN, PASSES, Pass
from mhsa.records.defaults import DTYPES
from mhsa.records.shape import shape_of
from tests.helpers.building import maker, verdict
from tests.helpers.timed import GIVES_WEIGHTS, RIGHT

# Name: (its body, shape at which it goes wrong, dtypes in which it does, passes in which it does, words of the verdict).
WRONG: dict[str, tuple[str, str, tuple[str, ...], tuple[Pass, ...], str]] = {
    "ScalesHalf": (
        """
    def score(self, q, k):
        return super().score(q, k) * (1.25 if q.dtype == torch.bfloat16 else 1.0)
""",
        "2x17x3x24", ("bfloat16",), PASSES, "output",
    ),
    "LosesTheLastKey": (
        """
    def normalise(self, scores):
        if scores.shape[-1] > 64:
            scores = torch.cat([scores[..., :-1], torch.full_like(scores[..., -1:], float("-inf"))], -1)
        return scores.softmax(-1)
""",
        "1x80x1x32", DTYPES, PASSES, "output where each query picks its own key",
    ),
    "LosesAKeyOfEachBlock": (
        """
    def normalise(self, scores):
        lost = torch.arange(scores.shape[-1]) % 256 == 200
        return scores.masked_fill(lost, float("-inf")).softmax(-1)
""",
        "1x300x1x32", DTYPES, PASSES, "output where each query picks its own key",
    ),
    "ExchangesTwoHeads": (
        """
    def merge(self, z):
        return super().merge(z[:, [1, 0, *range(2, self.heads)]] if z.shape[2] > 6 else z)
""",
        "2x17x3x24", DTYPES, PASSES, "output",
    ),
    "ReadsTheValuesOfTheWrongSample": (
        """
    def mix(self, weights, v):
        return weights @ (v.roll(1, 0) if v.shape[2] > 6 else v)
""",
        "2x17x3x24", DTYPES, PASSES, "output",
    ),
    "LooksAheadOnly": (
        """
    def normalise(self, scores):
        return super().normalise(scores.triu() if scores.shape[-1] > 6 else scores)
""",
        "2x17x3x24", DTYPES, PASSES, "output",
    ),
    "DetachesKeys": (
        """
    def score(self, q, k):
        return super().score(q, k.detach())
""",
        "2x17x3x24", DTYPES, ("training",), "gradient of ",
    ),
    "DetachesValues": (
        """
    def mix(self, weights, v):
        return weights @ v.detach()
""",
        "2x17x3x24", DTYPES, ("training",), "gradient of ",
    ),
    "HasAWrongGradient": (
        """
    def score(self, q, k):
        return Inflated.apply(super().score(q, k))


class Inflated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return 1.5 * grad
""",
        "2x17x3x24", DTYPES, ("training",), "gradient of ",
    ),
    "HasNoGradient": (
        """
    @torch.no_grad()
    def forward(self, query, key, value, mask=None):
        return super().forward(query, key, value, mask)
""",
        "2x17x3x24", DTYPES, ("training",), "output does not require a gradient",
    ),
    "WidensItsOutput": (
        """
    def merge(self, z):
        out = super().merge(z)
        return out.float() if out.dtype == torch.bfloat16 else out
""",
        "2x17x3x24", ("bfloat16",), PASSES, "output is torch.float32 [2, 17, 24], but must be torch.bfloat16 [2, 17, 24]",
    ),
    "ReturnsItsWeights": (
        """
    def mix(self, weights, v):
        return weights if weights.shape[-1] > 6 else weights @ v

    def merge(self, z):
        return z if z.shape[-1] == z.shape[-2] else super().merge(z)
""",
        "2x17x3x24", DTYPES, PASSES, "output is torch.",
    ),
}  # fmt: skip

SPARSE = """

class DetachesQueries(Right):
    def score(self, q, k):
        return super().score(q.detach(), k)


class ForgetsTheScaleInBackward(Right):
    def score(self, q, k):
        whole = q @ k.transpose(-1, -2)
        return whole + (whole / q.shape[-1] ** 0.5 - whole).detach()


class NanInOneElement(Right):
    def merge(self, z):
        out = super().merge(z)
        if out.shape[1] == 64:
            out = out.index_put((torch.tensor(0), torch.tensor(1), torch.tensor(0)), torch.tensor(float("nan")).to(out))
        return out


class GivesWrongWeights(GivesWeights):
    def told(self, weights):
        return weights.flip(-1)


class GivesNoWeights(GivesWeights):
    def told(self, weights):
        return weights if weights.shape[-1] <= 6 else None


class WearsOut(Right):
    calls = 0

    def forward(self, query, key, value, mask=None):
        WearsOut.calls += query.shape[1] == 80
        if WearsOut.calls == 2:
            raise RuntimeError("worn out")
        return super().forward(query, key, value, mask)


class OneLength(Right):
    def forward(self, query, key, value, mask=None):
        if query.shape[1] > 6 and query.shape[1] != 80:
            raise ValueError("made for 80 tokens")
        return super().forward(query, key, value, mask)


class OneLengthInHalf(Right):
    def forward(self, query, key, value, mask=None):
        if query.dtype == torch.bfloat16 and query.shape[1] != 300:
            raise ValueError("made for 300 tokens")
        return super().forward(query, key, value, mask)
"""


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Built]:
    path = tmp_path_factory.mktemp("subjects") / "subjects.py"
    wrong = "".join(f"\n\nclass {name}(Right):{body}" for name, (body, *_) in WRONG.items())
    path.write_text(RIGHT + GIVES_WEIGHTS + wrong + SPARSE)
    return maker(path)


@pytest.mark.parametrize("shape", ["exercise", "2x17x3x21", "1x1x1x1", "3x2x2x2"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KNOWN)
def test_what_comes_with_mhsa_is_right_in_every_format(make: Callable[..., Built], name: str, dtype: str, shape: str) -> None:
    built, known = make(name, shape, dtype), Oracle()
    assert [find_mismatch(built, passes, known) for passes in PASSES] == ["", ""]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_plain_module_is_right_where_the_wrong_ones_are_not(make: Callable[..., Built], dtype: str) -> None:
    known: dict[str, Oracle] = {}
    for shape in {shape for _, shape, *_ in WRONG.values()}:
        built = make("Right", shape, dtype)
        assert [find_mismatch(built, passes, known.setdefault(shape, Oracle())) for passes in PASSES] == ["", ""]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_is_refused_where_it_is_wrong_and_nowhere_else(make: Callable[..., Built], name: str, dtype: str) -> None:
    _, shape, dtypes, passes, words = WRONG[name]
    built = make(name, shape, dtype)
    for each in PASSES:
        said = verdict(built, each)
        if dtype in dtypes and each in passes:
            assert said.startswith(words), each
        else:
            assert said == "", each


def test_a_module_that_is_made_for_one_length_is_judged_at_that(make: Callable[..., Built]) -> None:
    assert [verdict(make("OneLengthInHalf", "1x300x2x16", "bfloat16"), passes) for passes in PASSES] == ["", ""]
    with pytest.raises(ValueError, match="made for 300 tokens"):
        make("OneLengthInHalf", "1x200x2x16", "bfloat16")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    ("name", "shape"),
    [("LosesTheLastKey", "many heads"), ("LosesAKeyOfEachBlock", "1x300x2x32"), ("LosesAKeyOfEachBlock", "1x300x16x128")],
)
def test_narrow_heads_hide_no_lost_key(make: Callable[..., Built], name: str, shape: str, dtype: str) -> None:
    assert verdict(make("Right", shape, dtype), "forward") == ""
    assert verdict(make(name, shape, dtype), "forward").startswith("output where each query picks its own key")


def test_a_key_is_not_lost_between_the_queries_that_are_compared(
    make: Callable[..., Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected, "SCORES", 1)
    shape = shape_of("1x300x1x32")
    assert 200 not in rows_of(shape)
    assert verdict(make("Right", shape, "bfloat16"), "forward") == ""
    said = verdict(make("LosesAKeyOfEachBlock", shape, "bfloat16"), "forward")
    assert said.startswith("output where each query picks its own key[0, 200, ")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", ["exercise", "1x2x2x8", "2x33x3x21"])
@pytest.mark.parametrize("name", ["DetachesQueries", "DetachesKeys", "HasAWrongGradient", "ForgetsTheScaleInBackward"])
def test_half_formats_hide_no_wrong_gradient_of_scores(make: Callable[..., Built], name: str, shape: str, dtype: str) -> None:
    assert verdict(make("Right", shape, dtype), "training") == ""
    assert verdict(make(name, shape, dtype), "training").startswith("gradient of ")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("passes", PASSES)
def test_what_is_not_finite_is_wrong_in_rows_that_are_not_compared_too(
    make: Callable[..., Built], monkeypatch: pytest.MonkeyPatch, passes: Pass, dtype: str
) -> None:
    monkeypatch.setattr(expected, "SCORES", 1)
    shape = shape_of("2x64x2x8")
    assert 1 not in rows_of(shape)
    assert verdict(make("Right", shape, dtype), passes) == ""
    assert verdict(make("NanInOneElement", shape, dtype), passes).startswith(
        "output[0, 1, 0]=nan, but must be finite; 1 of 1024"
    )


def test_rows_are_spread_from_the_first_to_the_last() -> None:
    assert rows_of(shape_of("1x16x1x1")).tolist() == list(range(16))
    assert rows_of(shape_of("encoder 512")).tolist() == list(range(512))
    rows = rows_of(shape_of("long 8192"))
    assert (rows[0], rows[-1], len(rows)) == (0, 8191, 32)
    assert {int(b - a) for a, b in itertools.pairwise(rows)} <= {264, 265}
    assert len(rows_of(shape_of("64x65536x16x16"))) == 16


class TestWeights:
    def test_right_ones_are_right(self, make: Callable[..., Built]) -> None:
        for dtype in DTYPES:
            assert verdict(make("GivesWeights", "2x17x3x24", dtype, need_weights=True), "forward") == ""

    def test_wrong_ones_are_wrong_only_where_they_are_timed(self, make: Callable[..., Built]) -> None:
        for dtype in DTYPES:
            said = verdict(make("GivesWrongWeights", "2x17x3x24", dtype, need_weights=True), "forward")
            assert said.startswith("weights[")
        assert verdict(make("GivesWrongWeights", "2x17x3x24", need_weights=False), "forward") == ""

    def test_none_are_wrong(self, make: Callable[..., Built]) -> None:
        said = verdict(make("GivesNoWeights", "2x17x3x24", need_weights=True), "forward")
        assert said == "weights are a NoneType, but were asked for"


def state(built: Built) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in built.trial.module.named_parameters()}


@pytest.mark.parametrize("name", ["Right", "LosesTheLastKey", "WearsOut"])
@pytest.mark.parametrize("passes", PASSES)
def test_parameters_are_as_before_whatever_came_out(make: Callable[..., Built], passes: Pass, name: str) -> None:
    built = make(name, "1x80x1x32")
    before, projections = state(built), built.trial.projections
    if name == "WearsOut":
        type(built.trial.module).calls = 0
        with pytest.raises(RuntimeError, match="worn out"):
            verdict(built, passes)
    else:
        assert bool(verdict(built, passes)) == (name != "Right")
    after = state(built)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert (built.trial.projections.query.weight == projections.query.weight).all()
    assert built.trial.projections is not projections  # others stood there meanwhile
    assert all(p.grad is None for p in built.trial.module.parameters())
    assert not built.x.requires_grad


def test_one_that_is_made_for_one_length_is_compared_at_that_length(make: Callable[..., Built]) -> None:
    assert [verdict(make("OneLength", "1x80x2x32"), passes) for passes in PASSES] == ["", ""]
    with pytest.raises(ValueError, match="made for 80 tokens"):
        verdict(make("OneLength", "1x79x2x32"), "forward")


def test_one_oracle_serves_all_that_have_the_same_numbers(make: Callable[..., Built], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    evaluate = expected.multi_head
    monkeypatch.setattr(expected, "multi_head", lambda *a, **k: asked.append(1) or evaluate(*a, **k))
    known = Oracle()
    for passes in PASSES:
        assert find_mismatch(make("reference", "exercise"), passes, known) == ""
    once = len(asked)
    assert once == 2  # two clusters, generic numbers
    assert find_mismatch(make("baseline", "exercise"), "training", known) == ""
    assert len(asked) == once
    assert find_mismatch(make("baseline", "exercise", "bfloat16"), "forward", known) == ""
    assert len(asked) == 2 * once
