"""A module that takes its tokens with either axis first is judged with samples first; that the other is not judged is said."""

from mhsa.introspect.resolve import understand
from tests.helpers.layers import Layers


class TakesEither(Layers):
    def __init__(self, num_heads: int, d_model: int, batch_first: bool = False) -> None:
        super().__init__(num_heads, d_model)
        self.batch_first = batch_first

    def forward(self, query, key, value):
        given = (query, key, value)
        if self.batch_first:
            return self.attend(*given)
        return self.attend(*(x.transpose(0, 1) for x in given)).transpose(0, 1)


def test_what_it_does_with_time_first_is_named() -> None:
    subject = understand(f"{__file__}:TakesEither", ("float64",))
    assert subject.contract.layout == "BTD"
    assert "constructor argument batch_first that is off" in subject.not_judged
