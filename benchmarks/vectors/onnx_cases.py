"""The ``Attention`` and ``RotaryEmbedding`` cases of the onnx package, each expressed as a formula and given to the oracle."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks.vectors.compared import Compared, ratio, same, worst
from mhsa.oracle import attention as oracle
from mhsa.oracle.bounded import Arithmetic, Array, Bounded
from mhsa.oracle.formula import groups, rotary
from mhsa.oracle.formula.fields import Rotary
from mhsa.oracle.formula.formula import PLAIN, Formula
from mhsa.oracle.precision import PRECISIONS

Named = dict[str, Any]
# What the fourth output of Attention is, by qk_matmul_output_mode.
SCORES, CAPPED, BIASED, WEIGHTS = range(4)


@dataclass(frozen=True)
class OnnxCase:
    """One case: inputs and outputs by the names of their places, and attributes; what is left out is not there."""

    name: str
    operator: str
    attributes: Named
    inputs: Named
    outputs: Named


def collect() -> list[OnnxCase]:
    """Return the cases of both operators; of each, onnx has one more with the operator expanded and the same numbers."""
    from onnx.backend.test.case import node
    from onnx.helper import get_attribute_value

    def two(package: ModuleType) -> None:  # all of them take 8 seconds
        for name in ("attention", "rotaryembedding"):
            importlib.import_module(f"{package.__name__}.{name}")

    with mock.patch.object(node, "import_recursive", two):
        found = node.collect_testcases()
    cases = []
    for case in found:
        first = case.model.graph.node[0]
        if case.name.endswith("_expanded") or first.op_type not in ("Attention", "RotaryEmbedding"):
            continue
        ((inputs, outputs),) = case.data_sets
        named = []
        for names, values in ((first.input, inputs), (first.output, outputs)):
            named.append(dict(zip((n for n in names if n), values, strict=True)))
        attributes = {a.name: get_attribute_value(a) for a in first.attribute}
        cases.append(OnnxCase(case.name, first.op_type, attributes, *named))
    return cases


def compare(case: OnnxCase) -> Compared:
    """Judge one case of either operator."""
    return attention(case) if case.operator == "Attention" else rotated(case)


def attention(case: OnnxCase) -> Compared:
    """Judge a case of ``Attention``, sample by sample: ``nonpad_kv_seqlen`` gives each its own number of keys."""
    heads = [case.attributes.get(name) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    q, k, v = (_split(case.inputs[name], n) for name, n in zip("QKV", heads, strict=True))
    past = 0
    ratios = {}
    if "past_key" in case.inputs:
        past = case.inputs["past_key"].shape[2]
        k, v = (np.concatenate([case.inputs[f"past_{n}"], x], 2) for n, x in (("key", k), ("value", v)))
        ratios = {f"present_{n}": same(case.outputs[f"present_{n}"], x) for n, x in (("key", k), ("value", v))}
    output, head = case.outputs["Y"], q.shape[1]
    output = _split(output, head) if output.ndim == 3 else output
    lengths = case.inputs.get("nonpad_kv_seqlen", [k.shape[2]] * len(k))
    for sample, keys in enumerate(lengths):
        of = slice(sample, sample + 1)
        first = keys - q.shape[2] if "nonpad_kv_seqlen" in case.inputs else past
        given = _part(case.inputs.get("attn_mask"), (len(q), head, q.shape[2], k.shape[2]), sample, keys)
        sides = [x[of].astype(np.float64) for x in (q, k[:, :, :keys], v[:, :, :keys])]
        found = _evaluated(case, str(q.dtype), sides, given, int(first))
        ratios[f"Y[{sample}]"] = ratio(output[of], found["Y"])
        if "qk_matmul_output" in case.outputs:
            inner = case.outputs["qk_matmul_output"][of]
            hidden = found["hidden"] & (case.attributes.get("qk_matmul_output_mode", SCORES) == BIASED)
            ratios[f"hidden scores[{sample}]"] = same(np.isneginf(inner), hidden)
            ratios[f"qk_matmul_output[{sample}]"] = ratio(np.where(hidden, 0.0, inner), found["inner"])
    return worst(case.name, str(q.dtype), ratios)


def _split(x: Any, heads: int | None) -> Any:
    """Return [B, H, T, d] of [B, T, H * d]."""
    return x if x.ndim == 4 else x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def _part(mask: Any, shape: tuple[int, ...], sample: int, keys: int) -> Any:
    """Return the mask of a sample [1, H, Tq, keys]; onnx fills one that is too short with what hides."""
    if mask is None:
        return None
    short = shape[-1] - mask.shape[-1]
    if short:
        fill = False if mask.dtype == bool else -np.inf
        mask = np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, short)], constant_values=fill)
    return np.broadcast_to(mask, shape)[sample : sample + 1, ..., :keys]


def formula_of(case: OnnxCase, first: int, queries: int, keys: int) -> Formula:
    """Return what the attributes say in mhsa's words; ``first`` is the place of the first query among the keys."""
    get = case.attributes.get
    window = (get("left_window_size", -1), get("right_window_size", -1))
    causal = "top-left" if get("is_causal") else "no"
    return Formula(
        causal="bottom-right" if causal != "no" and first == keys - queries else causal,
        scale=get("scale"),
        window=None if window == (-1, -1) else window,
        softcap=get("softcap") or None,
        bias="given" if "attn_mask" in case.inputs and case.inputs["attn_mask"].dtype != bool else None,
    )


def _seen(formula: Formula, first: int, queries: int, keys: int) -> NDArray[np.bool_]:
    """Return [Tq, Tk], True where a query may see a key by its place: queries after a cache are the last of a longer row."""
    if formula.causal == "bottom-right":
        seen = formula.visible(queries, keys)
    else:
        if first < 0 and formula.positional:
            raise ValueError(f"the first query is at {first}, before the first key; a formula has that with bottom-right only")
        longer = formula.visible(first + queries, keys) if formula.positional else None
        seen = None if longer is None else longer[first:]
    return np.ones((queries, keys), dtype=bool) if seen is None else seen


def _evaluated(case: OnnxCase, dtype: str, sides: list[Array], given: Any, first: int) -> dict[str, Any]:
    """Return what the oracle gives for one sample: Y, the inner output that is asked for, and which scores are hidden."""
    arithmetic = Arithmetic(PRECISIONS[dtype])
    q, k, v = (Bounded.exact(x) for x in sides)
    head, queries, keys = q.value.shape[1], q.value.shape[2], k.value.shape[2]
    k, v = groups.repeat(k, head), groups.repeat(v, head)
    formula = formula_of(case, first, queries, keys)
    allowed = np.broadcast_to(_seen(formula, first, queries, keys), (1, head, queries, keys))
    bias = None
    if given is not None and given.dtype == bool:
        allowed = allowed & given
    elif given is not None:
        numbers = given.astype(np.float64)
        allowed = allowed & ~np.isneginf(numbers)
        bias = np.where(np.isneginf(numbers), 0.0, numbers)

    def core(formula: Formula, bias: Array | None = None) -> oracle.Attention:
        return oracle.core(arithmetic, q, k, v, allowed, "zeros", bias, formula)

    whole = core(formula, bias)
    mode = case.attributes.get("qk_matmul_output_mode", SCORES)
    hidden = ~allowed
    if mode == WEIGHTS:
        inner = whole.weights
    elif mode == BIASED:
        inner = Bounded(np.where(hidden, 0.0, whole.scores.value), np.where(hidden, 0.0, whole.scores.error))
    else:
        inner = core(replace(formula, bias=None) if mode == CAPPED else replace(PLAIN, scale=formula.scale)).scores
    return {"Y": whole.output, "inner": inner, "hidden": hidden}


def rotated(case: OnnxCase) -> Compared:
    """Judge a case of ``RotaryEmbedding``; its tables of cosines and sines are given, and so exact."""
    x = _split(case.inputs["input"], case.attributes.get("num_heads"))
    at = case.inputs.get("position_ids")
    tables = (case.inputs[name] if at is None else case.inputs[name][at] for name in ("cos_cache", "sin_cache"))
    cos, sin = (Bounded.exact(t[:, None]) for t in tables)
    width = case.attributes.get("rotary_embedding_dim", 0) or x.shape[-1]
    layout = "interleaved" if case.attributes.get("interleaved") else "half"
    formula = Rotary(layout=layout, fraction=width / x.shape[-1])
    must = rotary.turn(Arithmetic(PRECISIONS[str(x.dtype)]), formula, Bounded.exact(x), (cos, sin))
    got = _split(case.outputs["output"], case.attributes.get("num_heads"))
    return worst(case.name, str(x.dtype), {"output": ratio(got, must)})
