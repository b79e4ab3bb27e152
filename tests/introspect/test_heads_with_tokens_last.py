"""Functions of heads whose tokens are last, whose output is merged so, and that return their weights when they are asked."""

import pytest
import torch

from mhsa.introspect.resolve import understand
from mhsa.judge.script.recorded_calls import Recorder
from mhsa.judge.script.standalone_script import write_script
from mhsa.judge.verification import verify
from mhsa.records.case import Case
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.trial import Trial
from tests.helpers.model_file import model_file

FUNCTIONS = """
import torch


def channels_first(query, key, value):  # [B, H, d, T]
    scores = torch.einsum("bhdq,bhdk->bhqk", query, key) / query.size(2) ** 0.5
    return torch.einsum("bhqk,bhdk->bhdq", scores.softmax(-1), value)


def heads_behind(query, key, value):  # [B, d, H, T]
    weights = (torch.einsum("bdhq,bdhk->bhqk", query, key) / query.size(1) ** 0.5).softmax(-1)
    return torch.einsum("bhqk,bdhk->bdhq", weights, value), weights


def merged(query, key, value):  # [B, H, d, T] to [B, H * d, T]
    return channels_first(query, key, value).flatten(1, 2)


def unscaled(query, key, value):
    return channels_first(query * 2, key, value)


def merged_features_first(query, key, value):  # they come in another order than those of its heads
    return channels_first(query, key, value).transpose(1, 2).flatten(1, 2)


def on_request(query, key, value, return_attn=False):
    weights = (query @ key.mT / query.size(-1) ** 0.5).softmax(-1)
    return (weights @ value, weights) if return_attn else weights @ value


def scores_on_request(query, key, value, return_attn=False):
    scores = query @ key.mT / query.size(-1) ** 0.5
    return (scores.softmax(-1) @ value, scores) if return_attn else scores.softmax(-1) @ value


def other_weights_on_request(query, key, value, return_attn=False):
    weights = (query @ key.mT / query.size(-1) ** 0.5).softmax(-1)
    return (weights @ value, weights.flip(1)) if return_attn else weights @ value


def nothing_on_request(query, key, value, return_attn=False):
    if return_attn:
        raise NotImplementedError
    return (query @ key.mT / query.size(-1) ** 0.5).softmax(-1) @ value
"""
file = model_file(FUNCTIONS, "functions_of_heads.py")
SOME = ("oracle.*", "weights.*", "gradients.gradients_of_inputs")


@pytest.mark.parametrize(("name", "layout"), [("channels_first", "BHDT"), ("heads_behind", "BDHT"), ("merged", "BHDT")])
def test_heads_with_their_tokens_last_are_read(file, name: str, layout: str) -> None:
    subject = understand(f"{file}:{name}")
    assert subject.adapter.layout == layout
    found = verify(f"{file}:{name}", dtypes="float64", properties=SOME)
    assert found, str(found)


@pytest.mark.parametrize("name", ["unscaled", "merged_features_first"])
def test_bugs_in_them_are_found(file, name: str) -> None:
    assert verify(f"{file}:{name}", dtypes="float64", properties="oracle.*").verdict == "violated"


def test_a_script_shows_such_a_bug(file, tmp_path) -> None:
    request = Request("unscaled", f"{file}:unscaled", dtypes=("float64",))
    subject = understand(request)
    with check.recording() as record:
        record.recorder = Recorder()
        Trial(subject, Case("float64", 1, 2, 3, 4, 3, data="normal"))()
    script = tmp_path / "bug.py"
    write_script(script, request, subject, "oracle.output_without_mask", "a law.", "off", record.recorder.calls)
    assert "# [B, H, d, T]" in script.read_text()
    with pytest.raises(AssertionError, match="output is off by up to"):
        exec(compile(script.read_text(), str(script), "exec"), {})


def test_weights_are_asked_for(file) -> None:
    subject = understand(f"{file}:on_request")
    assert subject.caller.weights_from is not None
    assert subject.not_judged == ("argument return_attn that is off",)
    found = verify(f"{file}:on_request", dtypes="float64", properties=SOME)
    assert found, str(found)
    assert next(p for p in found.properties if p.id == "oracle.returned_weights").outcome == "pass"
    assert verify(f"{file}:other_weights_on_request", dtypes="float64", properties="oracle.*").verdict == "violated"
    with pytest.raises(Question, match="returns the scores, before the softmax"):
        understand(f"{file}:scores_on_request")


def test_a_switch_with_which_every_call_raises_stays_off(file) -> None:
    subject = understand(f"{file}:nothing_on_request")
    assert subject.caller.weights_from is None
    assert "argument return_attn" in subject.not_judged
    assert torch.is_tensor(subject.adapter.function(*torch.zeros(3, 1, 1, 1, 1)))
