"""A switch that a constructor must be given, of an unknown name, is off; the other position is judged or named."""

import torch

from mhsa.introspect.resolve import understand
from tests.helpers.layers import Layers


class HidesLater(Layers):
    first = 1

    def __init__(self, num_heads: int, d_model: int, hide_back_links: bool) -> None:
        super().__init__(num_heads, d_model)
        self.hide_back_links = hide_back_links

    def forward(self, query, key, value):
        hidden = torch.zeros(query.size(0), query.size(1), key.size(1), dtype=torch.bool)
        if self.hide_back_links:
            rows, columns = torch.triu_indices(query.size(1), key.size(1), self.first)
            hidden[:, rows, columns] = True
        return self.attend(query, key, value, hidden)


class HidesOneTooFew(HidesLater):
    first = 2


class Doubles(Layers):
    def __init__(self, num_heads: int, d_model: int, louder: bool) -> None:
        super().__init__(num_heads, d_model)
        self.louder = louder

    def forward(self, query, key, value):
        return self.attend(query, key, value) * (2 if self.louder else 1)


def test_a_switch_next_to_a_triangle_is_judged_where_it_fits() -> None:
    subject = understand(f"{__file__}:HidesLater", ("float64",))
    assert [switch.words for switch in subject.switches] == ["hide_back_links=True"]
    assert not any("hide_back_links" in words for words in subject.not_judged)


def test_one_that_is_not_exactly_causal_is_named() -> None:
    subject = understand(f"{__file__}:HidesOneTooFew", ("float64",))
    assert any("hide_back_links=True it is not exactly causal" in words for words in subject.not_judged)


def test_one_of_an_unknown_name_is_named() -> None:
    assert "constructor argument louder" in understand(f"{__file__}:Doubles", ("float64",)).not_judged
