"""A learned table of biases by distance: a parameter with a usual name and as many columns (or rows) as there are heads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mhsa.oracle.formula.bias_fields import Bias, BiasTable
from mhsa.oracle.formula.bias_table import directions, single_distances
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.formula.tables.windows import COUNT
from mhsa.records.errors import Question, SubjectError

MAY_BE_TABLE = re.compile(r"table|bias|rel|dist", re.IGNORECASE)  # of a parameter, beyond the usual names
_NAMES = re.compile(
    r"rel(ative)?_?(attn|attention|pos|position|positional)?_?(bias|emb|table)|pos(ition)?(al)?_?bias", re.IGNORECASE
)


@dataclass(frozen=True)
class TableParameter:
    """A parameter that is a table, and how it is read as [buckets, H], whatever the sizes of a module.

    Attributes:
        path: of the parameter; empty where there is none.
        heads_first: whether it has a row for each head.
    """

    path: str = ""
    heads_first: bool = False

    def by_buckets(self, parameter: Tensor) -> Tensor:
        """Return it as [buckets, H], in place."""
        return parameter.t() if self.heads_first else parameter

    @classmethod
    def of(cls, path: str, module: nn.Module, head: int, build: Callable[[int], nn.Module] | None) -> TableParameter:
        """Return how the parameter of a module with so many heads is read.

        Args:
            path: of the parameter.
            module: that has it.
            head: its number of heads.
            build: a module with so many heads; None where there is no other. It is asked where both axes are as long.

        Raises:
            SubjectError: both axes are as long as there are heads, and nothing tells which of them is that of the heads.
        """
        shape = module.get_parameter(path).shape
        if set(shape) != {head}:
            return cls(path, heads_first=shape[1] != head)
        if isinstance(module.get_submodule(path.rpartition(".")[0]), nn.Embedding):  # a row is looked up for each pair
            return cls(path)
        if build is None:
            raise SubjectError(
                f"parameter {path} {list(shape)} is a table of biases, and both of its axes are as long as there are heads: "
                "which of them is that of the heads shows in a module with another number of them, so verify the class"
            )
        return cls(path, heads_first=build(head - 1).get_parameter(path).shape[1] == head)


class UndeclaredTable(Question):
    """A parameter is a table of biases by its name, changes the result, and nothing declares it.

    Attributes:
        path: of the parameter.
    """

    def __init__(self, path: str) -> None:
        super().__init__(
            f"parameter {path} changes the result: a learned bias of the distance, in buckets, that is added to the scores?",
            {"bias": "table"},
        )
        self.path = path


def named_table(parameters: Mapping[str, Tensor], head: int, d_model: int = 0) -> str:
    """Return the path of the parameter that is called so and has a number for each head and bucket; or empty.

    With ``d_model``, where a table is declared, the one parameter of such a shape will do that is no map, whatever its name.
    """
    shaped = {path: p for path, p in parameters.items() if p.dim() == 2 and head in p.shape}
    called = next((path for path in shaped if _NAMES.search(path)), "")
    others = [path for path, p in shaped.items() if d_model and d_model not in p.shape]
    return called or (others[0] if len(others) == 1 else "")


def require_table(path: str, *, bias: Bias, found: str) -> None:
    """Raise where a module has a table that is not declared, or a declared one is not found.

    Args:
        path: of the parameter that changes the result, empty where none does.
        bias: what is declared.
        found: the path, whether it changes the result or not.

    Raises:
        UndeclaredTable: with the declaration.
        Question: with what is looked for.
    """
    if path and bias is None:
        raise UndeclaredTable(path)
    if isinstance(bias, BiasTable) and not found:
        raise Question(
            'bias = "table" is declared, but applies to nothing: no parameter with a number for each head and bucket is called '
            "relative_attention_bias, rel_pos_bias, position_bias or the like. Remove it, or rename the parameter",
            unused="contract.bias",
        )


def require_distances(formula: Formula, buckets: int) -> None:
    """Raise where a table has not as many rows as its rule, or the declared distances end before the logarithm begins.

    Args:
        formula: what is declared.
        buckets: of the table; 0 where there is none.

    Raises:
        Question: with what a table of the rule has, or the least that max_distance may be.
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
    if formula.bias.rule == "clipped":
        if directions(formula.bias, formula.causal) == "both" and buckets % 2 == 0:
            raise Question(
                f'bias has rule = "clipped", and a table of both directions has 2 m + 1 rows; this one has {buckets}. '
                'Of earlier keys alone it may have any number, which direction = "past" declares'
            )
        return
    single = single_distances(formula.bias, formula.causal, buckets)
    if formula.bias.max_distance <= single:
        raise Question(
            f"bias has max_distance = {formula.bias.max_distance}, but of the {buckets} buckets {single} of a direction "
            f"are for one distance each; declare the largest distance, {single + 1} or more"
        )
