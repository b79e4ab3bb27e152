"""One call as text, for processes that are given statements: callgrind's, asv's."""

from __future__ import annotations

import json
from dataclasses import asdict

from mhsa.bench.measure.clock import Call
from mhsa.bench.measure.measurement import Contender, Pass
from mhsa.records.shape import Shape

STATEMENT = "call()"


def as_setup(contender: Contender, shape: Shape, dtype: str, device: str, passes: Pass) -> str:
    """Return the Python code that makes ``call``, which has no arguments, for :data:`STATEMENT`."""
    data = json.dumps(
        [contender.name, contender.request.as_dict(), contender.need_weights, asdict(shape), dtype, device, passes]
    )
    return f"from mhsa.bench.measure.call_spec import of_text\ncall = of_text({data!r})"


def of_text(text: str) -> Call:
    """Return the call of a pass; raises what loading and building raise. Autograd is left on for training, off for forward."""
    import torch

    from mhsa.bench.measure.implementation import build, call_of, loaded
    from mhsa.records.request import Request

    name, request, need_weights, shape, dtype, device, passes = json.loads(text)
    contender = Contender(name, Request.of_dict(request), need_weights)
    built = build(contender, loaded(contender, device), Shape(**shape), dtype, device)
    torch.set_grad_enabled(passes == "training")
    return call_of(built, passes)
