"""How much memory autograd keeps for a backward pass."""

import torch
from torch import Tensor


class Saved:
    """Counts the bytes of distinct memory that autograd keeps."""

    def __init__(self) -> None:
        self.kept: dict[int, int] = {}

    def __enter__(self) -> "Saved":
        def pack(x: Tensor) -> Tensor:
            self.kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        self.hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x)
        self.hooks.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.hooks.__exit__(None, None, None)
