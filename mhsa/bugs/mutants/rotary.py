"""Bugs of rotary positions: each is judged under the declaration that its class carries; the first classes are right."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain
from mhsa.bugs.mutants.right_formula import Declared
from mhsa.oracle.formula.fields import Rotary


class RotaryHalf(Declared):
    """Feature i of a head is rotated with feature i + d_k / 2; tables are in float32, whatever the dtype of the data."""

    formula = replace(Declared.formula, rotary=Rotary(tables="float32"))
    mhsa_contract = replace(Plain.mhsa_contract, rotary=Rotary(tables="float32"))


class RotaryInterleaved(Declared):
    """Feature 2 i is rotated with feature 2 i + 1; places begin at 3, frequencies at base 500."""

    formula = replace(Declared.formula, rotary=Rotary(500.0, "interleaved", 1.0, 3))
    mhsa_contract = replace(Plain.mhsa_contract, rotary=Rotary(500.0, "interleaved", 1.0, 3))


class RotaryPartial(Declared):
    """Half of the features is rotated, and attention is causal, the last query at the last key."""

    formula = replace(Declared.formula, causal="bottom-right", rotary=Rotary(fraction=0.5))
    mhsa_contract = replace(Plain.mhsa_contract, causal="bottom-right", rotary=Rotary(fraction=0.5))


class PairsInterleaved(RotaryHalf):
    """Neighbours are rotated together, where the halves are declared.

    Formula: pairs (2 i, 2 i + 1); must be (i, i + d_k / 2)
    Census: A32; huggingface/transformers#25199
    """

    used = Rotary(layout="interleaved")


class PairsInHalves(RotaryInterleaved):
    """The halves are rotated together, where neighbours are declared.

    Formula: pairs (i, i + d_k / 2); must be (2 i, 2 i + 1)
    Census: A32; huggingface/transformers#25199
    """

    used = Rotary(500.0, "half", 1.0, 3)


class RotatedTheOtherWay(RotaryHalf):
    """Queries are rotated by the negative angle, so that places add up.

    Formula: <R(-i) q, R(j) k>; must be <R(i) q, R(j) k>
    Census: A32
    """

    def turned(self, x: Tensor, places: Tensor, which: str) -> Tensor:
        """Turn queries back."""
        return super().turned(x, -places if which == "query" else places, which)


class KeysRotatedTheOtherWay(RotaryHalf):
    """Keys are rotated by the negative angle, so that places add up.

    Formula: <R(i) q, R(-j) k>; must be <R(i) q, R(j) k>
    Census: A32
    """

    def turned(self, x: Tensor, places: Tensor, which: str) -> Tensor:
        """Turn keys back."""
        return super().turned(x, -places if which == "key" else places, which)


class AnglesNegated(RotaryHalf):
    """Queries and keys are rotated by the negative angle: the sine has the wrong sign.

    Formula: <R(-i) q, R(-j) k>; must be <R(i) q, R(j) k>
    Census: A32
    """

    def turned(self, x: Tensor, places: Tensor, which: str) -> Tensor:
        """Turn both back."""
        return super().turned(x, -places, which)


class OneSideOfARotation(RotaryHalf):
    """The second feature of a pair is rotated with the wrong sign, so that the pair is not rotated.

    Formula: b cos - a sin; must be b cos + a sin
    Census: A32
    """

    def other(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Forget one minus."""
        return -b, -a


class KeysNotRotated(RotaryHalf):
    """Queries are rotated, keys are not.

    Formula: <R(i) q, k>; must be <R(i) q, R(j) k>
    Census: A32, P22
    """

    def turned(self, x: Tensor, places: Tensor, which: str) -> Tensor:
        """Leave keys as they are."""
        return x if which == "key" else super().turned(x, places, which)


class KeysOnePlaceFurther(RotaryHalf):
    """The places of keys begin one further than those of queries.

    Formula: <R(i) q, R(j + 1) k>; must be <R(i) q, R(j) k>
    Census: A32, P22
    """

    def turned(self, x: Tensor, places: Tensor, which: str) -> Tensor:
        """Count keys from one."""
        return super().turned(x, places + 1 if which == "key" else places, which)


class ValuesRotated(RotaryHalf):
    """Values are rotated as keys are.

    Formula: sum A_ij R(j) v_j; must be sum A_ij v_j
    Census: A32
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turn values, too."""
        q, k, v = super().heads(q, k, v)
        return q, k, self.turned(v, torch.arange(v.size(-2), device=v.device), "value")


class OffsetForgottenForKeys(RotaryInterleaved):
    """Queries are at places from 3 on, keys from 0.

    Formula: <R(i + 3) q, R(j) k>; must be <R(i + 3) q, R(j + 3) k>
    Census: A32, P22
    """

    def turned(self, x: Tensor, places: Tensor, which: str) -> Tensor:
        """Count keys from 0."""
        return super().turned(x, places - 3 if which == "key" else places, which)


class QueriesFromZero(RotaryPartial):
    """Queries are at places from 0 on where they are the last ones of more keys, as with a cache.

    Formula: <R(i) q, R(j) k>; must be <R(i + Tk - Tq) q, R(j) k>
    Census: A32; P22
    """

    def turned(self, x: Tensor, places: Tensor, which: str) -> Tensor:
        """Count queries from 0."""
        return super().turned(x, places - places[:1] if which == "query" else places, which)


class FrequenciesOfTheWholeHead(RotaryPartial):
    """Frequencies are spread over all features of the head, where some of them are rotated.

    Formula: base^(-2 i / d_k); must be base^(-2 i / (d_k / 2))
    Census: A32
    """

    def frequencies(self, width: int, dtype: torch.dtype) -> Tensor:
        """Take the wrong width."""
        rotary = self.formula.rotary
        assert rotary is not None
        return super().frequencies(round(width / rotary.fraction), dtype)[: width // 2]


class FrequenciesOfTheModel(RotaryHalf):
    """Frequencies are spread over the width of the model, of which a head has a part.

    Formula: base^(-2 i / d_model); must be base^(-2 i / d_k)
    Census: A32
    """

    def frequencies(self, width: int, dtype: torch.dtype) -> Tensor:
        """Take the wrong width."""
        return super().frequencies(width * self.head, dtype)[: width // 2]


class OtherBase(RotaryHalf):
    """The base of the frequencies is another one than is declared.

    Formula: {}^(-2 i / d_k); must be 10000^(-2 i / d_k)
    Census: A32, P22
    """

    free = "base"
    base = 500000.0

    def frequencies(self, width: int, dtype: torch.dtype) -> Tensor:
        """Take the other base."""
        return 1.0 / abs(self.base) ** (torch.arange(0, width, 2, dtype=dtype) / width)


class RotaryForgotten(RotaryHalf):
    """Rotary positions are declared, and nothing is rotated.

    Formula: <q, k>; must be <R(i) q, R(j) k>
    Census: A32, P22
    """

    def turned(self, x: Tensor, places: Tensor, which: str) -> Tensor:
        """Leave both as they are."""
        return x


class TablesInTheDtypeOfTheData(RotaryHalf):
    """Angles are formed in the dtype of the data, which a half format cannot: far places are rotated by anything.

    Formula: angles in bfloat16; must be in float32
    Census: A33; sgl-project/sglang-jax#1472
    """

    used = Rotary(tables="dtype")
