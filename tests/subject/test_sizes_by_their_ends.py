"""Names that nobody lists, and that end in one of a size: v_hidden_size, bi_num_attention_heads."""

from typing import Any

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.subject.construction.argument_roles import role_of, size_at_the_end
from tests.helpers.layers import Layers


class Configured(Layers):
    def __init__(self, config: Any) -> None:
        super().__init__(config.bi_num_attention_heads, config.v_hidden_size)

    def forward(self, x):
        return self.attend(x, x, x)


class Required(Layers):
    def __init__(self, tower_embed_dim: int, tower_num_heads: int) -> None:
        super().__init__(tower_num_heads, tower_embed_dim)

    def forward(self, x):
        return self.attend(x, x, x)


class Optional(Layers):
    def __init__(self, dim: int, tower_num_heads: int = 2) -> None:
        super().__init__(tower_num_heads, dim)

    def forward(self, x):
        return self.attend(x, x, x)


@pytest.mark.parametrize(
    ("name", "role"), [("v_hidden_size", "d_model"), ("bi_num_attention_heads", "head"), ("x_n_heads", "head")]
)
def test_they_are_what_their_ends_say(name: str, role: str) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize(
    "name", ["ffn_out_hidden_size", "mem_kv_num_heads", "head_embed_dim", "lstm_hidden_size", "n_agents", "hidden_size"]
)
def test_other_names_are_not(name: str) -> None:
    assert size_at_the_end(name) == ""


@pytest.mark.parametrize("target", [Configured, Required, Optional])
def test_a_module_with_such_names_holds_and_says_so(target: Any) -> None:
    subject = f"{__file__}:{target.__name__}"
    assert verify(subject, dtypes="float64", properties="oracle.*")
    words = " ".join(u.text for u in understand(subject, ("float64",)).understood if u.part == "constructor")
    assert "_heads (as " in words
