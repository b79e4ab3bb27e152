"""Heads to which the queries are added before any out projection, as in the Set Transformer: the residual is left out.

One call's operations are followed on their own thread. The scores are the first product of two activations, the heads come
from a second one; the first sum of those with the queries, or with what their map gives, is the residual. It is not added,
so that what goes into the next operation that is no reshaping is the merged heads. No number is compared: a bug inside of
the attention does not disturb this.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Literal

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Residual = Literal["", "queries", "projected queries"]
Gate = Literal["", "number", "any"]  # what follows on the heads: a learned number before the residual, or whatever there is

_SUMS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
_LAYERS = {"linear", "conv1d", "conv2d"}
_PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "bmm", "mm", "einsum"}
_FUSED = "scaled_dot_product_attention"
NORMS = {"layer_norm", "rms_norm", "group_norm", "batch_norm", "instance_norm"}
_DROPOUTS = {"dropout", "dropout1d", "dropout2d", "feature_dropout", "alpha_dropout"}
_SCALINGS = {"mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide", "mul_", "div_", *_DROPOUTS}
_PRODUCTS_OF_NUMBERS = {"mul", "__mul__", "__rmul__", "mul_", "__imul__"}
_JOINS = {"cat", "concat", "concatenate", "stack", "hstack", "vstack"}
_SQUASHING = {"sigmoid", "tanh", "sigmoid_", "tanh_"}
_RESHAPINGS = {
    "view", "reshape", "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "contiguous", "clone", "flatten",
    "unflatten", "squeeze", "unsqueeze", "split", "chunk", "tensor_split", "unbind", "cat", "concat", "concatenate", "stack",
    "expand", "expand_as", "repeat", "tile", "__getitem__", "view_as", "reshape_as", "hstack", "vstack", "narrow", "select",
    "split_with_sizes", "__get__", "t",
}  # fmt: skip


class HeadsAlone(TorchFunctionMode):
    """Follows the operations of one call.

    Attributes:
        residual: what is added to the heads before all else; empty where nothing is.
        gate: whether a learned number multiplies the heads before that: then it is left out, too.
        merged: the heads, merged, before the first operation that is no reshaping; None where no residual was found.
        next: the name of that operation.
        maps_after: how many linear maps come after it.
        around_a_map: whether a later residual goes around a linear map of it.
        drops: whether there is a dropout before it.
    """

    def __init__(self, *, leave_out: bool, known: Gate = "") -> None:
        """Follow a call. A ``known`` number is there though its parameter may be replaced; before "any" gate heads end."""
        super().__init__()
        self.leave_out, self.known = leave_out, known
        self.residual: Residual = ""
        self.gate = False
        self._learned: set[int] = set()  # learned numbers, reshaped or squashed
        self._gated: dict[int, Tensor] = {}  # the heads that a learned number was multiplied with
        self.merged: Tensor | None = None
        self.next = ""
        self.maps_after, self.around_a_map, self.drops = 0, False, False
        self._seen: list[Any] = []  # so that no other tensor gets the id of one of them
        self._products: dict[int, int] = {}  # how many products of activations a tensor comes from
        self._origin: dict[int, int] = {}  # what a tensor is, reshaped
        self._source: dict[int, int] = {}  # what a tensor is, reshaped and multiplied by a number
        self._mapped: dict[int, int] = {}  # what the outputs of linear maps were made of
        self._scored: tuple[int, int] | None = None  # the queries and the keys of the scores
        self._heads: set[int] = set()  # the heads with the residual, reshaped
        self._after: dict[int, bool] = {}  # what is made of the merged heads, and whether through a map

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        operands = list(_tensors((*args, *kwargs.values())))
        if name in _SUMS and not kwargs and len(operands) == 2 and (heads := self._heads_of(*operands)) is not None:
            alone = self._gated.get(id(heads))
            self.gate = alone is not None
            gave = heads if self.leave_out else func(*args)
            self._keep(gave, operands)
            if alone is not None:  # the rest is none of the attention's
                self.merged, self.next = alone.clone(), name
                self._after[id(gave)] = False
            else:
                self._heads.add(id(gave))
            return gave
        if self.merged is None and not self._reshapes(name, operands):
            into = next((x for x in operands if id(x) in self._heads), None)
            if into is not None:
                self.merged, self.next = into.clone(), name
                self._after[id(into)] = False
        gave = func(*args, **kwargs)
        self._note(name, operands, list(_tensors((gave,))))
        return gave

    def _heads_of(self, a: Tensor, b: Tensor) -> Tensor | None:
        """Return the heads of a sum of them with the queries; None where it is another sum, or there was one before."""
        if self.residual or self._scored is None or a.shape != b.shape or self.known == "any":
            return None
        for heads, other in ((a, b), (b, a)):
            if self._products.get(id(heads), 0) < 2 or self._products.get(id(other), 0):
                continue
            query, key = self._scored
            origin = self._origin.get(id(other), id(other))
            if origin == query != key and query in self._mapped:
                self.residual = "projected queries"
            elif origin == self._mapped.get(query):
                self.residual = "queries"
            if self.residual:
                return heads
        return None

    def _note(self, name: str, operands: list[Tensor], gave: list[Tensor]) -> None:
        for x in gave:
            self._keep(x, operands)
        self._note_gates(name, operands, gave)
        if self.merged is None:
            self.drops |= name in _DROPOUTS
        if name in _RESHAPINGS or name in _SCALINGS:
            self._hand_on(self._source, operands, gave)
        if name in _RESHAPINGS:
            self._hand_on(self._origin, operands, gave)
            if self._reshapes(name, operands) and any(id(x) in self._heads for x in operands):
                self._heads |= {id(x) for x in gave}
        activation = _mapped(name, operands)
        if activation is not None:
            for x in gave:
                self._mapped[id(x)] = self._origin.get(id(activation), id(activation))
        elif name in _SUMS and len(operands) == 2 and operands[1].dim() == 1:  # the bias of a map that is written out
            made = self._mapped.get(id(operands[0]))
            self._mapped |= {} if made is None else {id(x): made for x in gave}
        elif (name in _PRODUCTS and len(operands) == 2) or name == _FUSED:
            if self._scored is None:
                self._scored = self._source_of(operands[0]), self._source_of(operands[1])
            for x in gave:
                self._products[id(x)] += 2 if name == _FUSED else 1
                if self.known == "any" and self._products[id(x)] == 2:
                    self._heads.add(id(x))
        self._follow(name, operands, gave, maps=activation is not None)

    def _note_gates(self, name: str, operands: list[Tensor], gave: list[Tensor]) -> None:
        """Note what a learned number is, and which heads it multiplies; what is reshaped after that is reshaped without it."""
        learned = [x for x in operands if x.numel() == 1 and self._is_learned(x)]
        if len(learned) == len(operands) == 1 and name in _RESHAPINGS | _SQUASHING:
            self._learned |= {id(x) for x in gave}
        elif len(operands) == 2 and len(learned) == 1 and name in _PRODUCTS_OF_NUMBERS:
            heads = operands[0] if operands[1] is learned[0] else operands[1]
            if self._products.get(id(heads), 0) > 1:
                self._gated |= {id(x): heads for x in gave if x.shape == heads.shape}

    def _reshapes(self, name: str, operands: list[Tensor]) -> bool:
        """Whether an operation reshapes heads, or joins them with each other alone."""
        joined = self.known == "any" and name in _JOINS and not all(id(x) in self._heads for x in operands)
        return name in _RESHAPINGS and not joined

    def _is_learned(self, x: Tensor) -> bool:
        return self.known == "number" or isinstance(x, nn.Parameter) or id(x) in self._learned

    def _follow(self, name: str, operands: list[Tensor], gave: list[Tensor], *, maps: bool) -> None:
        through = [self._after[id(x)] for x in operands if id(x) in self._after]
        if not through:
            return
        self.maps_after += maps
        self.around_a_map |= name in _SUMS and set(through) == {False, True}
        self._after |= {id(x): maps or any(through) for x in gave}

    def _source_of(self, x: Tensor) -> int:
        return self._source.get(id(x), id(x))

    def _hand_on(self, known: dict[int, int], operands: list[Tensor], gave: list[Tensor]) -> None:
        """Note that what was given back is what the operands are, where they all are one thing."""
        several = {known.get(id(x), id(x)) for x in operands if x.dim() > 1}
        if len(several) == 1:
            (one,) = several
            for x in gave:
                known.setdefault(id(x), one)

    def _keep(self, x: Tensor, operands: list[Tensor]) -> None:
        self._seen.append((x, operands))
        most = max((self._products.get(id(operand), 0) for operand in operands), default=0)
        self._products[id(x)] = max(most, self._products.get(id(x), 0))


def heads_alone(
    forward: Callable[..., Any], put: Callable[[Tensor, Any], Any], gate: Gate, *args: Any, **kwargs: Any
) -> Any:  # fmt: skip
    """Call ``forward``, and ``put`` the merged heads in the place of what it returned."""
    with HeadsAlone(leave_out=True, known=gate) as followed:
        gave = forward(*args, **kwargs)
    return gave if followed.merged is None else put(followed.merged, gave)


def _mapped(name: str, operands: list[Tensor]) -> Tensor | None:
    """Return what an operation maps by a weight; None where it is no linear map."""
    if name in _LAYERS:
        return operands[0]
    if name not in _PRODUCTS or len(operands) != 2:
        return None
    for x, weight in itertools.permutations(operands):
        if x.dim() > 2 and (weight.dim() == 2 or isinstance(weight, nn.Parameter)):
            return x
    return None


def _tensors(given: Any) -> Iterator[Tensor]:
    for x in given:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from _tensors(x)
