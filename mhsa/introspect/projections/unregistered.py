"""Layers and tensors that a module keeps where torch does not look for them."""

from __future__ import annotations

from torch import Tensor, nn

from mhsa.records.understood import Understood, notes_of
from mhsa.subject import check
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.caller import Caller
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projection_views import Projections
from mhsa.subject.subject import Subject

_COMPILED = "_actual_script_module"  # of a torch.jit.ScriptModule: itself, in the form that runs


def unregistered(module: nn.Module) -> str:
    """Say which layers or tensors a module keeps where torch does not look for them: in plain lists, tuples, dicts."""
    known = {id(p) for p in module.parameters()} | {id(m) for m in module.modules()}
    for path, part in module.named_modules():
        for name, held in vars(part).items():
            if name == _COMPILED or (name.startswith("_") and name in vars(nn.Module())):
                continue
            members = held.values() if isinstance(held, dict) else held if isinstance(held, (list, tuple)) else [held]
            for member in members:
                trained = isinstance(member, Tensor) and member.is_leaf and member.requires_grad
                layer = isinstance(member, nn.Module) and any(True for _ in member.parameters())
                if (trained or layer) and id(member) not in known:
                    where = f"{path}.{name}" if path else name
                    return f"{where} holds a {type(member).__name__} that is not registered in the module"
    return ""


def of_unregistered(name: str, adapter: Adapter, caller: Caller, dtypes: tuple[str, ...], device: str, lost: str) -> Subject:
    """Return a subject of which only its construction can be judged, and is wrong."""

    def bind(module: nn.Module, sizes: Sizes) -> Projections:
        check.inapplicable(f"cannot be checked: {lost}")

    understood = (Understood("call", adapter.describe()), Understood("parameters", lost))
    return Subject(
        name=name, adapter=adapter, contract=caller.contract, dtypes=dtypes, device=device, bind=bind, caller=caller,
        unregistered=lost, understood=understood, notes=notes_of(understood),
    )  # fmt: skip
