"""The cases that other projects test attention with agree with the oracle within its own bound: onnx's and torch's."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.vectors import onnx_cases, torch_samples
from benchmarks.vectors.compared import table
from tests.helpers.places import ROOT

pytest.importorskip("onnx", reason="the cases are the onnx package's, a part of the extra [test]")
CASES = {case.name: case for case in onnx_cases.collect()}


def of(operator: str) -> list[onnx_cases.OnnxCase]:
    return [case for case in CASES.values() if case.operator == operator]


def test_all_cases_are_there() -> None:
    """A case that a new onnx brings is judged by the next test, but the count in docs/bounds.md is to be written anew."""
    assert (len(of("Attention")), len(of("RotaryEmbedding"))) == (93, 8)


@pytest.mark.parametrize("name", CASES)
def test_a_case_agrees(name: str) -> None:
    found = onnx_cases.compare(CASES[name])
    assert found.agrees, found


def without(case: onnx_cases.OnnxCase, name: str) -> onnx_cases.OnnxCase:
    """The same numbers, said to come from a call without an attribute or an input."""
    attributes, inputs = ({k: v for k, v in given.items() if k != name} for given in (case.attributes, case.inputs))
    return replace(case, attributes=attributes, inputs=inputs)


# Where a feature is written out and changes nothing: onnx's masks that hide nothing, one query that sees all keys anyway,
# windows of -1, values that are all alike.
IDLE = {
    "is_causal": {"4d_gqa_causal_nonpad_decode", "4d_gqa_causal_nonpad_decode_fp16", "causal_boolmask_nan_robustness"},
    "left_window_size": {"local_window_default"},
    "right_window_size": {"local_window_default"},
    "attn_mask": {"4d_attn_mask_bool", "4d_attn_mask_bool_4d", "local_window_rank1_boolean_mask"},
}
ALIKE = "local_window_ext_cache_float16_mask"


@pytest.mark.parametrize(
    "name",
    ["is_causal", "scale", "softcap", "left_window_size", "right_window_size", "attn_mask", "nonpad_kv_seqlen",
     "qk_matmul_output_mode", "interleaved"],
)  # fmt: skip
def test_every_feature_of_the_cases_counts(name: str) -> None:
    having = [case for case in CASES.values() if name in case.attributes or name in case.inputs]
    idle = {case.name.removeprefix("test_attention_") for case in having if onnx_cases.compare(without(case, name)).agrees}
    assert having
    assert idle - {ALIKE} == IDLE.get(name, set())


def test_a_number_that_is_off_by_a_few_roundings_disagrees() -> None:
    for case in of("Attention"):
        outputs = dict(case.outputs)
        y = outputs["Y"].astype(np.float64)
        # Twice what the bound may be: 1000 units roundoff of the output's largest number.
        unit = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}[str(outputs["Y"].dtype)]
        outputs["Y"] = y + 1000 * unit * np.abs(y).max()
        assert not onnx_cases.compare(replace(case, outputs=outputs)).agrees, case.name


def test_what_is_printed_names_what_disagrees() -> None:
    case = CASES["test_attention_4d_causal"]
    lines = table("onnx", [onnx_cases.compare(case), onnx_cases.compare(without(case, "is_causal"))])
    assert lines[0] == "onnx: 1 of 2 agree"
    assert lines[-1].startswith("  disagrees: test_attention_4d_causal, float32: Y[")


def sampled(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    return [torch.randn(*shape, generator=torch.Generator().manual_seed(n)) for n, shape in enumerate(shapes)]


ARGUMENTS = [{}, {"is_causal": True}, {"dropout_p": 0.5}, {"is_causal": True, "dropout_p": 0.5}, {"scale": 0.7}]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_torch_is_judged_as_it_is_called(arguments: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples in the shapes of torch's, which may broadcast; torch called without one of the arguments disagrees."""
    sample = sampled((4, 3, 8), (4, 4, 6, 8), (4, 4, 6, 8))
    assert torch_samples.compare("", *sample, arguments).agrees
    called = torch.nn.functional.scaled_dot_product_attention
    for name in arguments:

        def without_it(*heads, name=name, **given):
            return called(*heads, **{k: v for k, v in given.items() if k != name})

        monkeypatch.setattr(torch_samples.functional, "scaled_dot_product_attention", without_it)
        assert not torch_samples.compare("", *sample, arguments).agrees


@pytest.mark.parametrize("mask", [torch.randn(3, 6), torch.randn(3, 6) > -1], ids=["added", "allowed"])
def test_a_mask_of_a_sample(mask: torch.Tensor) -> None:
    assert torch_samples.compare("", *sampled((4, 4, 3, 8), (4, 4, 6, 8), (4, 4, 6, 8)), {"attn_mask": mask}).agrees


def test_torchs_own_samples_agree() -> None:
    """In a process of its own: torch's internal tests change what is imported after them, and take 5 seconds."""
    command = [sys.executable, "-m", "benchmarks.vectors", "torch"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0] == "torch scaled_dot_product_attention: 100 of 100 agree"
