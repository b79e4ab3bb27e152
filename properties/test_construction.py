"""What a constructor must refuse, and what it must make: four maps, of which every parameter is known to torch."""

import copy

import torch
from hypothesis import given
from torch import Tensor
from torch.nn import Module, Parameter

from mhsa.judge.budget import light, rare
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.adapter import in_eval_mode
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.by_source.bias_switch import bias_switch
from mhsa.subject.guard import attempt, guard
from mhsa.subject.projection_views import Projections, Role, lies_in
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

LEAST = 1e-9  # of a gradient that is not one of rounding errors, in float64 of numbers near 1


@light
@given(head=one_of(range(2, 10)), d_model=one_of(range(1, 41)))
def test_indivisible_width_is_refused(subject: Subject, head: int, d_model: int) -> None:
    """A width that cannot be divided among the heads is refused when the module is built.

    Statement: d_model % head != 0 implies that the constructor raises.
    Requires: a constructor of the subject's own that takes both numbers and not the width of a head.
    Source: Vaswani et al. 2017, section 3.2.2: d_k = d_model / h; the seed's assertion.
    Breaks it: d_model // head without a check, which loses features or mixes tokens in the first reshape.
    """
    if subject.refuses is None:
        check.inapplicable("needs a constructor that takes head and d_model and nothing else that sets the width of a head")
    if d_model % head == 0:
        d_model += 1 if d_model % head + 1 < head else -1
    check.start_without_tensors({"head": head, "d_model": d_model, "words": f"head={head}, d_model={d_model}"})
    try:
        built = subject.refuses(head, d_model)
    except Exception:
        return
    check.fail(
        f"building with head={head}, d_model={d_model} gave a {type(built).__name__}, but must raise: "
        f"{d_model} % {head} = {d_model % head}; a constructor that need not is declared by Contract(indivisible='any')",
        what="constructor", declaration={} if subject.contract.indivisible == "raises" else {"indivisible": "any"},
        question=f"the constructor accepts d_model={d_model} with {head} heads, which do not divide it; nothing else is wrong",
    )  # fmt: skip


@light
@given(case=cases(small=True))
def test_parameters_are_those_of_four_maps(subject: Subject, case: Case) -> None:
    """The trained parameters are those of the query, key, value and out projections, and no more.

    Statement: the number of trained parameters is 4 d_model^2, plus d_model for each bias. More of them are a question, unless
        the contract says that there are none.
    Requires: nothing; frozen parameters are not counted. Parameters that change the result beyond the four maps are no plain
        attention and not judged at all.
    Source: Vaswani et al. 2017, section 3.2.2, with d_k = d_v = d_model / h.
    Breaks it: a layer that is made and never used, which takes memory, optimizer state and weight decay for nothing.
    """
    check.not_under('widths = "apart"' if subject.contract.widths == "apart" else "", "counts maps of d_model features")
    check.not_under('spare_parameters = "any"' if subject.contract.spare_parameters == "any" else "", "counts parameters")
    trial = Trial(subject, case)
    trained = [p for p in trial.module.parameters() if p.requires_grad]
    pieces = [piece for _, view in (*trial.views.views(), *trial.views.sources) for piece in view.pieces]
    locations = {(x.untyped_storage().data_ptr(), x.storage_offset(), x.shape, x.stride()): x for x in pieces}
    count = sum(p.numel() for p in trained)
    four = sum(x.numel() for x in locations.values() if any(lies_in(x, p) for p in trained))
    if count > four:
        spare = [n for n, p in trial.module.named_parameters() if p.requires_grad and not any(lies_in(x, p) for x in pieces)]
        listed = f" ({', '.join(spare[:4])}{', ...' if len(spare) > 4 else ''})" if spare else ""
        check.fail(
            f"the module has {count} trained parameters, but its four maps have {four} of them{listed}",
            what="parameters", observed=count, required=four,
            declaration={} if subject.contract.spare_parameters == "none" else {"spare_parameters": "any"},
            question=f"it has trained parameters that change nothing{listed}; nothing else is wrong",
        )  # fmt: skip
    check.current().add_ratio(0.0)


@light
@given(case=cases(small=True))
def test_every_map_is_trained(subject: Subject, case: Case) -> None:
    """Each map has parameters of its own that are registered and require a gradient.

    Statement: the tensors of the four maps are among module.parameters(), require a gradient, and no two maps share one.
    Requires: a class or factory; a module that is given as an object may be frozen.
    Source: P09, P16; episodic-transformer-memory-ppo PR#22 (one projection for every head).
    Breaks it: layers in a plain list, which no optimizer sees; [nn.Linear(...)] * 4, which is one layer.
    """
    if subject.unregistered:
        check.start_without_tensors(case.as_dict() | {"words": str(case)})
        check.fail(f"{subject.unregistered}, but every parameter must be: no optimizer and no .to() sees it", what="parameters")
    if subject.adapter.sizes is not None:
        check.inapplicable("needs a class or factory: a module that is given as an object may be frozen")
    trial = Trial(subject, case)
    module = guard("building it", lambda: subject.adapter.build(case.head, case.d_model))
    projections = subject.bind(module, trial.sizes)
    views = (*projections.views(), *projections.sources)  # a map may be computed from parameters of other names
    locations: dict[tuple[int, int, tuple[int, ...]], str] = {}
    for name, view in views:
        for piece in view.pieces:
            owner = next((p for p in module.parameters() if lies_in(piece, p)), None)
            if owner is None or not owner.requires_grad:
                check.fail(f"{name} does not require a gradient, but must: it would never be trained", what=name)
            location = (piece.untyped_storage().data_ptr(), piece.storage_offset(), piece.stride())
            if piece.numel() and locations.setdefault(location, name) != name:
                check.fail(f"{name} and {locations[location]} are one tensor, but must be two", what=name)
    check.current().add_ratio(0.0)


@rare
@given(case=cases(dtypes=("float64",), min_keys=2, small=True))
def test_a_switch_of_biases_is_obeyed_by_all(subject: Subject, case: Case) -> None:
    """A switch called ``bias`` that is off leaves no map a bias that acts.

    Statement: built with bias=False, no output depends on a bias of the maps of queries and values, if one of queries, keys or
        values is gone. Where all of these or the out projection keep theirs, it is a question, unless the contract forbids it.
    Requires: a constructor with one switch of biases, called bias, use_bias, with_bias or has_bias, which takes some; autograd.
    Source: torch.nn.MultiheadAttention(bias=False), which has none; P22, the class of arguments that are ignored.
    Breaks it: a layer that is made without the switch.
    """
    adapter = subject.adapter
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    switch = None if constructor is None else bias_switch(constructor.target)
    if switch is None or constructor is None or switch.name not in constructor.options:
        check.inapplicable("needs a constructor with one switch of biases, called bias")
    check.not_under('bias_switch = "some"' if subject.contract.bias_switch == "some" else "", "takes the biases of all maps")
    trial = Trial(subject, case)
    trial.require_gradients()
    turned = copy.copy(adapter)
    turned.options = adapter.options | {switch.name: not switch.default}
    done, said = attempt(lambda: in_eval_mode(turned.build(case.head, case.d_model).to(subject.device, trial.dtype)))
    if done is None:
        check.inapplicable(f"needs a module with {switch.name}={not switch.default}: {said}")
    module, other = trial.module, done[0]
    off, on = (other, module) if switch.default else (module, other)
    roles = _roles_of_biases(trial.views, module)
    left = dict(off.named_parameters())
    kept = {role for n, its in roles.items() if n in left and _acts(trial, off, left[n]) for role in its}
    kept -= {"key"}  # it adds the same to all scores of a query, and so never acts
    gone = {role for n, its in roles.items() if n not in left and n in dict(on.named_parameters()) for role in its}
    check.current().add_ratio(0.0)
    divided = bool(kept - {"out"}) and bool(gone - {"out"})  # else it may be that of the input maps, or of out alone
    if not kept or not gone or (not divided and (switch.of_inputs or not switch.default)):
        return
    maps = " and ".join(sorted(kept))
    check.fail(
        f"with {switch.name}=False the {maps} bias{'es act' if len(kept) > 1 else ' acts'} on the output, but must not",
        what="biases",
        **{} if divided or subject.contract.bias_switch == "all" else {
            "declaration": {"bias_switch": "some"},
            "question": f"{switch.name}=False leaves the {maps} bias; nothing else is wrong",
        },
    )  # fmt: skip


def _roles_of_biases(views: Projections, module: Module) -> dict[str, set[str]]:
    """Return of which maps a parameter is a bias, or would be: one named as the weight is, with ``bias`` in its place."""
    roles: dict[str, set[str]] = {}
    for name, p in module.named_parameters():
        for role in ("query", "key", "value", "out"):
            its: Role = getattr(views, role)
            of_weight = name.replace("weight", "bias")
            for view, called in ((its.bias, name), *([(its.weight, of_weight)] if of_weight != name else [])):
                if view is not None and not view.fixed and any(lies_in(piece, p) for piece in view.pieces):
                    roles.setdefault(called, set()).add(role)
    return roles


def _acts(trial: Trial, module: Module, bias: Parameter) -> bool:
    """Whether the output of a module of the same class depends on a bias; where it cannot be called, it does not."""
    generator = torch.Generator().manual_seed(trial.case.seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5)
    trial()

    def gradient() -> Tensor | None:
        with torch.enable_grad():
            output = trial.caller(module, *trial.last_tensors, trial.case.need_weights)[0]
            end = torch.randn(output.shape, generator=generator, dtype=output.dtype)
            return torch.autograd.grad((output * end).sum(), bias, allow_unused=True)[0]

    done, _ = attempt(gradient)
    return bias.requires_grad and done is not None and done[0] is not None and bool((done[0].abs() > LEAST).any())
