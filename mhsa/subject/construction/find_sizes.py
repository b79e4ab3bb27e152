"""The sizes in which a class or factory can be built and called, and what the widths that it takes are widths of."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace

from torch import nn
from torch.nn.parameter import is_lazy

from mhsa.records.errors import SubjectError
from mhsa.subject.construction.argument_roles import DROPOUT_RATE, WIDTH_READINGS, Role, WidthReading
from mhsa.subject.construction.argument_use import use_of
from mhsa.subject.construction.built_sizes import answers_one_query, head_of, runs, width_of
from mhsa.subject.construction.constructor_call import ConstructorCall
from mhsa.subject.construction.fixed_widths.fixed_inputs import has_fixed_inputs
from mhsa.subject.construction.fixed_widths.follows_width import follows_width
from mhsa.subject.construction.fixed_widths.words_in_source import speaks_of_heads
from mhsa.subject.construction.how_to_state import FACTORY

FIRST_SIZES = (4, 20)  # head, d_model of a first try: d_k is 5, so that no two of them are the same
_EVEN = 6  # features of a head that are tried where 5 cannot be called: only an even number can be rotated
OTHER_WIDTH = 24  # for as many heads as at first
OTHER_SIZES = (3, 21)  # what is of one width alone cannot be called so
_NO_MULTIPLES = ((1, 1), (3, 21))  # of 2, 4, 8, ..., as the groups of a norm are
# Of a first try where the module has a number of heads of its own, or refuses the usual width: multiples of 32, of 3 and of 5.
_WIDTHS = (20, 64, 96, 120, 128, 512)
_HEADS = (4, 2, 3, 5, 8, 1)
_PLAIN = 12  # times d_model^2: the numbers of four maps and a feed-forward of the usual width
_HUGE = 1e7  # numbers: they are drawn in a tenth of a second, and there are up to 64 trials


def settle_sizes(call: ConstructorCall) -> None:
    """Set what the widths are widths of, and the sizes, if it can be built in one size only.

    Raises:
        SubjectError: no number of heads or width can be found.
    """
    if call.sizes is None:
        _find(call)
    else:
        with contextlib.suppress(Exception):  # shows what it reads from a configuration; a failure is reported when it is built
            call.build(*call.sizes)


def keep_to_groups(call: ConstructorCall) -> None:
    """Keep to one size where a GroupNorm refuses a width that is not a multiple of its groups."""
    if call.sizes is not None:
        return
    try:
        if not any(isinstance(part, nn.GroupNorm) for part in call.build(*FIRST_SIZES).modules()):
            return
    except Exception:  # that it fails is said when it is judged
        return
    for sizes in _NO_MULTIPLES:
        try:
            call.build(*sizes)
        except ValueError as error:
            if "num_groups" in str(error):
                call.sizes = FIRST_SIZES
        except Exception:
            return


def leave_dropout(call: ConstructorCall) -> tuple[str, ...]:
    """Leave rates of dropout at their defaults where it can be built without them alone; return which."""
    rates = tuple(n for n, role in call.read.roles.items() if role == "dropout" and n not in call.required)
    own = [call.sizes or FIRST_SIZES]
    if not rates or is_built(call, own, DROPOUT_RATE) or not is_built(call, own):
        return ()
    call.read = replace(call.read, roles={n: role for n, role in call.read.roles.items() if n not in rates})
    return rates


def is_built(call: ConstructorCall, several: Sequence[tuple[int, int]], rate: float = 0.0) -> bool:
    """Whether it can be built in each of several sizes (head, d_model), with this rate of dropout."""
    with contextlib.suppress(Exception):
        for sizes in several:
            call.build(*sizes, rate)
        return True
    return False


def _find(call: ConstructorCall) -> None:
    """Find the reading under which it can be built and called, and the sizes that it has by itself."""
    roles = call.roles()
    by_name = call.read.head and call.read.width
    if by_name and not call.configs and not roles & {"head width", "other width"}:
        _require_first_sizes(call)
        return
    found: list[tuple[bool, bool, bool, WidthReading]] = []
    error: Exception | None = None
    known = {"head", "d_model"} <= roles or bool(call.configs)
    for reading in WIDTH_READINGS if known or call.read.width else ():
        call.reading = reading
        try:
            module = call.build(*FIRST_SIZES)
        except Exception as raised:
            error = error or raised
            continue
        running = runs(module, FIRST_SIZES[1]) or any(_runs_in(call, *sizes) for sizes in _rotated_sizes(call))
        found.append((running, _is_whole(module), not _is_oversize(module), reading))
        if all(found[-1][:3]):
            break
    # The first that can be called and has projections of the full width, and no more; else that can be called; else that
    # is built.
    call.reading = max(found, key=lambda x: x[:3])[3] if found else "usual"
    if (call.configs or by_name) and error is not None and not found:
        _require_first_sizes(call)  # where a configuration lacks something, building says what
        return
    roles = call.roles()
    head = "head" in roles or _divides_into_heads(call, roles)
    width = bool(roles & {"d_model", "other width"}) or (call.read.width and bool(found))
    if width and "d_model" not in roles and found and not (found[-1][0] and _runs_in(call, *OTHER_SIZES)):
        # It stands in the code, though it may be that of the first try; what cannot be called shows it in its maps.
        width = not found[-1][0] and follows_width(call, (FIRST_SIZES, OTHER_SIZES))
    call.any_width = head and not width and _has_no_maps(call)
    if (not head or not width) and not call.any_width:
        _read_sizes(call, head, width)


def _divides_into_heads(call: ConstructorCall, roles: set[Role]) -> bool:
    """Whether it has as many heads as heads of the width that it is given fit into d_model."""
    if "head width" not in roles or not roles & {"d_model", "other width"}:
        return False
    if any(use_of(call.target, n).width_of_head for n, role in call.read.roles.items() if role == "head width"):
        return True
    with contextlib.suppress(Exception):
        return all(head_of(call.build(*sizes), sizes[1]) == sizes[0] for sizes in (FIRST_SIZES, OTHER_SIZES))
    return False


def _has_no_maps(call: ConstructorCall) -> bool:
    """Whether it has no parameters, so that it takes tokens of any width, which its constructor need not know."""
    with contextlib.suppress(Exception):
        module = call.build(*FIRST_SIZES)
        return not any(True for _ in module.parameters()) and all(
            runs(module, width) for width in (FIRST_SIZES[1], OTHER_WIDTH)
        )
    return False


def _attends_without_maps(module: nn.Module) -> bool:
    """Whether it is an attention by its name that has no parameters and answers one query for each sample, of any width."""
    named = re.search("attention|attn", type(module).__name__, re.IGNORECASE)
    own = any(True for _ in module.parameters())
    return named is not None and not own and all(answers_one_query(module, n) for n in (FIRST_SIZES[1], OTHER_WIDTH))


def _require_first_sizes(call: ConstructorCall) -> None:
    """Keep to one size where the usual first ones are refused, and others not: GroupNorm(32, d_model), an even d_k."""
    with contextlib.suppress(Exception):
        call.build(*FIRST_SIZES)
        return
    module, d_model = _first(call, FIRST_SIZES[0])
    if module is not None:
        call.sizes = FIRST_SIZES[0], d_model


def _read_sizes(call: ConstructorCall, head: bool, width: bool) -> None:
    """Take what is not a parameter from a module that was built: a number of heads or a width that stands in the code."""
    module, d_model = _first(call, 4 if head else 1)
    if module is not None and has_fixed_inputs(call, 4 if head else 1):
        return
    if module is not None and not width:
        d_model = width_of(module) or 0
    heads = None
    if module is not None and not head and not width and _attends_without_maps(module):
        heads, d_model = 1, 5
    elif module is not None and d_model:
        if head:
            heads = next((h for h in _HEADS if d_model % h == 0 and _can_be_built(call, h, d_model)), None)
        else:
            heads = head_of(module, d_model) or (None if speaks_of_heads(module) else 1)
            if width and heads and _can_be_built(call, heads, 5 * heads, rows=2):
                d_model = 5 * heads
    if not heads or d_model % heads:
        _require_sizes(call, head, width)
    else:
        call.sizes = heads, d_model


def _first(call: ConstructorCall, head: int) -> tuple[nn.Module | None, int]:
    """Return a module and the width it is built with: the first that can be called, else the first that can be built."""
    first: tuple[nn.Module | None, int] = (None, 0)
    for d_model in _WIDTHS:
        if first[0] is not None and _would_be_huge(first[0], first[1], d_model):
            break
        with contextlib.suppress(Exception):
            module = call.build(head, d_model)
            if runs(module, d_model):
                return module, d_model
            if first[0] is None:
                first = module, d_model
    return first


def _would_be_huge(module: nn.Module, width: int, d_model: int) -> bool:
    """Whether a wider module may have more numbers than a trial may cost: of layers [width^2, width^2] as this one's."""
    numbers = sum(p.numel() for p in module.parameters() if not is_lazy(p))
    return numbers > _PLAIN * width**2 and numbers * (d_model / width) ** 4 > _HUGE


def _rotated_sizes(call: ConstructorCall) -> list[tuple[int, int]]:
    """Return sizes in which an even number of features of a head can be rotated: those of the first try are odd."""
    rotary = call.contract.formula.rotary
    step = 2 if rotary is None else rotary.step
    return [(FIRST_SIZES[0], FIRST_SIZES[0] * step * -(-_EVEN // step))]


def _runs_in(call: ConstructorCall, head: int, d_model: int) -> bool:
    with contextlib.suppress(Exception):
        return runs(call.build(head, d_model), d_model)
    return False


def _can_be_built(call: ConstructorCall, head: int, d_model: int, rows: int = 0) -> bool:
    with contextlib.suppress(Exception):
        module = call.build(head, d_model)
        sized = [p for p in module.parameters() if not is_lazy(p)]  # of an eighth of the width, say; one row looks like a bias
        empty = any(p.numel() == 0 or (p.dim() > 1 and p.size(0) < rows) for p in sized)
        return not empty and head_of(module, d_model) in (head, None)
    return False


def _require_sizes(call: ConstructorCall, head: bool, width: bool) -> None:
    what = " and ".join(w for w, found in (("number of heads", head), ("width", width)) if not found)
    if not call.read.roles and not call.configs and not call.given:
        call.build(*FIRST_SIZES)  # what it raises says more
    raise SubjectError(
        f"{call.shown} has no parameter that is known to be the {what}, and a built one does not show it. {FACTORY}"
    )


def _is_oversize(module: nn.Module) -> bool:
    """Whether a module of the first sizes has more weights than full maps and a feed-forward: one map for each head, say."""
    sized = (p for p in module.parameters() if not is_lazy(p))
    return sum(p.numel() for p in sized if p.dim() > 1) > _PLAIN * FIRST_SIZES[1] ** 2


def _is_whole(module: nn.Module) -> bool:
    """Whether a module of the first sizes has at least the weights of three projections of the full width.

    One that took the width of all heads for that of one has a fraction of them.
    """
    sized = (p for p in module.parameters() if not is_lazy(p))
    return sum(p.numel() for p in sized if p.dim() > 1) >= 3 * FIRST_SIZES[1] ** 2
