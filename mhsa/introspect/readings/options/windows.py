"""Attention within windows of a picture, which no declaration says: a question, whatever is wrong with it."""

from __future__ import annotations

import inspect
import re
from typing import Any

from mhsa.records.errors import Question
from mhsa.subject.adapters.module_adapter import ModuleAdapter

_WINDOW = re.compile(
    r"ws|wsize|win_?size|(local_|attn_|attention_)?window(_size|s)?|(split|group|block|shift)_size|group_?size", re.IGNORECASE
)
_NONE = (None, False, 0, -1)  # by which windows are switched off


def ask_about_windows(adapter: ModuleAdapter) -> None:
    """Ask where the constructor is given windows of tokens, and the call the size of a picture.

    Raises:
        Question: nothing that was tried is attention to every token.
    """
    constructor = adapter.constructor
    if constructor is None or adapter.contract.window is not None or not adapter.signature.sizes:
        return
    parameters = inspect.signature(constructor.target).parameters
    given: dict[str, Any] = constructor.arguments(*(adapter.sizes or (4, 20)), 0.0)
    values = {n: given.get(n, p.default) for n, p in parameters.items() if _WINDOW.fullmatch(n)}
    windows = {n: value for n, value in values.items() if value not in _NONE and value is not inspect.Parameter.empty}
    if windows:
        shown = ", ".join(f"{n}={value!r}" for n, value in windows.items())
        raise Question(
            f"{adapter.name} seems to attend within windows of a picture ({shown}), for which there is no declaration: mhsa "
            "judges attention to every token. If a value switches the windows off, state it: "
            f"--argument {next(iter(windows))}=VALUE; else judge the attention of one window alone, as a class of its own"
        )
