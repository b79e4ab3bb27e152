"""Parameters that change from block to block, and what that does to every result: exactly known, to the last bit."""

from __future__ import annotations

import numpy as np
import torch

from mhsa.bench.measure.implementation import Built

FACTORS = (-1.0, 2.0, -0.5, 1.0, -2.0, 0.5)  # of the out projection: no rounding in any format


class RescaledOutput:
    """Multiplies weight and bias of the out projection, in place, and so output and gradients.

    Where that projection is not a parameter of its own, everything stays as it is, and ``factor`` 1.
    """

    def __init__(self, built: Built) -> None:
        self.factor = 1.0
        views = built.trial.views
        of_out = [view for view in (views.out.weight, views.out.bias) if view is not None]
        self._views = [(view, view.read().clone()) for view in of_out] if not any(view.fixed for view in of_out) else []
        others = [(view, view.read().clone()) for name, view in views.views() if not name.startswith("out.")]
        self._write(2.0)
        alone = all(torch.equal(view.read(), before) for view, before in others)
        taken = all(torch.equal(view.read(), 2.0 * before) for view, before in self._views)
        self._write(1.0)
        if not (alone and taken):  # tied to another map, say
            self._views = []
        self._turn = int(np.random.default_rng().integers(len(FACTORS)))

    def renew(self) -> None:
        """Take another factor."""
        self._turn += 1
        self._write(FACTORS[self._turn % len(FACTORS)])

    def put_back(self) -> None:
        """Take the parameters of the case again."""
        self._write(1.0)

    def of_gradient(self, name: str) -> float:
        """Return what the gradient of a map, ``query.weight`` say, is multiplied with."""
        return 1.0 if name.startswith("out.") else self.factor

    def _write(self, factor: float) -> None:
        for view, values in self._views:
            view.write(values * factor)
        self.factor = factor if self._views else 1.0
