"""Words on gradients: that a mask has one, and that returned weights have none."""

from __future__ import annotations

import re

from torch import nn

from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.docstrings.passages import about_the_whole_of

_GRADIENT = re.compile(r"\bgradients?\b|\bdifferentiable\b|\blearn(ed|t|able)\b|\btrainable\b|\btrained\b", re.IGNORECASE)
_NO_GRADIENT = re.compile(
    r"\b(no|not|non|never|without|nor)\b.{0,30}(gradient|differentiable|learn|train)|detach", re.IGNORECASE
)
_DETACHED = re.compile(
    r"detach|\b(no|not|without|nor|never)\b.{0,30}(gradient|\bgrad\b|differentiable)|inspect|visuali|for (plots|logging)",
    re.IGNORECASE,
)

_INFERENCE = re.compile(
    r"\b(inference|forward|evaluation|generation|decoding)[- ]only\b|\bonly for (inference|evaluation|decoding)\b"
    r"|\b(runs?|is run|called) (under|in|with) (torch\.)?(no_grad|inference_mode)\b"
    r"|\b(has|have) no (backward( pass)?|autograd support)\b"
    r"|\b(does|do) not support (a |the )?(backward( pass)?|autograd|training)\b",
    re.IGNORECASE,
)


def promises_gradient(text: str) -> bool:
    """Whether what is said of a mask promises it a gradient."""
    return _GRADIENT.search(text) is not None and not _NO_GRADIENT.search(text)


def says_inference_only(adapter: Adapter) -> bool:
    """Whether docstrings say that the module or function is for inference alone, where nothing is differentiated.

    What they say of an argument is about that one.
    """
    return _INFERENCE.search(about_the_whole_of(adapter)) is not None


def says_detached(module: nn.Module) -> bool:
    """Whether a docstring of the class or of its forward says that something is detached, or only there to be looked at.

    Their own docstrings alone: one that is inherited speaks of another class.
    """
    texts = " ".join(" ".join((doc or "").split()) for doc in (type(module).__doc__, type(module).forward.__doc__))
    return _DETACHED.search(texts) is not None
