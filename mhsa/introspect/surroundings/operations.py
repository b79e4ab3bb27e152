"""Names of torch's operations, by what they do to the tensors that are followed through a call; and what a linear map maps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

SUMS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
LAYERS = {"linear", "conv1d", "conv2d"}
PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "bmm", "mm", "einsum", "tensordot"}
FUSED = "scaled_dot_product_attention"
# Functions that have the scores and their maps inside, and are one operation to who follows a call.
WHOLE_ATTENTIONS = {FUSED, "multi_head_attention_forward", "_native_multi_head_attention", "flex_attention"}
NORMS = {"layer_norm", "rms_norm", "group_norm", "batch_norm", "instance_norm"}
DROPOUTS = {"dropout", "dropout1d", "dropout2d", "feature_dropout", "alpha_dropout"}
SCALINGS = {"mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide", "mul_", "div_", *DROPOUTS}
PRODUCTS_OF_NUMBERS = {"mul", "__mul__", "__rmul__", "mul_", "__imul__"}
JOINS = {"cat", "concat", "concatenate", "stack", "hstack", "vstack"}
SQUASHING = {"sigmoid", "tanh", "sigmoid_", "tanh_"}
RESHAPINGS = {
    "view", "reshape", "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "contiguous", "clone", "flatten",
    "unflatten", "squeeze", "unsqueeze", "split", "chunk", "tensor_split", "unbind", "cat", "concat", "concatenate", "stack",
    "expand", "expand_as", "repeat", "tile", "__getitem__", "view_as", "reshape_as", "hstack", "vstack", "narrow", "select",
    "split_with_sizes", "__get__", "t",
}  # fmt: skip
ACTIVATIONS = {
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "elu", "elu_", "selu", "celu", "gelu", "silu",
    "mish", "softplus", "tanh", "tanh_", "sigmoid", "sigmoid_", "hardtanh", "hardswish", "hardsigmoid", "softsign", "clamp_min",
}  # fmt: skip


def mapped(name: str, operands: list[Tensor]) -> Tensor | None:
    """Return what an operation maps by a weight; None where it is no linear map."""
    if name in LAYERS:
        return operands[0]
    if name not in PRODUCTS or len(operands) != 2:
        return None
    for x, weight in itertools.permutations(operands):
        if x.dim() > 2 and (weight.dim() == 2 or isinstance(weight, nn.Parameter)):
            return x
    return None


def adds_a_bias(name: str, operands: list[Tensor]) -> bool:
    """Whether an operation adds the bias of a map that is written out."""
    return name in SUMS and len(operands) == 2 and operands[1].dim() == 1


def tensors_in(given: Any) -> Iterator[Tensor]:
    """Yield the tensors among arguments or results, those in lists included."""
    for x in given:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from tensors_in(x)
