"""The call of a module, or through an adapter, as the lines of a script."""

from __future__ import annotations

from torch import nn

from mhsa.introspect.load import target_of
from mhsa.introspect.surroundings.inner_attention import InnerAttention
from mhsa.introspect.surroundings.one_attention import OneAttention
from mhsa.introspect.torch_attention import TorchModuleAdapter
from mhsa.judge.script.function_call import function_lines
from mhsa.judge.script.log_sum_exp import lse_lines
from mhsa.judge.script.named_subject import name_in_file, object_text
from mhsa.judge.script.recorded_calls import RecordedCall
from mhsa.judge.script.written_tensors import MEMBERS, judged_lines, tensor_text
from mhsa.records.request import Request
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import OfOneLength, SeveralCalls
from mhsa.subject.adapters.torch_adapter import TorchAdapter
from mhsa.subject.subject import Subject

# How an output in another layout is turned into [B, T, d_model].
_OUTPUT_OF = {
    "TBD": ".transpose(0, 1)", "BDT": ".transpose(1, 2)", "BCHW": ".flatten(2).transpose(1, 2)",
    "BD1T": ".flatten(2).transpose(1, 2)", "BNTD": ".flatten(0, 1)", "BHWC": ".flatten(1, 2)",
    "BTND": ".transpose(1, 2).flatten(0, 1)", "BCDHW": ".flatten(2).transpose(1, 2)", "BDHWC": ".flatten(1, 3)",
    "TNBD": ".flatten(1, 2).transpose(0, 1)",
    "BCHN": ".permute(0, 3, 2, 1).flatten(0, 1)", "BCDNN": ".permute(0, 3, 4, 2, 1).flatten(0, 2)",
    "BCNHN": ".permute(0, 2, 4, 3, 1).flatten(0, 2)",
    "BCHW,BTD": ".flatten(2).transpose(1, 2)",
    "BCNNW": ".permute(0, 2, 3, 4, 1).flatten(0, 2)", "BCNHW": ".permute(0, 2, 3, 4, 1).flatten(2, 3).flatten(0, 1)",
}  # fmt: skip


def call_lines(subject: Subject, request: Request, call: RecordedCall, number: int | None) -> list[str]:
    """Return the lines that build the module, call it and compare; ``number`` counts the calls of a script of several."""
    query, key, value, mask = call.tensors
    lines = [f"# {call.case}" if number is None else f"# call {number + 1}: {call.case}"]
    if isinstance(subject.adapter, FunctionAdapter):
        return [*lines, *function_lines(subject, request, call)]
    if is_called_through(subject.adapter):
        one = {"attention": subject.adapter.others.path} if isinstance(subject.adapter, OneAttention) else {}
        declared = f"arguments={dict(request.arguments)!r}, contract={dict(request.contract) | one!r}"
        asked_for = f"Request({request.label!r}, {request.spec!r}, {declared})"
        lines.append(f"adapter = understand({asked_for}, target={object_text(request)}).adapter")
    elif not isinstance(subject.adapter, (ModuleAdapter, TorchAdapter)):  # the user's own, which is all that is known of it
        lines.append(f"adapter = {name_in_file(request)}{'' if isinstance(target_of(request), Adapter) else '()'}")
    lines += [f"module = {_construction(subject, request, call)}", f"module.to(torch.{call.case.dtype})"]
    lines += [f"module.{'train' if call.training else 'eval'}()", "module.load_state_dict({"]
    lines += [f"    {name!r}: {tensor_text(x)}," for name, x in call.state.items()]
    masked = mask is not None
    if mask is None and subject.caller.fills_mask:
        masked = not subject.caller.shares_mask
        mask = subject.caller.convert(subject.caller.everything(query, key), query.dtype, call.case.head)
    query, key, value = subject.caller.layout.give(query, key, value, masked=masked)
    lines += ["})", f"query = {tensor_text(query)}"]
    lines.append("key = query" if key is query else f"key = {tensor_text(key)}")
    lines.append("value = key" if value is key else "value = query" if value is query else f"value = {tensor_text(value)}")
    if mask is not None:
        lines.append(f"mask = {tensor_text(mask)}")
    lines += [f"torch.manual_seed({call.case.seed})", f"with torch.set_grad_enabled({call.grad}):"]
    lines.append(f"    result = {_call(subject, call, has_mask=mask is not None)}")
    return lines + _comparison(subject, call)


def is_called_through(adapter: Adapter) -> bool:
    """Whether the adapter that mhsa finds for a subject does more than build and call it once."""
    more = isinstance(adapter, (InnerAttention, OneAttention, SeveralCalls))
    return more or (isinstance(adapter, ModuleAdapter) and _gives_more(adapter))


def why_called_through(adapter: Adapter) -> str:
    """Return what the adapter does more, in words that follow "to"."""
    if isinstance(adapter, SeveralCalls):
        return adapter.why
    if isinstance(adapter, ModuleAdapter) and adapter.of_fixed_lengths:
        return "build it for the lengths of the call"
    if isinstance(adapter, ModuleAdapter) and adapter.signature.rotary:
        return "give it the tables of rotary positions"
    return "leave out what is around the attention"


def _gives_more(adapter: ModuleAdapter) -> bool:
    """Whether a call takes more than the tensors: a module for its lengths, or tables of rotary positions."""
    return adapter.of_fixed_lengths or bool(adapter.signature.rotary)


def _comparison(subject: Subject, call: RecordedCall) -> list[str]:
    if call.answer is None:
        return ["print(result)  # the call above raised when this was written", ""]
    place = subject.caller.output_from
    lines = [MEMBERS, f"output = members[{place}] if isinstance(members, (tuple, list)) else members"]
    turned = _OUTPUT_OF.get(subject.contract.layout or "BTD")
    lines += [] if turned is None else [f"output = output{turned}  # [B, T, d_model]"]
    lines += judged_lines("output", call.answer.expected.output, call.answer.judged)
    where = subject.caller.weights_from
    if call.answer.weights is not None and where is not None:
        lines.append(f"weights = members[{where}]" if isinstance(where, int) else f"weights = module.{where}")
        if subject.caller.weights_form:
            lines.append(f"weights = in_usual_order(weights, {subject.caller.weights_form!r}, {call.case.batch})")
            lines.insert(0, "from mhsa.subject.returned import in_usual_order")
        lines += judged_lines("weights", call.answer.expected.weights, call.answer.judged[:, None])
    return [*lines, *lse_lines(subject, call, subject.caller.lse_from, call.answer.expected.lse)]


def _construction(subject: Subject, request: Request, call: RecordedCall) -> str:
    adapter, case = subject.adapter, call.case
    if isinstance(adapter, TorchAdapter):
        return f"torch.nn.MultiheadAttention({case.d_model}, {case.head}, batch_first=True)"
    if is_called_through(adapter) or not isinstance(adapter, ModuleAdapter):
        return f"adapter.build({case.head}, {case.d_model})"
    arguments = adapter.construction(case.head, case.d_model)
    if arguments is None:  # it is there, or a function without arguments gives it
        return object_text(request) + "()" * (not isinstance(target_of(request), nn.Module))
    return f"{object_text(request)}({', '.join(f'{k}={_written(v)}' for k, v in arguments.items())})"


def _written(value: object) -> str:
    """Return an argument of a constructor in Python."""
    if value is nn.Identity or isinstance(value, nn.Identity):
        return "torch.nn.Identity" if value is nn.Identity else "torch.nn.Identity()"
    return repr(value)


def _call(subject: Subject, call: RecordedCall, *, has_mask: bool) -> str:
    adapter = subject.adapter
    mask = "mask" if has_mask else "None"
    if isinstance(adapter, TorchAdapter):
        repeated = "None" if mask == "None" else f"mask.repeat_interleave({call.case.head}, 0)"
        wanted = f"need_weights={call.case.need_weights}, average_attn_weights=False"
        return f"module(query, key, value, attn_mask={repeated}, {wanted})"
    if isinstance(adapter, TorchModuleAdapter):
        repeated = "None" if mask == "None" else f"mask.repeat_interleave({call.case.head}, 0)"
        wanted = f"need_weights={call.case.need_weights}, average_attn_weights=False"
        first = "*(x if module.batch_first else x.transpose(0, 1) for x in (query, key, value))"
        turn = "lambda output, weights: (output if module.batch_first else output.transpose(0, 1), weights)"
        return f"({turn})(*module({first}, attn_mask={repeated}, {wanted}))"
    if not isinstance(adapter, ModuleAdapter) or isinstance(adapter, SeveralCalls) or _gives_more(adapter):
        wanted = f", need_weights={call.case.need_weights}" if adapter.weights_on_request else ""
        if isinstance(adapter, OfOneLength):
            laid = subject.caller.layout.layout
            wanted += f", mask_shape={subject.contract.mask_shape!r}" if has_mask else ""
            wanted += f", layout={laid!r}" if laid != "BTD" else ""
        return f"adapter.call(module, query, key, value, {mask}{wanted})"
    alone = adapter.signature.own_mask is not None and call.tensors[1] is call.tensors[0]
    names = ("query", "query" if alone else "key", "value", mask if has_mask else None, call.case.need_weights)
    bound = adapter.signature.bind(*names) | adapter.also  # type: ignore[arg-type]
    return f"module({', '.join(f'{parameter}={name}' for parameter, name in bound.items())})"
