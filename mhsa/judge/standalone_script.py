"""A stand-alone script of one failure, for a bug report: torch and the subject only, every number written out."""

from __future__ import annotations

import functools
import keyword
import sys
import sysconfig
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mhsa.introspect.load import load, target_of
from mhsa.introspect.readings.first_token import EachTokenFirst
from mhsa.introspect.surroundings.inner_attention import InnerAttention
from mhsa.introspect.torch_attention import TorchModuleAdapter
from mhsa.oracle.attention import attention
from mhsa.oracle.bounded import Array, Bounded
from mhsa.oracle.precision import PRECISIONS
from mhsa.records.case import Case
from mhsa.records.errors import SubjectError
from mhsa.records.names import MASK
from mhsa.records.request import Request
from mhsa.reference.core_slot import slot_call
from mhsa.subject.adapter import Adapter, FunctionAdapter, ModuleAdapter, TorchAdapter
from mhsa.subject.answer import Answer
from mhsa.subject.forms.heads_function import usual_form
from mhsa.subject.subject import Subject

_MEMBERS = (
    "members = list(result.values()) if isinstance(result, dict) else result\n"
    "members = members if isinstance(members, (tuple, list, torch.Tensor)) else list(vars(members).values())"
)
_MOST_CALLS = 4  # a longer script is not read


@dataclass
class RecordedCall:
    """One call that a property made: what the module was, what it was given, what it answered."""

    case: Case
    state: dict[str, Tensor]
    training: bool
    grad: bool
    tensors: tuple[Tensor, Tensor, Tensor, Tensor | None]
    answer: Answer | None = None
    subject: Subject | None = None  # that was called, with an option that is not as it stands

    @property
    def wrong(self) -> bool:
        """Whether output or weights are further off than rounding explains, where the contract says what they are."""
        if self.answer is None:
            return True
        rows = self.answer.judged
        if _is_off(self.answer.output, self.answer.expected.output, rows):
            return True
        return self.answer.weights is not None and _is_off(self.answer.weights, self.answer.expected.weights, rows[:, None])


def _is_off(seen: Array, must: Any, rows: Any) -> bool:
    return not bool(((np.abs(seen - must.value) <= must.error) | ~rows).all())


_HEADS_IN = {
    "BHTD": ".transpose(1, 2)  # [B, H, T, d]", "BTHD": "  # [B, T, H, d]",
    "(BH)TD": ".transpose(1, 2).flatten(0, 1)  # [B * H, T, d]",
}  # fmt: skip
# How an output in another layout is turned into [B, T, d_model].
_OUTPUT_OF = {
    "TBD": ".transpose(0, 1)", "BDT": ".transpose(1, 2)", "BCHW": ".flatten(2).transpose(1, 2)",
}  # fmt: skip


class Recorder:
    """Notes the calls of a property while it runs."""

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []

    def begin(
        self, case: Case, module: nn.Module, tensors: tuple[Tensor, Tensor, Tensor, Tensor | None], *, grad: bool
    ) -> None:
        """Note a call before it is made: it may change what it is given."""
        state = {name: x.detach().clone() for name, x in module.state_dict().items()}
        copies: list[Any] = [None if x is None else _copy(x) for x in tensors]
        for n in (1, 2):  # tied ones stay tied
            for earlier in range(n):
                if tensors[n] is tensors[earlier]:
                    copies[n] = copies[earlier]
        self.calls.append(RecordedCall(case, state, module.training, grad, (copies[0], copies[1], copies[2], copies[3])))


def write_script(
    path: Path, request: Request, subject: Subject, identity: str, summary: str, message: str, calls: list[RecordedCall]
) -> None:
    """Write the script of the first call that is wrong, or of the first few where none is by itself.

    Raises:
        SubjectError: the subject cannot be named in a script.
    """
    if identity.startswith("dropout."):
        raise SubjectError("the property is about many random numbers, and no script of a few calls can show that")
    wrong = [call for call in calls if call.wrong][:1]
    chosen = wrong or calls[:_MOST_CALLS]
    if any(isinstance(called_function(call), functools.partial) for call in chosen):
        raise SubjectError("an argument of the function that is not at its default is shown by no script yet")
    if any(call.case.bias != "none" for call in chosen):
        raise SubjectError("the property gives a bias, and no script shows one yet")
    if not chosen:
        raise SubjectError("the property makes no call of the subject that a script could show")
    inside = isinstance(subject.adapter, (InnerAttention, EachTokenFirst))
    known = not inside and isinstance(subject.adapter, (ModuleAdapter, TorchAdapter, FunctionAdapter))
    why = "put each token first" if isinstance(subject.adapter, EachTokenFirst) else "leave out what is around the attention"
    with_adapter = f"mhsa, to {why}." if inside else "its mhsa.Adapter."
    needs = "Needs torch and the subject only." if known else f"Needs torch, the subject and {with_adapter}"
    about = f"{request.spec}: {summary}\n\nObserved: {message}\nProperty: {identity} of mhsa. {needs}"
    if not wrong:
        about += "\nEach call by itself is right within rounding; the property compares them, or what is around them."
    parts = [f'"""{_wrapped(about)}\n"""', *_imports(request, subject), ""]
    if inside:
        parts[-1:] = ["from mhsa.introspect.resolve import understand", "from mhsa.records.request import Request", ""]
    for n, call in enumerate(chosen):
        parts += _lines(call.subject or subject, request, call, n if len(chosen) > 1 else None)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def called_function(call: RecordedCall) -> Any:
    """Return the function that a call was made of; None for a module."""
    return call.subject.adapter.function if call.subject and isinstance(call.subject.adapter, FunctionAdapter) else None


def _imports(request: Request, subject: Subject) -> list[str]:
    if isinstance(subject.adapter, TorchAdapter):
        return ["import torch", ""]
    lines = ["import sys", "", "import torch", ""]
    module = _module(request)
    first = _name(request).partition(".")[0]
    parts = request.spec.partition(":")[0].split(".")
    path = Path(module.__file__ or "")
    if _is_file(request.spec):
        parts = [path.stem]
        while (path.parents[len(parts) - 1] / "__init__.py").is_file():
            parts.insert(0, path.parents[len(parts) - 1].name)
    root = path.parents[len(parts) - (path.stem != "__init__")]
    if not module.__file__ or root in {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}:
        return [*lines, f"from {'.'.join(parts)} import {first}"]
    folders = [Path(request.folder), Path(request.folder, "src")] if request.folder else []
    roots = list(dict.fromkeys(str(folder) for folder in (root, *folders) if folder.is_dir()))
    lines.append(f"sys.path[:0] = {roots}")
    usable = parts[0].isidentifier() and not keyword.iskeyword(parts[0]) and parts[0] not in {*sys.stdlib_module_names, "torch"}
    if usable or len(parts) > 1:
        return [*lines, f"from {'.'.join(parts)} import {first}"]
    return [
        "import importlib.util", *lines, f"spec = importlib.util.spec_from_file_location('subject', {str(path)!r})",
        "subject = importlib.util.module_from_spec(spec)", "spec.loader.exec_module(subject)", f"{first} = subject.{first}",
    ]  # fmt: skip


def _is_file(spec: str) -> bool:
    return spec.endswith(".py") or spec.rpartition(":")[0].endswith(".py")


def _module(request: Request) -> ModuleType:
    """The module that the subject is imported from, which it has been long ago."""
    if not _is_file(request.spec):
        return sys.modules[request.spec.partition(":")[0]]
    named = request.spec if request.spec.endswith(".py") else request.spec.rpartition(":")[0]
    file = str((Path(request.folder) / named).resolve())
    return next(m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == file)


def _name(request: Request) -> str:
    """The subject's name in its file, or that of the model or function which has it."""
    attr = request.spec.rpartition(":")[2]
    if not request.spec.endswith(".py"):
        return attr
    target = load(request.spec, request.folder)
    return next(name for name, x in vars(_module(request)).items() if x is target)


def _object(request: Request) -> str:
    """The subject as it is in its file, or as it comes out of the model."""
    name = _name(request)
    if not request.submodule:
        return name
    model = name if isinstance(load(request.spec, request.folder), nn.Module) else f"{name}()"
    return f"{model}.get_submodule({request.submodule!r})"


def _lines(subject: Subject, request: Request, call: RecordedCall, number: int | None) -> list[str]:
    query, key, value, mask = call.tensors
    lines = [f"# {call.case}" if number is None else f"# call {number + 1}: {call.case}"]
    if isinstance(subject.adapter, FunctionAdapter):
        return [*lines, *_function(subject, request, call)]
    if isinstance(subject.adapter, (InnerAttention, EachTokenFirst)):
        declared = f"arguments={dict(request.arguments)!r}, contract={dict(request.contract)!r}"
        asked_for = f"Request({request.label!r}, {request.spec!r}, {declared})"
        lines.append(f"adapter = understand({asked_for}, target={_object(request)}).adapter")
    elif not isinstance(subject.adapter, (ModuleAdapter, TorchAdapter)):  # the user's own, which is all that is known of it
        lines.append(f"adapter = {_name(request)}{'' if isinstance(target_of(request), Adapter) else '()'}")
    lines += [f"module = {_construction(subject, request, call)}", f"module.to(torch.{call.case.dtype})"]
    lines += [f"module.{'train' if call.training else 'eval'}()", "module.load_state_dict({"]
    lines += [f"    {name!r}: {_tensor(x)}," for name, x in call.state.items()]
    if mask is None and subject.caller.fills_mask:
        everything = torch.ones(query.size(0), query.size(1), key.size(1), dtype=torch.bool)
        mask = subject.caller.convert(everything, query.dtype, call.case.head)
    query, key, value = subject.caller.layout.give(query, key, value)
    lines += ["})", f"query = {_tensor(query)}"]
    lines.append("key = query" if key is query else f"key = {_tensor(key)}")
    lines.append("value = key" if value is key else "value = query" if value is query else f"value = {_tensor(value)}")
    if mask is not None:
        lines.append(f"mask = {_tensor(mask)}")
    lines += [f"torch.manual_seed({call.case.seed})", f"with torch.set_grad_enabled({call.grad}):"]
    lines.append(f"    result = {_call(subject, call, has_mask=mask is not None)}")
    return lines + _comparison(subject, call)


def _comparison(subject: Subject, call: RecordedCall) -> list[str]:
    if call.answer is None:
        return ["print(result)  # the call above raised when this was written", ""]
    place = subject.caller.output_from
    lines = [_MEMBERS, f"output = members[{place}] if isinstance(members, (tuple, list)) else members"]
    turned = _OUTPUT_OF.get(subject.contract.layout or "BTD")
    lines += [] if turned is None else [f"output = output{turned}  # [B, T, d_model]"]
    lines += _judged("output", call.answer.expected.output, call.answer.judged)
    where = subject.caller.weights_from
    if call.answer.weights is not None and where is not None:
        lines.append(f"weights = members[{where}]" if isinstance(where, int) else f"weights = module.{where}")
        if subject.caller.weights_form:
            lines.append(f"weights = in_usual_order(weights, {subject.caller.weights_form!r}, {call.case.batch})")
            lines.insert(0, "from mhsa.subject.returned import in_usual_order")
        lines += _judged("weights", call.answer.expected.weights, call.answer.judged[:, None])
    return [*lines, *_log_sum_exp(subject, call, subject.caller.lse_from, call.answer.expected.lse)]


def _log_sum_exp(subject: Subject, call: RecordedCall, place: int | None, must: Bounded | None) -> list[str]:
    """Lines that compare the log-sum-exp [B, H, Tq], where one is judged."""
    if call.answer is None or call.answer.lse is None or place is None or must is None:
        return []
    rows = call.answer.attended[:, None, :, 0]
    known = Bounded(must.value, np.where(np.isfinite(must.error), must.error, 0.0))  # where it is not, nothing is compared
    form = subject.caller.lse_form
    return [
        "from mhsa.subject.returned import lse_in_usual_order",
        f"lse = lse_in_usual_order(members[{place}], {form!r}, {call.case.batch})",
        *_judged("lse", known, rows),
    ]


def _judged(name: str, must: Any, rows: Any) -> list[str]:
    """Lines that print what is and what must be, and end with an error where they differ by more than rounding."""
    bound = np.broadcast_to(must.error, must.value.shape)
    lines = [f"must_be = {_tensor(torch.tensor(must.value))}", f"rounding = {_tensor(torch.tensor(bound))}  # at most"]
    lines += [f'print("{name}  is", {name}.tolist())', f'print("{name}  must be", must_be.tolist())']
    lines += [f"assert {name}.shape == must_be.shape", f"off = ({name}.detach().double() - must_be).abs()"]
    if not rows.all():
        lines.append(f"off[~{_tensor(torch.tensor(rows))}.expand_as(off)] = 0  # rows without a key, whose value is open")
    return [*lines, f'assert (off <= rounding).all(), f"{name} is off by up to {{off.max().item():.3g}}"', ""]


def _function(subject: Subject, request: Request, call: RecordedCall) -> list[str]:
    """A function on [B, H, T, d]: the heads are written out as the reference would give them."""
    assert isinstance(subject.adapter, FunctionAdapter)
    heads = []
    lines = []
    layout = subject.contract.layout or "BHTD"
    for role, x in zip(("query", "key", "value"), call.tensors, strict=False):
        assert x is not None
        w, b = call.state[f"linear_{role}.weight"], call.state[f"linear_{role}.bias"]
        heads.append(nn.functional.linear(x, w, b).view(x.size(0), x.size(1), call.case.head, -1).detach())  # [B, T, H, d]
        lines.append(f"{role} = {_tensor(heads[-1])}{_HEADS_IN[layout]}")
    mask = call.tensors[3]
    if mask is not None:
        form = subject.adapter.form
        given = (mask if mask.dim() != 3 else mask.unsqueeze(1)) != 0 if usual_form(form) else mask
        given = given.repeat_interleave(call.case.head, 0) if layout == "(BH)TD" and form.shape != "[Tq, Tk]" else given
        lines.append(f"mask = {_tensor(given)}")
        mask = form.allowed(mask, call.tensors[1].size(1), call.case.head)
        mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
    target, words = target_of(request), _object(request)
    if subject.adapter.function is not target:  # of a module without parameters, or of a class or function that gives one
        words += "()" * (not isinstance(target, nn.Module))
        lines.append(f"attention = {words}.eval()")
        words = "attention"
    named = slot_call(subject.adapter.function, has_mask=mask is not None)
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
    must = attention(q, k, v, allowed, PRECISIONS[call.case.dtype], fully_masked_row, formula)
    output, weights, logarithm = subject.adapter.values or (0, 1, None)
    lines += [_MEMBERS, f"output = members[{output}] if isinstance(members, (tuple, list)) else members"]
    if layout == "(BH)TD":
        lines.append(f"output = output.unflatten(0, (-1, {call.case.head}))  # [B, H, T, d]")
    elif layout == "BTHD":
        lines.append("output = output.transpose(1, 2)  # [B, H, T, d]")
    lines += _judged("output", must.output, call.answer.judged[:, None])
    if call.answer.weights is not None:
        lines += [f"weights = members[{weights}]", *_judged("weights", must.weights, call.answer.judged[:, None])]
    return [*lines, *_log_sum_exp(subject, call, logarithm, must.lse)]


def _construction(subject: Subject, request: Request, call: RecordedCall) -> str:
    adapter, case = subject.adapter, call.case
    if isinstance(adapter, TorchAdapter):
        return f"torch.nn.MultiheadAttention({case.d_model}, {case.head}, batch_first=True)"
    if isinstance(adapter, (InnerAttention, EachTokenFirst)) or not isinstance(adapter, ModuleAdapter):
        return f"adapter.build({case.head}, {case.d_model})"
    arguments = adapter.construction(case.head, case.d_model)
    if arguments is None:  # it is there, or a function without arguments gives it
        return _object(request) + "()" * (not isinstance(target_of(request), nn.Module))
    return f"{_object(request)}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


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
    if isinstance(adapter, EachTokenFirst) or not isinstance(adapter, ModuleAdapter):
        wanted = f", need_weights={call.case.need_weights}" if adapter.weights_on_request else ""
        return f"adapter.call(module, query, key, value, {mask}{wanted})"
    alone = adapter.signature.own_mask is not None and call.tensors[1] is call.tensors[0]
    names = ("query", "query" if alone else "key", "value", mask if has_mask else None, call.case.need_weights)
    bound = adapter.signature.bind(*names) | adapter.also  # type: ignore[arg-type]
    return f"module({', '.join(f'{parameter}={name}' for parameter, name in bound.items())})"


def _copy(x: Tensor) -> Tensor:
    """A tensor laid out in memory as the given one."""
    whole = (
        torch.empty_strided(x.shape, x.stride(), dtype=x.dtype) if 0 not in x.stride() else torch.empty(x.shape, dtype=x.dtype)
    )
    return whole.copy_(x.detach())


def _tensor(x: Tensor) -> str:
    x = x.detach().cpu()
    dtype = f", dtype={x.dtype}"
    written = repr(x.tolist()).replace("nan", "float('nan')").replace("inf", "float('inf')")
    text = f"torch.tensor({written}{dtype})" if x.numel() else f"torch.zeros({list(x.shape)}{dtype})"
    if x.is_contiguous() or x.dim() != 3:
        return text
    if x.transpose(0, 1).is_contiguous():
        return f"{text}.transpose(0, 1).contiguous().transpose(0, 1)"
    return f"torch.empty_strided({tuple(x.shape)}, {x.stride()}{dtype}).copy_({text})"


def _wrapped(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"""', "'''")
    return "\n".join(textwrap.fill(line, 110) for line in escaped.splitlines())
