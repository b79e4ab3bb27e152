"""A call that takes query, key and value as one list, and masks the keys with an axis of size 1 behind."""

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from tests.helpers.layers import Layers, fails


class OfAList(Layers):
    def forward(self, x, mask=None):
        """Attend; mask is [B, T, 1]."""
        K, Q, V = x
        return self.attend(Q, K, V, None if mask is None else ~mask.mT)


class KeysForValues(Layers):
    def forward(self, x, mask=None):
        """Attend; mask is [B, T, 1]."""
        q, k, v = x
        v = k
        return self.attend(q, k, v, None if mask is None else ~mask.mT)


class OfAListOfOthers(Layers):
    """Unpacks something else."""

    def forward(self, x):
        batch, length, width = x.shape
        return self.attend(x, x, x.reshape(batch, length, width))


def test_a_list_is_given_in_the_order_in_which_it_is_unpacked() -> None:
    subject = understand(f"{__file__}:OfAList", ("float64",))
    assert subject.adapter.describe() == "forward(x=[key, query, value], mask)"
    assert subject.contract.mask_shape == "[B, Tk, 1]"
    found = verify(f"{__file__}:OfAList", dtypes="float64", properties=("oracle.*", "gradients.gradients_of_inputs", "edges.*"))
    assert found, str(found)
    assert fails(f"{__file__}:KeysForValues")


def test_other_tensors_are_no_list() -> None:
    assert understand(f"{__file__}:OfAListOfOthers", ("float64",)).adapter.inputs == "x"
    assert not fails(f"{__file__}:OfAListOfOthers")
