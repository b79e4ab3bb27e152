"""One call of a module, watched: what each of its parts was given and gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from mhsa.subject.forms.kept_for_gradients import kept_for_gradients


@dataclass(frozen=True)
class PartCall:
    """One call of one part, in the order in which the calls end; the module itself has path ``""``."""

    path: str
    part: nn.Module
    given: tuple[Tensor, ...]
    gave: tuple[Any, ...]
    tokens: bool = False  # it gave [B, N, C], of N pixels

    @property
    def output(self) -> Tensor | None:
        """Return the first tensor that it gave."""
        return next((x for x in self.gave if isinstance(x, Tensor)), None)

    def with_pixels_of(self, *images: Tensor, as_they_lie: bool = False) -> PartCall:
        """Return the call with what is flattened, [B, C, H * W] or [B, H * W, C], in the shape of its image [B, C, H, W].

        The first image is the output. What it gave may be put there ``as_they_lie``, [B, H * W, C] without turning it.
        """
        call = self
        for image in images:
            given = tuple(in_shape_of(x, image, tokens=_is_tokens(x, image)) for x in call.given)
            gave = tuple(in_shape_of(x, image, tokens=_is_tokens(x, image) and not as_they_lie) for x in call.gave)
            call = replace(call, given=given, gave=gave)
        return replace(call, tokens=not as_they_lie and any(_is_tokens(x, images[0]) for x in self.gave))


def in_shape_of(x: Any, final: Tensor, *, tokens: bool) -> Any:
    """Return a tensor [B, C, N], or [B, N, C] of ``tokens``, in the shape of an image [B, C, H, W] with as many pixels."""
    if not isinstance(x, Tensor) or x.dim() != 3 or final.dim() <= 3 or x.numel() != final.numel():
        return x
    return (x.transpose(1, 2) if tokens else x).reshape(final.shape)


def _is_tokens(x: Any, final: Tensor) -> bool:
    """Whether a tensor is [B, N, C], where the output is an image [B, C, H, W] of N pixels; all sizes differ."""
    return isinstance(x, Tensor) and x.dim() == 3 and final.dim() > 3 and x.shape == final.flatten(2).transpose(1, 2).shape


def as_if_turned(picture: Tensor) -> Tensor:
    """Return a picture into which tokens [B, H * W, C] were put as they lie, as if they had been turned before."""
    batch, width = picture.shape[:2]
    return picture.reshape(batch, -1, width).transpose(1, 2).reshape(picture.shape)


def watch(module: nn.Module, call: Callable[[], Any]) -> tuple[list[PartCall], Any]:
    """Return the calls of all parts during ``call``, and what it returned; nothing is left behind in the module."""
    calls: list[PartCall] = []

    given: list[tuple[Tensor, ...]] = []  # of the calls in progress, the innermost last

    def note_given(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given.append(tuple(x.clone() for x in (*args, *kwargs.values()) if isinstance(x, Tensor)))  # it may be changed in place

    def note(path: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], gave: Any) -> None:
            items = tuple(gave) if isinstance(gave, (tuple, list)) else (gave,)
            calls.append(PartCall(path, part, given.pop(), tuple(x.clone() if isinstance(x, Tensor) else x for x in items)))

        return hook

    handles: list[Any] = []
    for path, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(note_given, with_kwargs=True))
        handles.append(part.register_forward_hook(note(path), with_kwargs=True))
    try:
        with kept_for_gradients():
            result = call()
    finally:
        for handle in handles:
            handle.remove()
    return calls, result
