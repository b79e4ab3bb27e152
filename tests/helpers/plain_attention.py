"""Attention that is right: tests derive from it what is read, and say in which form."""

from torch import nn


class Plain(nn.Module):
    """Attention whose subclasses say in which form they take a mask, and how the tokens are laid out."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def attend(self, query, key, value, hide):
        """Attend where ``hide``, bool [B, H, Tq, Tk] or broadcastable, is False; it may be floating, and is added then."""
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT / k.size(-1) ** 0.5
        if hide is not None:
            s = s + hide if hide.is_floating_point() else s.masked_fill(hide, -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
