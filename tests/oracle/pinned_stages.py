"""Single stages of the features of a formula where numbers of ordinary size do not lead: at zero, at borders, far away."""

from collections.abc import Iterator

import numpy as np

from mhsa.oracle.attention import core
from mhsa.oracle.bounded import Arithmetic, Bounded
from mhsa.oracle.formula import alibi, bias_table, fill, given_bias, groups, lse, qk_norm, rotary, sinks, softcap
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.fields import Fill, QkNorm, Rotary
from mhsa.oracle.precision import PRECISIONS, Precision
from tests.oracle.pinned_bounds import bounded, numbers

COARSE = Precision("coarse", 0.02, 0.02, 0.0)  # in which a softmax of some keys has no bound


def stages(precision: Precision) -> Iterator[tuple[str, object]]:
    """Yield what each stage gives, by name."""
    by = Arithmetic(precision)
    yield from of_caps(by)
    yield from of_lse(by)
    yield from of_fills(by)
    yield from of_norms(by)
    for of in (Rotary(), Rotary(1e6, "interleaved", 0.5, 7, "dtype")):
        tables = rotary.tables(by, of, np.array([0, 1, 5, 4000, 10**7]), 8)
        yield f"tables of {of.layout}", tables
        for back in (True, False):
            yield f"turned {of.layout}, back {back}", rotary.turn(by, of, bounded(7, 1, 1, 5, 8), tables, back=back)
    yield "a sink of zero", sinks.logits(by, 0.0, None)
    yield "a constant sink", sinks.logits(by, -2.5, None)
    for shape in ((1, 1, 2, 4), (2, 3, 2, 4), (2, 1, 2, 4)):
        yield f"gradient of a bias {shape}", given_bias.gradient(by, bounded(8, 2, 3, 2, 4), shape)
    yield "gradient of a bias of one sample", given_bias.gradient(by, bounded(8, 1, 3, 2, 4), (1, 3, 2, 4))
    for bias in ("alibi", "alibi-geometric"):  # in float64 slopes of a table in float32 are far from exact
        for name in (precision.name, "float64"):
            for head in (3, 6):
                found = alibi.stage(Arithmetic(PRECISIONS[name]), bias, "bottom-right", (1, head, 3, 7))
                yield f"{bias} of {head} heads in {name}", found
    yield "gradients of two heads that share one", groups.gather(by, bounded(11, 1, 4, 2, 3), 2)
    yield "two heads that share one", groups.repeat(bounded(12, 1, 2, 2, 3), 4)
    heads = bounded(13, 1, 2, 3, 4), bounded(14, 1, 2, 5, 4), bounded(15, 1, 2, 5, 4)
    yield "a bias that errs", core(by, *heads, None, bias=bounded(16, 1, 2, 3, 5))
    yield "gradients of heads of their own", groups.gather(by, bounded(11, 1, 4, 2, 3), 4)
    yield "a cap of nothing", softcap.stage(by, Bounded.exact([0.0]), 5.0)
    yield from of_the_finest_format()
    # Distance 12 of 17 buckets up to 27 is at a border, and float32 puts it on the other side of it.
    table, shape = BiasTable(direction="past", max_distance=27), (2, 3, 2, 16)
    yield "a table at a border", bias_table.stage(table, "bottom-right", shape, numbers(9, 17, 3))
    yield "its gradient", bias_table.gradient(by, table, "bottom-right", bounded(10, *shape), 17, 2)


def of_the_finest_format() -> Iterator[tuple[str, object]]:
    """Yield what stages give in float64, where this arithmetic's own roundoff is half of the bound; numbers are exact."""
    by = Arithmetic(PRECISIONS["float64"])
    for part, found in (("cap", softcap.stage), ("slope", softcap.slope)):
        yield f"{part} in float64", found(by, Bounded.exact(far().value), 3.0)
    yield "tables in float64", rotary.tables(by, Rotary(tables="dtype"), np.array([0, 1, 5, 400]), 8)
    yield "sink in float64", sinks.softmax(by, Bounded.exact(numbers(1, 1, 2, 2, 3)), None, Bounded.exact([[[0.5]]]))
    for kind in ("rms", "layer", "l2"):
        y, normed = qk_norm.stage(by, QkNorm(kind), Bounded.exact(numbers(3, 1, 2, 5, 3)), None, None)
        yield f"{kind} in float64", (y, normed.inverse)
        yield f"{kind} in float64, back", qk_norm.chain(by, normed, Bounded.exact(numbers(6, 1, 2, 5, 3)), back=True)


def of_caps(by: Arithmetic) -> Iterator[tuple[str, object]]:
    for cap in (0.5, 20.0):
        yield f"cap {cap}", softcap.stage(by, far(), cap)
        slope = softcap.slope(by, far(), cap)
        yield f"slope of {cap}", slope
        yield f"through {cap}", softcap.chain(by, bounded(1, 1, 7), slope)


def of_lse(by: Arithmetic) -> Iterator[tuple[str, object]]:
    one = far()
    scores = Bounded(one.value[..., None, :].repeat(2, 1), one.error[..., None, :].repeat(2, 1))
    mask = np.array([[[True] * 4 + [False] * 3, [False] * 7]])
    rows = Bounded(np.array([[1.0, 2.0], [3.0, 3.0], [0.5, 0.25]]), np.array([[1.0, 400.0], [300.0, 300.0], [0.1, 0.2]]))
    for kind in ("natural", "base-2"):
        for n in (0, 1, 4, 6, 7):
            yield f"lse {kind} of {n}", lse.stage(by, scores[..., :n], None, None, kind)
        yield f"lse {kind}, masked", lse.stage(by, scores, mask, None, kind)
        yield f"lse {kind}, lost keys masked", lse.stage(by, scores[..., :5], mask[..., :5], Bounded.exact([[[0.3]]]), kind)
        yield f"lse {kind}, one row lost", lse.stage(by, rows, None, None, kind)
    with np.errstate(all="ignore"):
        for n in (2, 3, 4, 6):
            yield f"lse of {n} in a coarse format", lse.stage(Arithmetic(COARSE), bounded(2, 1, n), None, None, "natural")


def of_fills(by: Arithmetic) -> Iterator[tuple[str, object]]:
    hidden = np.array([[True, False, False, True, True, False, True]])
    for number in (-10000.0, -10048.0, -1e9, -65504.0):
        for how in ("set", "added"):
            near = Bounded(number * np.array([[0.7, 0.85, 0.9, 1.0, 1.1, 0.0, 1.2]]), far().error / 100.0)
            yield f"fill {number:g} {how}", fill.stage(by, near, hidden, Fill(number, how))
    some = np.array([[True, False]])
    # Just so far below that a weight may not be zero; and surely so far, but for the error of the allowed key.
    yield "fill at the border", fill.stage(by, Bounded.exact([[-16384.0 + 1500.0, 0.0]]), some, Fill(-16384.0))
    unsure = Bounded(np.zeros((1, 2)), np.array([[16000.0, 0.0]]))
    yield "fill below an unsure score", fill.stage(by, unsure, some, Fill(-16384.0))
    yield "fill of no keys", fill.stage(by, Bounded.exact(np.zeros((1, 0))), np.zeros((1, 0), dtype=bool), Fill(-1e4))


def of_norms(by: Arithmetic) -> Iterator[tuple[str, object]]:
    small = bounded(3, 1, 2, 5, 3)
    scale = np.array([0.0, 1e-4, 1.0, 1e4, 0.3])[:, None]  # nothing, shorter than any eps of note, usual, long, near an eps
    x = Bounded(small.value * scale, small.error * np.array([0.0, 1e4, 5.0, 0.0, 300.0])[:, None])
    for kind in ("rms", "layer", "l2"):
        for eps in (None, 0.0, 0.5):
            with np.errstate(over="ignore", invalid="ignore"):
                y, normed = qk_norm.stage(by, QkNorm(kind, eps), x, numbers(4, 3), numbers(5, 3))
                yield f"{kind}, eps {eps}", (y, normed.units, normed.inverse, normed.short)
                for back in (True, False):
                    moved = qk_norm.chain(by, normed, bounded(6, 1, 2, 5, 3), back=back)
                    yield f"{kind}, eps {eps}, back {back}", moved


def far() -> Bounded:
    return Bounded(np.array([[0.0, 1e-9, 0.4, -3.0, 80.0, 2.0, 1.0]]), np.array([[0.0, 1e-3, 0.5, 0.1, 3.0, 1e9, 400.0]]))
