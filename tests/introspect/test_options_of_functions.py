"""A function is called with the options that state what is declared, and one that ignores such an option is not right."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.records.case import Case
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.subject import Subject
from tests.helpers.model_file import model_file
from tests.helpers.toy_project import replayed

SOURCE = '''
import math
import torch


def attend(q, k, v, scale, cap, bias, seen, sink=None):
    """Heads [B, H, T, d]; k and v may have fewer."""
    times = q.size(1) // k.size(1)
    k, v = (x.repeat_interleave(times, 1) for x in (k, v))
    scores = q @ k.mT * scale
    scores = cap * torch.tanh(scores / cap) if cap else scores
    scores = (scores if bias is None else scores + bias).masked_fill(~seen, -math.inf)
    more = torch.empty_like(scores[..., :0]) if sink is None else sink.view(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
    return torch.cat((scores, more), -1).softmax(-1).nan_to_num()[..., : k.size(2)] @ v


def shown(queries, keys, left, right, start):
    away = torch.arange(keys) - torch.arange(queries)[:, None] - start
    return ((away <= right) | (right < 0)) & ((-away <= left) | (left < 0))


def flash(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None):
    """q [B, T, H, d]; aligned at the end."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    start = k.size(2) - q.size(2)
    left, right = window_size
    seen = shown(q.size(2), k.size(2), left, 0 if causal else right, start)
    bias = None
    if alibi_slopes is not None:
        away = (torch.arange(k.size(2)) - torch.arange(q.size(2))[:, None] - start).abs()
        bias = -alibi_slopes.to(q.dtype)[:, None, None] * away
    return attend(q, k, v, softmax_scale or q.size(-1) ** -0.5, softcap, bias, seen).transpose(1, 2)


def deaf(*names):
    """Return flash without what these options state."""

    def ignoring(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0,
                 alibi_slopes=None):
        given = dict(softmax_scale=softmax_scale, causal=causal, window_size=window_size, softcap=softcap,
                     alibi_slopes=alibi_slopes)
        return flash(q, k, v, **{n: x for n, x in given.items() if n not in names})

    return ignoring


no_scale, no_causal, no_window = deaf("softmax_scale"), deaf("causal"), deaf("window_size")
no_softcap, no_slopes = deaf("softcap"), deaf("alibi_slopes")


def torchs(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if key.size(1) < query.size(1) and not enable_gqa:
        raise ValueError("fewer heads of keys, and enable_gqa is False")
    seen = torch.ones(query.size(2), key.size(2), dtype=torch.bool)
    seen = seen.tril() if is_causal else seen
    return attend(query, key, value, scale or query.size(-1) ** -0.5, 0, None, seen if attn_mask is None else seen & attn_mask)


def modular(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """Query head h reads key head h % kv_heads."""
    times = query.size(1) // key.size(1)
    key, value = (x.repeat(1, times, 1, 1) for x in (key, value))
    return torchs(query, key, value, attn_mask, 0.0, is_causal, scale)


def dropping(q, k, v, dropout_p=0.0, training=False):
    weights = torch.softmax(q @ k.mT * q.size(-1) ** -0.5, -1)
    return torch.dropout(weights, dropout_p, train=training) @ v


def sunk(q, k, v, s_aux):
    seen = torch.ones(q.size(2), k.size(2), dtype=torch.bool)
    return attend(q, k, v, q.size(-1) ** -0.5, 0, None, seen, s_aux)


def sunk_twice(q, k, v, s_aux):
    return sunk(q, k, v, s_aux + math.log(2.0))


def sided(q, k, v, window_left=-1, window_right=None):
    right = -1 if window_right is None else window_right
    seen = shown(q.size(2), k.size(2), window_left, right, 0)
    return attend(q, k, v, q.size(-1) ** -0.5, 0, None, seen)


def sided_wrong(q, k, v, window_left=-1, window_right=None):
    return sided(q, k, v, window_left + 1, window_right)


def always(q, k, v, is_causal=True):
    return attend(q, k, v, q.size(-1) ** -0.5, 0, None, shown(q.size(2), k.size(2), -1, 0 if is_causal else -1, 0))


def behind(q, k, v, is_causal=True, window_left=-1):
    right = 0 if is_causal else -1
    return attend(q, k, v, q.size(-1) ** -0.5, 0, None, shown(q.size(2), k.size(2), window_left, right, 0))


def stuck(q, k, v, is_causal=True):
    return always(q, k, v)


def needed(q, k, v, causal):
    return always(q, k, v, causal)
'''
models = model_file(SOURCE, "functions.py")
FLASH: dict[str, Any] = {"causal": "bottom-right", "window": [3, 0], "scale": 0.3, "softcap": 1.5, "kv_heads": 2}
ALIBI: dict[str, Any] = {"causal": "bottom-right", "bias": "alibi"}
TORCHS: dict[str, Any] = {"causal": "top-left", "scale": 0.25, "kv_heads": "grouped"}
SINKS: dict[str, Any] = {"sinks": "learned"}
SIDED: dict[str, Any] = {"window": [2, 1]}


def read(models: Path, name: str, contract: dict[str, Any]) -> Subject:
    return understand(Request(name, f"{models}:{name}", contract=contract))


def fits(subject: Subject) -> bool:
    return Fit().without_mask(subject) and (not subject.adapter.takes_mask or Fit().with_mask(subject))


@pytest.mark.parametrize(
    ("name", "contract"),
    [("flash", FLASH), ("flash", ALIBI), ("torchs", TORCHS), ("sunk", SINKS), ("sided", SIDED), ("sided", {"window": [2, -1]}),
     ("always", {"causal": "top-left"}), ("needed", {"causal": "top-left"}), ("needed", {}), ("flash", {})],
)  # fmt: skip
def test_a_function_is_given_the_options_that_state_what_is_declared(models: Path, name: str, contract: dict[str, Any]) -> None:
    assert fits(read(models, name, contract))


@pytest.mark.parametrize(
    ("name", "contract"),
    [("no_scale", FLASH), ("no_causal", ALIBI), ("no_window", FLASH), ("no_softcap", FLASH), ("no_slopes", ALIBI),
     ("modular", TORCHS), ("sunk_twice", SINKS), ("sided_wrong", SIDED), ("flash", FLASH | {"causal": "top-left"})],
)  # fmt: skip
def test_a_function_that_does_something_else_with_an_option_does_not_fit(
    models: Path, name: str, contract: dict[str, Any]
) -> None:
    assert not fits(read(models, name, contract))


def test_torchs_function_is_causal_and_has_fewer_key_heads_where_that_is_declared() -> None:
    subject = understand(Request("sdpa", "torch.nn.functional:scaled_dot_product_attention", contract=TORCHS))
    assert Fit().without_mask(subject)
    assert Fit().with_mask(subject)
    assert subject.not_judged == ()
    assert any("is_causal=True, scale=0.25, enable_gqa=True" in part.text for part in subject.understood)


def test_what_is_given_is_said_and_what_is_left_at_its_default_is_named(models: Path) -> None:
    subject = read(models, "flash", {"scale": "1/d_k"})
    said = {part.text for part in subject.understood}
    assert "given what is declared (for heads of 8 features): softmax_scale=0.125" in said
    assert subject.not_judged == ("argument window_size", "argument softcap", "argument alibi_slopes")
    assert [switch.words for switch in subject.switches] == ["causal=True"]


@pytest.mark.parametrize(
    ("name", "words"), [("flash", "causal=False"), ("always", "is_causal=False"), ("needed", "causal=False")]
)
def test_a_switch_is_judged_in_its_other_position_too(models: Path, name: str, words: str) -> None:
    aligned = "bottom-right" if name == "flash" else "top-left"
    (switch,) = read(models, name, {"causal": aligned}).switches
    assert switch.words == words
    assert switch.contract.causal == "no"


def test_without_causality_a_window_may_be_open_on_the_right(models: Path) -> None:
    subject = read(models, "behind", {"causal": "top-left", "window": [2, 0]})
    assert fits(subject)
    assert [switch.contract.window for switch in subject.switches] == [(2, -1)]


def test_a_switch_that_is_given_and_has_no_effect_is_named(models: Path) -> None:
    subject = read(models, "no_causal", {"causal": "bottom-right"})
    assert "argument causal=False" not in subject.not_judged  # off, it is attention to every key
    assert not fits(subject)
    assert [switch.words for switch in read(models, "stuck", {"causal": "top-left"}).switches] == []
    assert "is_causal=False changes nothing without a mask, and is not judged" in {
        part.text for part in read(models, "stuck", {"causal": "top-left"}).understood
    }


def test_required_tensors_are_asked_for_and_declared_ones_must_have_an_argument(models: Path) -> None:
    with pytest.raises(Question, match=r"needs s_aux: a logit of each head \[H\]") as raised:
        read(models, "sunk", {})
    assert raised.value.declaration == SINKS
    with pytest.raises(Question, match="no argument for a tensor with a number for each head is called sinks"):
        read(models, "flash", SINKS)


def test_a_switch_of_training_is_on_where_dropout_is(models: Path) -> None:
    subject = read(models, "dropping", {})
    assert subject.not_judged == ()
    module = subject.adapter.build_dropping(2, 8, 0.5)
    assert module is not None
    x = torch.ones(1, 6, 8)
    assert not torch.equal(module.train()(x, x, x), module(x, x, x))
    assert torch.equal(module.eval()(x, x, x), module(x, x, x))


def test_scripts_give_the_options_too(models: Path, tmp_path: Path) -> None:
    case = Case("float64", 2, 4, 3, 5, 4, data="normal", seed=1)
    subjects = [("no_softcap", FLASH, "softcap=1.5"), ("no_slopes", ALIBI, "alibi_slopes=alibi_slopes")]
    for n, (name, contract, said) in enumerate([*subjects, ("sunk_twice", SINKS, "s_aux=s_aux")]):
        script = tmp_path / f"s{n}.py"
        request = Request("a", f"{models.name}:{name}", folder=str(models.parent), contract=contract)
        assert "must be" in replayed(request, "oracle.output_without_mask", {"case": replace(case)}, script)
        assert said in script.read_text()
        ran = subprocess.run([sys.executable, str(script)], cwd=models.parent, capture_output=True, text=True, check=False)
        assert "AssertionError: output is off by up to" in ran.stderr, ran.stderr
