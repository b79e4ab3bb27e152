"""Modules that are built with an option in another position than its default: no property knows what they compute.

So they are compared with themselves alone, as copies of them must be the same.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.case import Case
from mhsa.subject.adapters.adapter import in_eval_mode
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.guard import attempt
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_FACTOR = 0.75  # of a number: exact, and not so far away that a rate or a scale becomes absurd
_IN_PLACE_OF_NONE = 0.3125  # a scale, a cap or an epsilon; what must be something else raises, and is left out
_MOST = 8  # options that are tried: with more of them a module is no attention alone
# Words in names of what is not computed: where a module lives, what it says, what it writes or gets from elsewhere.
_NOT_COMPUTED = re.compile(
    r"(^|_)(device|dtype|verbose|debug|log|logging|print|compile|jit|script|checkpoint|pretrained|download|cache|save|plot|name|path"
    r"|dir|file|url|seed|distributed|profile|trace|export)(_|$)",
    re.IGNORECASE,
)
_TRIES = 4  # calls with other random numbers, in which a module that draws some answers otherwise


class OtherModule:
    """A module that is built with one option changed.

    Attributes:
        words: the option and its value, as they are written in a call.
        build: makes another one like it, in train mode.
        module: in eval mode, with parameters of its own.
    """

    def __init__(self, words: str, build: Callable[[], nn.Module]) -> None:
        self.words, self.build = words, build
        self.module = build()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in self.module.parameters():  # one that starts as zero hides what comes before it
                p.add_(torch.randn(p.shape, generator=generator).to(p) / 4)
        in_eval_mode(self.module)


def others(subject: Subject, case: Case, trial: Trial) -> Iterator[OtherModule]:
    """Yield a module for each option that has a default: a number, a switch, or None, in another position."""
    adapter = subject.adapter
    if not isinstance(adapter, ModuleAdapter) or adapter.constructor is None:
        return
    target: Any = adapter.constructor.target
    given = adapter.construction(case.head, case.d_model) or {}
    for name, value in list(_changed(target, given).items())[:_MOST]:

        def build(name: str = name, value: Any = value) -> nn.Module:
            made: nn.Module = target(**copy.deepcopy(given), **{name: value})
            return made.to(device=subject.device, dtype=trial.dtype)

        made, _ = attempt(partial(OtherModule, f"{name}={value!r}", build))
        if made is not None:
            yield made[0]


def _changed(target: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with other values than their defaults, by name."""
    changed: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        default = parameter.default
        if name in given or _NOT_COMPUTED.search(name) or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if isinstance(default, bool):
            changed[name] = not default
        elif isinstance(default, float):
            changed[name] = default * _FACTOR or _IN_PLACE_OF_NONE
        elif default is None:
            changed[name] = _IN_PLACE_OF_NONE
    return changed


def output_of(trial: Trial, module: nn.Module, seed: int = 0) -> Tensor | None:
    """Return what a module answers to the trial's last call; None where it raises, or returns no tensor of finite numbers."""
    q, k, v, mask = trial.last_tensors
    torch.default_generator.manual_seed(seed)
    with torch.no_grad():
        made, _ = attempt(lambda: trial.caller(module, q, k, v, mask, False))
    output = None if made is None else made[0][0] if isinstance(made[0], tuple) else made[0]
    return output if isinstance(output, Tensor) and bool(output.isfinite().all()) else None


def repeated_output(trial: Trial, module: nn.Module) -> Tensor | None:
    """Return what a module answers each time, whatever random numbers it may draw; None where it does not."""
    outputs = [output_of(trial, module, seed) for seed in range(_TRIES)]
    first = outputs[0]
    same = first is not None and all(output is not None and torch.equal(output, first) for output in outputs)
    return first if same else None
