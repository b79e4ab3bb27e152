"""A learned table of biases by distance: a parameter with a usual name and as many columns (or rows) as there are heads."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from mhsa.oracle.formula.bias_table import single_distances
from mhsa.oracle.formula.fields import Bias, BiasTable
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.formula.window_table import COUNT
from mhsa.records.errors import Question

_NAMES = re.compile(
    r"rel(ative)?_?(attn|attention|pos|position|positional)?_?(bias|emb|table)|pos(ition)?(al)?_?bias", re.IGNORECASE
)


def named_table(parameters: Mapping[str, Tensor], head: int, d_model: int = 0) -> str:
    """Return the path of the parameter that is called so and has a number for each head and bucket; or empty.

    With ``d_model``, where a table is declared, the one parameter of such a shape will do that is no map, whatever its name.
    """
    shaped = {path: p for path, p in parameters.items() if p.dim() == 2 and head in p.shape}
    called = next((path for path in shaped if _NAMES.search(path)), "")
    others = [path for path, p in shaped.items() if d_model and d_model not in p.shape]
    return called or (others[0] if len(others) == 1 else "")


def by_buckets(parameter: Tensor, head: int) -> Tensor:
    """Return a table as [buckets, H], in place."""
    return parameter if parameter.size(1) == head else parameter.t()


def require_table(path: str, *, bias: Bias, found: str) -> None:
    """Raise where a module has a table that is not declared, or a declared one is not found.

    Args:
        path: of the parameter that changes the result, empty where none does.
        bias: what is declared.
        found: the path, whether it changes the result or not.

    Raises:
        Question: with the declaration, or with what is looked for.
    """
    if path and bias is None:
        raise Question(
            f"parameter {path} changes the result: a learned bias of the distance, in buckets, that is added to the scores?",
            {"bias": "table"},
        )
    if isinstance(bias, BiasTable) and not found:
        raise Question(
            'bias = "table" is declared, but applies to nothing: no parameter with a number for each head and bucket is called '
            "relative_attention_bias, rel_pos_bias, position_bias or the like. Remove it, or rename the parameter",
            unused="contract.bias",
        )


def require_distances(formula: Formula, buckets: int) -> None:
    """Raise where the declared distances end before the logarithm begins.

    Args:
        formula: what is declared.
        buckets: of the table; 0 where there is none.

    Raises:
        Question: with the least that max_distance may be.
    """
    if not isinstance(formula.bias, BiasTable) or not buckets:
        return
    if formula.bias.rule == "swin":
        if buckets != COUNT:
            raise Question(
                'bias has rule = "swin", but the module is not built for a window: its constructor must take height and width '
                "in one argument, window_size or the like, and its table must have (2 h - 1) (2 w - 1) rows"
            )
        return
    single = single_distances(formula.bias, formula.causal, buckets)
    if formula.bias.max_distance <= single:
        raise Question(
            f"bias has max_distance = {formula.bias.max_distance}, but of the {buckets} buckets {single} of a direction "
            f"are for one distance each; declare the largest distance, {single + 1} or more"
        )
