"""What the oracle gives for each declared feature on fixed numbers; a bound changes on purpose, and then this is written anew.

    .venv/bin/python -m tests.oracle.pinned_formulas   # writes pinned_formulas.json; say in the commit why a number changed

That these are right is shown by the tests of each feature, against 60 digits and autograd; they cannot see one rounding more or
less in a rule, and these numbers do. Of a result or its gradients one weighted sum of all values and one of all bounds is
written down: where they changed, print what `of_formula` gives before and after.
"""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np

from mhsa.oracle.attention import Linear, MultiHead, ProjectionWeights, attention, multi_head
from mhsa.oracle.bounded import Bounded
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.fields import Fill, QkNorm, Rotary
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.gradients import derivative, gradients
from mhsa.oracle.precision import PRECISIONS, Precision
from tests.oracle.pinned_bounds import numbers
from tests.oracle.pinned_stages import stages

FILE = Path(__file__).with_suffix(".json")
# Coarse and fine; in bfloat16 sums are finer than results. In float64 the last digits of a library would show in a bound.
FORMATS = ("float32", "bfloat16")
HEAD, D, D_MODEL, BATCH, QUERIES, KEYS = 6, 4, 5, 2, 3, 7

FORMULAS = {
    "top-left": Formula("top-left", 0.3),
    "window": Formula("bottom-right", "1/d_k", (2, 0)),
    "cap": Formula(softcap=1.5),
    "cap and bias": Formula(softcap=1.5, bias="given"),
    "cap of both": Formula(softcap=1.5, bias="given", softcap_order="after-bias", sinks="learned", lse="natural"),
    "alibi": Formula(bias="alibi"),
    "alibi, geometric": Formula("bottom-right", bias="alibi-geometric", softcap=2.0, softcap_order="after-bias"),
    "table": Formula(bias=BiasTable(max_distance=5)),
    "table of the past": Formula("top-left", bias=BiasTable(max_distance=4), softcap=2.0),
    "table of clipped distances": Formula("bottom-right", bias=BiasTable("clipped", "past", order="key - query"), softcap=3.0),
    "table of both, aligned": Formula("bottom-right", bias=BiasTable(direction="both", max_distance=5), sinks=0.5),
    "sink": Formula(sinks=0.7, lse="base-2"),
    "lse": Formula(lse="base-2"),
    "grouped": Formula(kv_heads="grouped"),
    "rotary": Formula(rotary=Rotary()),
    "rotary, grouped": Formula("bottom-right", rotary=Rotary(500.0, "interleaved", 0.5, 3, "dtype"), kv_heads="grouped"),
    "rotary, half": Formula(rotary=Rotary(50.0, fraction=0.5, offset=200)),
    "rms": Formula(qk_norm=QkNorm("rms")),
    "layer": Formula(qk_norm=QkNorm("layer", 0.1)),
    "l2": Formula(qk_norm=QkNorm("l2", "dtype"), scale=10.0),
    "l2, short": Formula(qk_norm=QkNorm("l2", 0.7)),
    "layer of all": Formula(qk_norm=QkNorm("layer", over="all", gain="1 + weight"), kv_heads="grouped"),
    "rms of all, turned": Formula("top-left", qk_norm=QkNorm("rms", "dtype", "all"), rotary=Rotary(tables="dtype")),
    "l2 after rotary": Formula(qk_norm=QkNorm("l2", place="after-rotary"), rotary=Rotary(), kv_heads="grouped"),
    "layer after rotary": Formula(qk_norm=QkNorm("layer", place="after-rotary", gain="1 + weight"), rotary=Rotary()),
    "set": Formula(fill=Fill(-10000.0)),
    "added": Formula(fill=Fill(-32768.0, "added"), lse="natural"),
    "set, and a sink": Formula("top-left", fill=Fill(-10000.0), sinks="learned"),
    "all": Formula(
        "bottom-right", 0.4, (4, -1), 3.0, "grouped", Rotary(100.0), "after-bias", "given", "learned", QkNorm("rms"), "natural"
    ),
}


def maps(formula: Formula, *, bias: bool) -> ProjectionWeights:
    """Return the parameters of a formula: of D_MODEL features, inner widths of HEAD or 2 heads."""
    shared = (2 if formula.kv_heads else HEAD) * D
    widths = ((HEAD * D, D_MODEL), (shared, D_MODEL), (shared, D_MODEL), (D_MODEL, HEAD * D))
    linear = (Linear(numbers(60 + n, *w), numbers(70 + n, w[0]) if bias else None) for n, w in enumerate(widths))
    norm = formula.qk_norm if bias else None
    own = norm is not None and (norm.over == "all" or norm.place == "after-rotary")  # numbers for each head
    gains = (
        None if norm is None else Linear(numbers(80 + n, width if own else D),
                                         numbers(90 + n, width if own else D) if norm.kind == "layer" else None)
        for n, width in enumerate((HEAD * D, shared))
    )  # fmt: skip
    return ProjectionWeights(
        *linear,
        sinks=numbers(50, HEAD) if formula.sinks == "learned" else None,
        table=numbers(51, 6, HEAD) if isinstance(formula.bias, BiasTable) else None,
        **dict(zip(("query_norm", "key_norm"), gains, strict=True)),
    )


def results(name: str, precision: Precision) -> Iterator[tuple[str, MultiHead]]:
    """Evaluate one of FORMULAS without a mask and under one, of which a row is fully masked."""
    formula = FORMULAS[name]
    x = [numbers(10 + n, BATCH, length, D_MODEL) for n, length in enumerate((QUERIES, KEYS, KEYS))]
    mask = numbers(13, BATCH, QUERIES, KEYS) < 0.4
    mask[1, 2] = False
    shapes = {None: (BATCH, HEAD), "masked": (BATCH, 1), "masked, uniform": (1, HEAD)}
    for how, shape in shapes.items():
        given = numbers(14, *shape, QUERIES, KEYS) if formula.bias == "given" else None
        seen = formula.allowed(None if how is None else mask, BATCH, QUERIES, KEYS)
        yield f"{name}, {how or 'plain'}", multi_head(
            *x, maps(formula, bias=how is None), HEAD, seen, precision, "uniform" if how == "masked, uniform" else "zeros",
            bias=given, formula=formula,
        )  # fmt: skip
    if formula.qk_norm is not None and given is None:  # over 40 tokens gradients are stored more often on their way
        x = [numbers(10 + n, BATCH, length, D_MODEL) for n, length in enumerate((20, 2, 2))]
        seen = formula.allowed(None, BATCH, 20, 2)
        yield f"{name}, 40 tokens", multi_head(*x, maps(formula, bias=True), HEAD, seen, precision, formula=formula)
    if given is not None:
        yield f"{name}, of three axes", multi_head(
            *x, maps(formula, bias=True), HEAD, formula.allowed(None, BATCH, QUERIES, KEYS), precision,
            bias=given[0, :2], formula=formula,
        )  # fmt: skip


def arrays(part: object) -> Iterator[Bounded]:
    """Go through the arrays of a dataclass, with their bounds."""
    if isinstance(part, Bounded):
        yield part
    elif isinstance(part, np.ndarray):
        yield Bounded.exact(part)
    elif isinstance(part, dict):
        yield from (found for value in part.values() for found in arrays(value))
        yield Bounded.exact([ord(letter) for name in part for letter in name])
    elif isinstance(part, tuple):
        yield from (found for value in part for found in arrays(value))
    elif is_dataclass(part) and not isinstance(part, ProjectionWeights | Formula):
        yield from (found for f in fields(part) for found in arrays(getattr(part, f.name)))
    elif part is None or isinstance(part, bool | int):
        yield Bounded.exact(-1.0 if part is None else part)


def of_formula(name: str, precision: Precision) -> Iterator[tuple[str, object]]:
    for title, result in results(name, precision):
        yield title, replace(result, inputs=())
        start, of_weights = numbers(20, *result.output.value.shape), numbers(21, *result.weights.value.shape)
        yield f"{title}: gradients", gradients(result, precision, start)
        yield f"{title}: gradients, those of the weights among them", gradients(result, precision, start, of_weights)
        moves = (numbers(22 + n, *x.shape) for n, x in enumerate(result.inputs))
        yield f"{title}: derivative", derivative(result, precision, *moves)
    if FORMULAS[name].kv_heads is None and FORMULAS[name].bias is None:
        heads = (numbers(30 + n, BATCH, HEAD, length, D) for n, length in enumerate((QUERIES, KEYS, KEYS)))
        formula = FORMULAS[name]
        seen = formula.allowed(None, BATCH, QUERIES, KEYS)
        learned = numbers(50, HEAD) if formula.sinks == "learned" else None
        found = attention(
            *heads, None if seen is None else seen[:, None], precision, formula=formula, sinks=learned
        )  # fmt: skip
        yield f"{name}, a function", found


def quantities(precision: str, what: str) -> dict[str, list[float]]:
    found = stages(PRECISIONS[precision]) if what == "stages" else of_formula(what, PRECISIONS[precision])
    return {name: summed(x) for name, x in found}


def summed(part: object) -> list[float]:
    """Return weighted sums of all values, of their sizes and of all bounds; then the sizes of arrays, and how many are lost."""
    found = list(arrays(part))
    value, error = (np.concatenate([getattr(x, of).ravel() for x in found]) for of in ("value", "error"))
    sizes = np.concatenate(
        [np.full(x.value.size, x.value.ndim + x.value.shape[-1] / 16.0 if x.value.ndim else 0.0) for x in found]
    )
    weights = 1.0 + np.modf(np.arange(1, value.size + 1) * 0.6180339887)[0]  # all differ, none stands out
    lost = np.isinf(error)
    terms = np.nan_to_num(value, nan=7.0, posinf=11.0, neginf=13.0) * weights
    sums = terms.sum(), np.abs(terms).sum(), (np.where(lost, 0.0, error) * weights).sum(), sizes.sum()
    return [*(float(f"{x:.12g}") for x in sums), len(found), int(lost.sum())]


if __name__ == "__main__":
    table = {f"{p}, {what}": quantities(p, what) for p in FORMATS for what in ("stages", *FORMULAS)}
    parts = (
        "{\n" + ",\n".join(f"  {json.dumps(n)}: {json.dumps(v)}" for n, v in found.items()) + "}" for found in table.values()
    )
    FILE.write_text(
        "{\n" + ",\n".join(f"{json.dumps(name)}: {part}" for name, part in zip(table, parts, strict=True)) + "\n}\n"
    )
