"""Channels first and pictures that come back as tokens; what runs by chance, where a length is the width, is not judged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from tests.helpers.layers import Layers


class ChannelsFirst(Layers):
    """Its tokens are turned when they come in, and stay so."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.attend(x.transpose(1, 2), y.transpose(1, 2), y.transpose(1, 2))
        return out


class ChannelsFirstOfKeysAlone(ChannelsFirst):
    """It forgets to turn the values, which is seen only where there are as many keys as features."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.attend(x.transpose(1, 2), y.transpose(1, 2), y)
        return out


class ChannelsFirstUnscaled(ChannelsFirst):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(2 * x, y)


class Pictures(Layers):
    def forward(self, feature_map: Tensor) -> Tensor:
        x = feature_map.flatten(2).transpose(1, 2)
        out: Tensor = self.attend(x, x, x)
        return out


class PicturesByColumns(Pictures):
    """The pixels of its queries come in another order than those of its keys."""

    def forward(self, feature_map: Tensor) -> Tensor:
        return super().forward(feature_map.transpose(2, 3))


@pytest.mark.parametrize(("name", "layout"), [("ChannelsFirst", "BDT>BTD"), ("Pictures", "BCHW")])
def test_what_comes_back_as_tokens_is_read(name: str, layout: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert subject.contract.layout == layout
    assert any(part.declaration.get("layout") == layout for part in subject.understood if part.part == "layout")
    found = verify(f"{__file__}:{name}", dtypes="float64", properties=["oracle.*", "gradients.gradients_of_inputs"])
    assert found, str(found)


@pytest.mark.parametrize("name", ["ChannelsFirstUnscaled", "PicturesByColumns"])
def test_bugs_in_it_are_found(name: str) -> None:
    assert verify(f"{__file__}:{name}", dtypes="float64", properties="oracle.*").verdict == "violated"


def test_calls_in_which_a_length_is_the_width_show_nothing() -> None:
    module = ChannelsFirstOfKeysAlone(2, 16)
    assert isinstance(module, nn.Module)
    assert module(torch.zeros(1, 16, 16), torch.zeros(1, 16, 16)).shape == (1, 16, 16)
    with pytest.raises(Question, match="every call raises"):
        understand(f"{__file__}:ChannelsFirstOfKeysAlone")
