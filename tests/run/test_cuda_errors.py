"""A GPU that answers nothing more: who did it, what became of the others, and which refusals are loud enough."""

from pathlib import Path

import pytest

from mhsa.judge.finding import find
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.run import cuda_errors
from mhsa.run.runner import run
from mhsa.subject import check
from mhsa.subject.guard import attempt, guard

ERROR = "CUDA error: device-side assert triggered"
# What torch does where a kernel reads out of bounds, seen on an H200: the call returns, and a later wait for it raises.
SOURCE = f'''
import math

import torch
from torch import nn

asserted = []


def synchronize(device=None):
    if asserted:
        raise RuntimeError("{ERROR}")


torch.cuda.synchronize = synchronize
torch.cuda.is_initialized = lambda: True


class MultiHeadAttention(nn.Module):
    bad_length = 0

    def __init__(self, head, d_model):
        super().__init__()
        if d_model % head:
            raise ValueError("d_model must be a multiple of head")
        self.head = head
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        synchronize()
        if (self.bad_length and key.size(1) >= self.bad_length) or (mask is not None and mask.size(0) != query.size(0)):
            asserted.append(True)
            mask = None
        q, k, v = (
            project(x).unflatten(-1, (self.head, -1)).transpose(1, 2)
            for project, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        scores = q @ k.mT / math.sqrt(q.size(-1))
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
'''


def judged(folder: Path, keyword: str, source: str = SOURCE) -> SubjectResult:
    subject = folder / "attention.py"
    subject.write_text(source)
    (result,) = run(Options((Request.of(str(subject)),), keyword=keyword))
    return result


def test_a_shape_mismatch_that_ends_the_gpu_is_refused_and_the_others_are_judged(tmp_path: Path) -> None:
    result = judged(tmp_path, "shape_mismatch or numbers.large_batches or purity.the_same_call or fully_masked_rows")
    found = {p.id: p for p in result.properties}
    told = found["shape_mismatch.mask_of_another_batch"]
    assert (told.outcome, result.verdict) == ("not-applicable", "holds")
    assert told.reason == f"was refused: RuntimeError: {ERROR} ({tmp_path}/attention.py, line 12); {cuda_errors.MESSAGE}"
    assert found["shape_mismatch.mask_of_another_query_length"].outcome == "pass"  # in the next process
    assert not [p for p in result.properties if p.outcome in ("fail", "error")]


def test_a_usual_call_that_ends_the_gpu_is_a_violation_and_the_others_are_judged(tmp_path: Path) -> None:
    source = SOURCE.replace("bad_length = 0", "bad_length = 100")
    result = judged(tmp_path, "numbers.long_sequences or numbers.large_batches or purity", source)
    found = {p.id: p for p in result.properties}
    bad = found["numbers.long_sequences"]
    assert (bad.outcome, result.verdict) == ("fail", "violated")
    assert f"raised RuntimeError: {ERROR}" in bad.reason
    assert cuda_errors.MESSAGE in bad.reason
    assert bad.counterexample["case"]["key_length"] >= 100
    assert found["numbers.large_batches"].outcome == "pass"


def test_who_ends_the_gpu_in_every_call_is_given_up(tmp_path: Path) -> None:
    bad = "(key.size(1) > 2 and query.size(0) > 4 and query.size(0) != 19)"  # with 19 samples it is read, which is no verdict
    source = SOURCE.replace("(self.bad_length and key.size(1) >= self.bad_length)", bad)
    result = judged(tmp_path, "numbers.large_batches or oracle or symmetry or masks", source)
    ended = [p for p in result.properties if cuda_errors.MESSAGE in p.reason and p.outcome == "fail"]
    assert len(ended) == 3
    assert any(p.reason == "not run: this subject has ended 3 processes, or taken too long in them" for p in result.properties)


def test_without_a_gpu_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("waited")

    monkeypatch.setattr("torch.cuda.synchronize", never)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: False)
    assert attempt(lambda: 1) == ((1,), "")
    assert not cuda_errors.context_is_unusable()


@pytest.mark.parametrize(("ask", "outcome"), [(lambda step: guard("the call", step), "fail"), (attempt, "not-applicable")])
def test_an_error_that_comes_late_is_the_calls(monkeypatch: pytest.MonkeyPatch, ask: object, outcome: str) -> None:
    def late() -> None:
        raise RuntimeError(ERROR)

    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.synchronize", late)
    with check.recording() as record, pytest.raises(pytest.skip.Exception) as raised:
        ask(lambda: "a result")  # type: ignore[operator]
    found = find(record, raised.value)
    assert found["outcome"] == outcome
    assert ERROR in found["reason"]
