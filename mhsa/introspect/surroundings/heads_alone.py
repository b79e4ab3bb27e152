"""Heads to which the queries are added, or that a norm takes, before any out projection, as in the Set Transformer.

One call's operations are followed on their own thread. The scores are the first product of two activations, the heads come
from a second one; the first sum of those with the queries, or with what their map gives, is the residual. It is not added,
so that what goes into the next operation that is no reshaping is the merged heads. Where a norm takes the heads, bare heads
are what it takes. No number is compared: a bug inside of the attention does not disturb this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mhsa.introspect.surroundings.operations import (
    ACTIVATIONS,
    DROPOUTS,
    FUSED,
    JOINS,
    PRODUCTS,
    PRODUCTS_OF_NUMBERS,
    RESHAPINGS,
    SCALINGS,
    SQUASHING,
    SUMS,
    adds_a_bias,
    mapped,
    tensors_in,
)

Residual = Literal["", "queries", "projected queries"]
Gate = Literal["", "number", "any"]  # what follows on the heads: a learned number before the residual, or whatever there is


class After:
    """What comes after a tensor.

    Attributes:
        made_of: what is made of it, by id, and whether through a linear map.
        maps: how many linear maps come after it.
        around_a_map: whether a later residual goes around a linear map of it.
    """

    def __init__(self) -> None:
        self.made_of: dict[int, bool] = {}
        self.maps, self.around_a_map = 0, False

    def follow(self, name: str, operands: list[Tensor], gave: list[Tensor], *, maps: bool) -> None:
        """Note an operation, where it takes something that is made of the tensor."""
        through = [self.made_of[id(x)] for x in operands if id(x) in self.made_of]
        if not through:
            return
        self.maps += maps
        self.around_a_map |= name in SUMS and set(through) == {False, True}
        self.made_of |= {id(x): maps or any(through) for x in gave}


class HeadsAlone(TorchFunctionMode):
    """Follows the operations of one call.

    Attributes:
        residual: what is added to the heads before all else; empty where nothing is.
        gate: whether a learned number multiplies the heads before that: then it is left out, too.
        merged: the heads, merged, before the first operation that is no reshaping; None where no residual was found.
        next: the name of that operation, or of the first after it that is no dropout.
        after: what comes after it.
        bare: the heads, merged, before the first operation that is neither a reshaping nor a dropout nor the residual.
        next_to_bare: the name of that operation.
        after_bare: what comes after that.
        drops, drops_bare: whether there is a dropout before the merged heads, and before the bare ones.
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
        self.next, self.after = "", After()
        self.bare: Tensor | None = None
        self.next_to_bare, self.after_bare = "", After()
        self.drops, self.drops_bare = False, False
        self._seen: list[Any] = []  # so that no other tensor gets the id of one of them
        self._products: dict[int, int] = {}  # how many products of activations a tensor comes from
        self._origin: dict[int, int] = {}  # what a tensor is, reshaped
        self._source: dict[int, int] = {}  # what a tensor is, reshaped and multiplied by a number
        self._mapped: dict[int, int] = {}  # what the outputs of linear maps were made of
        self._scored: tuple[int, int] | None = None  # the queries and the keys of the scores
        self._heads: set[int] = set()  # the heads with the residual, reshaped

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        operands = list(tensors_in((*args, *kwargs.values())))
        if name in SUMS and not kwargs and len(operands) == 2 and (heads := self._heads_of(*operands)) is not None:
            alone = self._gated.get(id(heads))
            self.gate = alone is not None
            gave = heads if self.leave_out else func(*args)
            self._keep(gave, operands)
            if alone is not None:  # the rest is none of the attention's
                self.merged, self.next = alone.clone(), name
                self.after.made_of[id(gave)] = False
            else:
                self._heads.add(id(gave))
            return gave
        if not self._reshapes(name, operands):
            self._before(name, operands)
        gave = func(*args, **kwargs)
        self._note(name, operands, list(tensors_in((gave,))))
        return gave

    def is_sum(self, x: Tensor) -> bool:
        """Whether a tensor is the heads with the residual, reshaped, and nothing more."""
        return id(x) in self._heads

    def is_heads(self, x: Tensor) -> bool:
        """Whether a tensor is the heads, reshaped or dropped, and nothing more."""
        return not self.residual and self.bare is None and self._products.get(id(x), 0) > 1

    def _before(self, name: str, operands: list[Tensor]) -> None:
        """Note the heads where they are taken by an operation that is no reshaping."""
        if self.merged is None:
            into = next((x for x in operands if id(x) in self._heads), None)
            if into is not None:
                self.merged, self.next = into.clone(), name
                self.after.made_of[id(into)] = False
        elif self.next in DROPOUTS:
            self.next = name
        if self.bare is None and not self.residual and name not in DROPOUTS:
            into = next((x for x in operands if self._products.get(id(x), 0) > 1), None)
            if into is not None:
                self.bare, self.next_to_bare = into.clone(), name
                self.after_bare.made_of[id(into)] = False

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
            self.drops |= name in DROPOUTS
        if self.bare is None:
            self.drops_bare |= name in DROPOUTS
        activates = name in ACTIVATIONS and bool(operands) and not self._products[id(operands[0])]
        if name in RESHAPINGS or name in SCALINGS or activates:
            self._hand_on(self._source, operands, gave)
        if name in RESHAPINGS or activates:
            self._hand_on(self._origin, operands, gave)
        if self._reshapes(name, operands) and any(id(x) in self._heads for x in operands):
            self._heads |= {id(x) for x in gave}
        activation = mapped(name, operands)
        if activation is not None:
            for x in gave:
                self._mapped[id(x)] = self._origin.get(id(activation), id(activation))
        elif adds_a_bias(name, operands):
            made = self._mapped.get(id(operands[0]))
            self._mapped |= {} if made is None else {id(x): made for x in gave}
        elif (name in PRODUCTS and len(operands) == 2) or name == FUSED:
            if self._scored is None:
                self._scored = self._source_of(operands[0]), self._source_of(operands[1])
            for x in gave:
                self._products[id(x)] += 2 if name == FUSED else 1
                if self.known == "any" and self._products[id(x)] == 2:
                    self._heads.add(id(x))
        for after in (self.after, self.after_bare):
            after.follow(name, operands, gave, maps=activation is not None)

    def _note_gates(self, name: str, operands: list[Tensor], gave: list[Tensor]) -> None:
        """Note what a learned number is, and which heads it multiplies; what is reshaped after that is reshaped without it."""
        learned = [x for x in operands if x.numel() == 1 and self._is_learned(x)]
        if len(learned) == len(operands) == 1 and name in RESHAPINGS | SQUASHING:
            self._learned |= {id(x) for x in gave}
        elif len(operands) == 2 and len(learned) == 1 and name in PRODUCTS_OF_NUMBERS:
            heads = operands[0] if operands[1] is learned[0] else operands[1]
            if self._products.get(id(heads), 0) > 1:
                self._gated |= {id(x): heads for x in gave if x.shape == heads.shape}

    def _reshapes(self, name: str, operands: list[Tensor]) -> bool:
        """Whether an operation reshapes heads, or joins them with each other alone."""
        joined = self.known == "any" and name in JOINS and not all(id(x) in self._heads for x in operands)
        return name in RESHAPINGS and not joined

    def _is_learned(self, x: Tensor) -> bool:
        return self.known == "number" or isinstance(x, nn.Parameter) or id(x) in self._learned

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
    forward: Callable[..., Any], put: Callable[[Tensor, Any], Any], gate: Gate, bare: bool, *args: Any, **kwargs: Any
) -> Any:  # fmt: skip
    """Call ``forward``, and ``put`` the merged heads, without a residual or ``bare``, in the place of what it returned."""
    with HeadsAlone(leave_out=not bare, known=gate) as followed:
        gave = forward(*args, **kwargs)
    heads = followed.bare if bare else followed.merged
    return gave if heads is None else put(heads, gave)
