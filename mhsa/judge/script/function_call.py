"""The call of a function on [B, H, T, d] as the lines of a script: the heads are written out as the reference gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from mhsa.introspect.load import target_of
from mhsa.judge.script.log_sum_exp import lse_lines
from mhsa.judge.script.named_subject import object_text
from mhsa.judge.script.recorded_calls import RecordedCall
from mhsa.judge.script.written_tensors import MEMBERS, judged_lines, tensor_text
from mhsa.oracle.attention import attention
from mhsa.oracle.precision import PRECISIONS
from mhsa.records.names import MASK
from mhsa.records.request import Request
from mhsa.reference.core_slot import slot_call
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.given_options import slopes_of
from mhsa.subject.forms.heads_function import usual_form
from mhsa.subject.subject import Subject

_HEADS_IN = {
    "BHTD": ".transpose(1, 2)  # [B, H, T, d]", "BTHD": "  # [B, T, H, d]",
    "(BH)TD": ".transpose(1, 2).flatten(0, 1)  # [B * H, T, d]",
    "BHDT": ".permute(0, 2, 3, 1)  # [B, H, d, T]", "BDHT": ".permute(0, 3, 2, 1)  # [B, d, H, T]",
}  # fmt: skip
_HEADS_OUT = {"BTHD": ".transpose(1, 2)", "BHDT": ".transpose(2, 3)", "BDHT": ".permute(0, 2, 3, 1)"}


def function_lines(subject: Subject, request: Request, call: RecordedCall) -> list[str]:
    """A function on [B, H, T, d]: the heads are written out as the reference would give them."""
    assert isinstance(subject.adapter, FunctionAdapter)
    heads = []
    lines = []
    layout = subject.adapter.layout
    for role, x in zip(("query", "key", "value"), call.tensors, strict=False):
        assert x is not None
        w, b = call.state[f"linear_{role}.weight"], call.state[f"linear_{role}.bias"]
        width = call.state["linear_out.weight"].size(1) // call.case.head if role == "value" else call.case.d_k
        heads.append(nn.functional.linear(x, w, b).view(x.size(0), x.size(1), -1, width).detach())  # [B, T, H, d]
        lines.append(f"{role} = {tensor_text(heads[-1])}{_HEADS_IN[layout]}")
    mask = call.tensors[3]
    if mask is not None:
        form = subject.adapter.form
        given = (mask if mask.dim() != 3 else mask.unsqueeze(1)) != 0 if usual_form(form) else mask
        given = given.repeat_interleave(call.case.head, 0) if layout == "(BH)TD" and form.shape != "[Tq, Tk]" else given
        lines.append(f"mask = {tensor_text(given)}")
        mask = form.allowed(mask, call.tensors[1].size(1), call.case.head)
        mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
    target, words = target_of(request), object_text(request)
    if subject.adapter.function is not target:  # of a module without parameters, or of a class or function that gives one
        words += "()" * (not isinstance(target, nn.Module))
        lines.append(f"attention = {words}.eval()")
        words = "attention"
    options, sinks = subject.adapter.options(call.case.d_k), call.state.get("sinks")
    named = slot_call(subject.adapter.with_options(call.case.head, call.case.d_k), has_mask=mask is not None)
    values = dict(options.values)
    if mask is not None and subject.adapter.function is scaled_dot_product_attention and values.pop("is_causal", False):
        lines.append("mask = mask & torch.ones(mask.shape[-2:], dtype=torch.bool).tril()  # it takes a mask or is causal")
    named += "".join(f", {name}={value!r}" for name, value in values.items())
    tensors = {options.sinks: sinks, options.slopes: slopes_of(call.case.head, subject.contract) if options.slopes else None}
    for name, tensor in tensors.items():
        if name and tensor is not None:
            lines.append(f"{name} = {tensor_text(tensor)}  # [H]")
            named += f", {name}={name}"
    own = subject.adapter.mask_name
    if mask is not None and own and own.lower() not in MASK:
        named += f", {own}=mask"
    lines.append(f"result = {words}({named})")
    if call.answer is None:
        return [*lines, "print(result)  # the call above raised when this was written", ""]
    q, k, v = (x.double().transpose(1, 2).numpy() for x in heads)
    fully_masked_row: Any = "uniform" if subject.contract.fully_masked_row == "uniform" else "zeros"
    allowed = None if mask is None else mask.numpy()
    formula = subject.contract.formula
    if formula.positional:  # of one head axis: the mask is the same for all heads
        of_call = None if allowed is None else np.broadcast_to(allowed, (*q.shape[:-1], k.shape[-2]))[:, 0]
        effective = formula.allowed(of_call, q.shape[0], q.shape[2], k.shape[2])
        allowed = None if effective is None else effective[:, None]
    k, v = (np.repeat(x, call.case.head // x.shape[1], axis=1) for x in (k, v))
    logits = None if sinks is None else sinks.double().numpy()
    must = attention(q, k, v, allowed, PRECISIONS[call.case.dtype], fully_masked_row, formula, logits)
    output, weights, logarithm = subject.adapter.values or (0, 1, None)
    lines += [MEMBERS, f"output = members[{output}] if isinstance(members, (tuple, list)) else members"]
    if layout == "(BH)TD":
        lines.append(f"output = output.unflatten(0, (-1, {call.case.head}))  # [B, H, T, d]")
    elif layout in _HEADS_OUT:
        lines.append(f"output = output{_HEADS_OUT[layout]}  # [B, H, T, d]")
    lines += judged_lines("output", must.output, call.answer.judged[:, None])
    if call.answer.weights is not None:
        lines += [f"weights = members[{weights}]", *judged_lines("weights", must.weights, call.answer.judged[:, None])]
    return [*lines, *lse_lines(subject, call, logarithm, must.lse)]
