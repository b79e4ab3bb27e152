"""Attention over maps of features: voxels and videos, two pictures, samples in a further axis."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.script.recorded_calls import Recorder
from mhsa.judge.script.standalone_script import write_script
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial
from tests.helpers.layers import Layers


class Voxels(nn.Module):
    """All voxels attend to each other; subclasses say what else makes a sample of its own."""

    convolution: Any = nn.Conv3d

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"{channels} channels; must be a multiple of {num_heads} heads")
        self.num_heads = num_heads
        self.to_qkv, self.to_out = self.convolution(channels, 3 * channels, 1), self.convolution(channels, channels, 1)

    def attend(self, q, k, v):
        return (q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v

    def over(self, x):
        """Attend over the last axis of [..., 3 channels, tokens]; return [..., channels, tokens]."""
        q, k, v = (y.unflatten(-2, (self.num_heads, -1)).mT for y in x.chunk(3, dim=-2))
        return self.attend(q, k, v).mT.flatten(-3, -2)

    def forward(self, x):
        return self.to_out(self.over(self.to_qkv(x).flatten(2)).unflatten(-1, x.shape[2:]))


class VoxelsMergedWrongly(Voxels):
    def attend(self, q, k, v):
        return super().attend(q, k, v).reshape(*q.shape[:-2], q.size(-1), -1).mT


class VoxelsPutBackInAnotherOrder(Voxels):
    def forward(self, x):
        depth, height, width = x.shape[2:]
        return super().forward(x).reshape(*x.shape[:2], height, width, depth).permute(0, 1, 4, 2, 3)


class VoxelsOfTheHalf(Voxels):
    def forward(self, x):
        return super().forward(x) * 0.5


class EachFrame(Voxels):
    """Pixels of a frame attend to each other."""

    def forward(self, x):
        y = self.over(self.to_qkv(x).transpose(1, 2).flatten(3))
        return self.to_out(y.unflatten(-1, x.shape[3:]).transpose(1, 2))


class AlongTime(Voxels):
    """Frames attend to each other in each pixel."""

    def forward(self, x):
        y = self.over(self.to_qkv(x).permute(0, 3, 4, 1, 2))
        return self.to_out(y.permute(0, 3, 4, 1, 2))


class AlongTimeInAnotherOrder(Voxels):
    """Gives a sequence of the batch what is no pixel over time."""

    def forward(self, x):
        batch, _, frames, height, width = x.shape
        y = self.to_qkv(x).permute(0, 2, 3, 4, 1).reshape(batch * height * width, frames, -1)
        y = self.over(y.mT).mT.reshape(batch, frames, height, width, -1)
        return self.to_out(y.permute(0, 4, 1, 2, 3))


class AlongTimeUnscaled(AlongTime):
    def attend(self, q, k, v):
        return (q @ k.mT).softmax(-1) @ v


class AlongHeight(Voxels):
    def forward(self, x):
        return self.to_out(self.over(self.to_qkv(x).permute(0, 2, 4, 1, 3)).permute(0, 3, 1, 4, 2))


class AlongWidth(Voxels):
    def forward(self, x):
        return self.to_out(self.over(self.to_qkv(x).permute(0, 2, 3, 1, 4)).permute(0, 3, 1, 2, 4))


class EachColumn(Voxels):
    """Pixels of a column of a picture attend to each other."""

    convolution = nn.Conv2d

    def forward(self, x):
        return self.to_out(self.over(self.to_qkv(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class EachColumnUnscaled(EachColumn):
    def attend(self, q, k, v):
        return (q @ k.mT).softmax(-1) @ v


class VoxelsChannelsLast(Layers):
    def forward(self, x):
        batch, depth, height, width, channels = x.shape
        x = x.reshape(batch, depth * height * width, channels)
        return self.attend(x, x, x).reshape(batch, depth, height, width, channels)


class VoxelsChannelsLastAndKeysForValues(VoxelsChannelsLast):
    def attend(self, query, key, value, hide=None):
        self.v = self.k
        return super().attend(query, key, value, hide)


class TwoPictures(nn.Module):
    """The pixels of one picture attend to those of another one, of any size and number of channels."""

    def __init__(self, channels: int, context_channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels; must be a multiple of {heads} heads")
        self.heads = heads
        self.query, self.out = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.key, self.value = (nn.Conv2d(context_channels, channels, 1) for _ in range(2))

    def pixels(self, x):
        return x.flatten(2).unflatten(1, (self.heads, -1)).mT

    def weights(self, scores):
        return scores.softmax(-1)

    def forward(self, x, context):
        q, k, v = (self.pixels(y) for y in (self.query(x), self.key(context), self.value(context)))
        y = self.weights(q @ k.mT * q.size(-1) ** -0.5) @ v
        return self.out(y.mT.flatten(1, 2).unflatten(-1, x.shape[2:]))


class TwoPicturesNormalisedOverQueries(TwoPictures):
    def weights(self, scores):
        return scores.softmax(-2)


class TwoPicturesChannelsLast(Layers):
    def forward(self, x, context):
        y = context.flatten(1, 2)
        return self.attend(x.flatten(1, 2), y, y).unflatten(1, x.shape[1:3])


class TwoPicturesOfOneSize(TwoPictures):
    """Lays out both pictures by the size of the first."""

    def forward(self, x, context):
        height, width = x.shape[2:]
        return super().forward(x, context.reshape(*context.shape[:2], height, width))


class TwoPicturesOfOneSizeNormalisedOverQueries(TwoPicturesOfOneSize):
    def weights(self, scores):
        return scores.softmax(-2)


class EachJoint(Layers):
    """The frames of a joint attend to each other."""

    def forward(self, x):
        batch, frames, joints, width = x.shape
        x = x.transpose(1, 2).reshape(batch * joints, frames, width)
        return self.attend(x, x, x).reshape(batch, joints, frames, width).transpose(1, 2)


class RowsOfEachColumn(Layers):
    """The rows of a column attend to each other: [rows, columns, samples, width]."""

    def forward(self, x):
        rows, columns, samples, width = x.shape
        x = x.reshape(rows, columns * samples, width).transpose(0, 1)
        return self.back(self.attend(x, x, x), columns)

    def back(self, y, columns):
        return y.transpose(0, 1).unflatten(1, (columns, -1))


class RowsOfEachColumnPutBackInAnotherOrder(RowsOfEachColumn):
    def back(self, y, columns):
        return y.transpose(0, 1).unflatten(1, (-1, columns)).transpose(1, 2)


class EachJointPutBackInAnotherOrder(Layers):
    def forward(self, x):
        batch, frames, joints, width = x.shape
        y = x.transpose(1, 2).reshape(batch * joints, frames, width)
        return self.attend(y, y, y).reshape(x.shape)


class EachJointOfVisibleFrames(Layers):
    def forward(self, x, frame_mask):
        batch, frames, joints, width = x.shape
        hide = (frame_mask == 0)[:, None].repeat_interleave(joints, dim=0)
        x = x.transpose(1, 2).reshape(batch * joints, frames, width)
        return self.back(self.attend(x, x, x, hide), batch, frames, joints)

    def back(self, y, batch, frames, joints):
        return y.reshape(batch, joints, frames, -1).transpose(1, 2)


class EachJointOfVisibleFramesPutBackInAnotherOrder(EachJointOfVisibleFrames):
    def back(self, y, batch, frames, joints):
        return y.reshape(batch, frames, joints, -1)


class EachJointOfHiddenFrames(EachJointOfVisibleFrames):
    def forward(self, x, frame_mask):
        return super().forward(x, frame_mask == 0)


class EachJointOfFramesUnscaled(EachJointOfVisibleFrames):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.scale = 1.0


class EachJointOfFramesThatMayBeHidden(EachJointOfVisibleFrames):
    def forward(self, x, mask=None):
        return super().forward(x, x.new_ones(x.shape[:2]) if mask is None else mask)


class JointsAttendWithAMask(Layers):
    """Takes a mask of joints and frames."""

    def forward(self, x, mask=None):
        batch, joints, frames, width = x.shape
        hide = None if mask is None else (mask == 0).reshape(batch * joints, 1, frames)
        x = x.reshape(batch * joints, frames, width)
        return self.attend(x, x, x, hide).reshape(batch, joints, frames, width)


class JointsAttendWithARequiredMask(JointsAttendWithAMask):
    def forward(self, x, mask):
        return super().forward(x, mask.bool())


def read(name: str, **contract: Any) -> Subject:
    return understand(Request("x", f"{__file__}:{name}", contract=contract))


def asked(name: str, **contract: Any) -> dict[str, Any]:
    with pytest.raises(Question) as raised:
        read(name, **contract)
    return dict(raised.value.declaration)


def judged(name: str, properties: Any = ("oracle.*", "gradients.gradients_of_inputs", "edges.*"), **contract: Any) -> Any:
    return verify(f"{__file__}:{name}", contract=contract or None, dtypes="float64", properties=properties)


@pytest.mark.parametrize(
    ("name", "layout"),
    [("Voxels", "BCDHW"), ("VoxelsChannelsLast", "BDHWC"), ("TwoPictures", "BCHW"), ("TwoPicturesChannelsLast", "BHWC")],
)
def test_maps_are_read_and_hold(name: str, layout: str) -> None:
    subject = read(name)
    assert subject.contract.layout == layout
    assert [u.known for u in subject.understood if u.part == "layout"] == ["fitted"]
    found = judged(name)
    assert found, str(found)


@pytest.mark.parametrize(
    "name",
    ["VoxelsMergedWrongly", "VoxelsPutBackInAnotherOrder", "VoxelsOfTheHalf", "VoxelsChannelsLastAndKeysForValues",
     "AlongTimeInAnotherOrder", "AlongTimeUnscaled", "TwoPicturesNormalisedOverQueries",
     "TwoPicturesOfOneSizeNormalisedOverQueries", "EachColumnUnscaled"],
)  # fmt: skip
def test_no_reading_of_a_map_explains_a_bug_away(name: str) -> None:
    assert judged(name, "oracle.*").verdict == "violated"


@pytest.mark.parametrize(
    ("name", "declaration", "wrong"),
    [
        ("EachFrame", {"layout": "BCNHW"}, "Voxels"),
        ("AlongTime", {"layout": "BCDNN"}, "AlongTimeInAnotherOrder"),
        ("AlongHeight", {"layout": "BCNHN"}, "AlongTime"),
        ("AlongWidth", {"layout": "BCNNW"}, "AlongHeight"),
        ("EachColumn", {"layout": "BCHN"}, "EachColumnUnscaled"),
        ("EachJoint", {"layout": "BTND"}, "EachJointPutBackInAnotherOrder"),
        ("RowsOfEachColumn", {"layout": "TNBD"}, "RowsOfEachColumnPutBackInAnotherOrder"),
        ("TwoPicturesOfOneSize", {"lengths": "equal"}, "TwoPicturesOfOneSizeNormalisedOverQueries"),
    ],
)
def test_attention_along_some_axes_is_a_question_and_holds_as_declared(
    name: str, declaration: dict[str, Any], wrong: str
) -> None:  # fmt: skip
    """That it is not along all of them may be a mistake, and so may be that two maps must be of one size."""
    assert asked(name) == declaration
    found = judged(name, **declaration)
    assert found, str(found)
    assert judged(wrong, "oracle.*", **declaration).verdict == "violated"


def test_a_mask_of_frames_tells_the_axis_of_tokens() -> None:
    """It is the same for every joint, of which there are several where it hides nothing."""
    subject = read("EachJointOfVisibleFrames")
    assert (subject.contract.layout, subject.contract.mask_shape, subject.caller.shares_mask) == ("BTND", "[B, Tk]", True)
    assert subject.not_judged == ("masks where an axis N has several samples",)
    found = judged("EachJointOfVisibleFrames", ("oracle.*", "masks.*"))
    assert found, str(found)
    assert asked("EachJointOfHiddenFrames") == {"mask": "blocked"}
    assert judged("EachJointOfHiddenFrames", "oracle.*", mask="blocked")
    assert asked("EachJointOfFramesThatMayBeHidden") == {"layout": "BTND"}
    assert judged("EachJointOfFramesThatMayBeHidden", "oracle.*", layout="BTND")


@pytest.mark.parametrize("name", ["EachJointOfVisibleFramesPutBackInAnotherOrder", "EachJointOfFramesUnscaled"])
def test_a_mask_of_frames_explains_no_bug_away(name: str) -> None:
    assert judged(name, "oracle.*").verdict == "violated"


def test_a_mask_of_all_samples_is_given_with_one_of_a_further_axis() -> None:
    """A mask that must be given for every joint and frame is none that joints share: they are not judged."""
    subject = read("JointsAttendWithARequiredMask")
    assert subject.contract.layout == "BNTD"
    assert not subject.caller.shares_mask
    assert "calls in which an axis N has several samples" in subject.not_judged
    assert judged("JointsAttendWithARequiredMask", "oracle.*")
    assert read("JointsAttendWithAMask").not_judged == ("masks where an axis N has several samples",)


def test_four_axes_that_fit_in_no_way_are_asked_about() -> None:
    assert asked("EachJointPutBackInAnotherOrder") == {"layout": "BNTD"}


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("Voxels", {}),
        ("VoxelsChannelsLast", {}),
        ("TwoPicturesOfOneSize", {"lengths": "equal"}),
        ("EachFrame", {"layout": "BCNHW"}),
        ("AlongTime", {"layout": "BCDNN"}),
        ("AlongHeight", {"layout": "BCNHN"}),
        ("AlongWidth", {"layout": "BCNNW"}),
        ("EachColumn", {"layout": "BCHN"}),
        ("EachJoint", {"layout": "BTND"}),
        ("RowsOfEachColumn", {"layout": "TNBD"}),
        ("EachJointOfVisibleFrames", {}),
    ],
)
def test_a_script_lays_out_maps(name: str, contract: dict[str, Any], tmp_path: Path) -> None:
    subject = read(name, **contract)
    with check.recording() as record:
        record.recorder = Recorder()
        Trial(subject, generic_case(subject))()
        Trial(subject, generic_case(subject, "padding" if subject.adapter.takes_mask else "none", seed=1))()
        request = Request(name, f"{__file__}:{name}", contract=contract)
        write_script(tmp_path / "s.py", request, subject, "oracle.x", "words", "message", record.recorder.calls)
    runpy.run_path(str(tmp_path / "s.py"))  # raises where a number is off by more than rounding
