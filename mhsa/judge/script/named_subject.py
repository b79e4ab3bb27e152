"""How a script imports and names the subject: its module, its file, or the model that has it."""

from __future__ import annotations

import keyword
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from torch import nn

from mhsa.introspect.load import chosen, load
from mhsa.records.request import Request
from mhsa.subject.adapters.torch_adapter import TorchAdapter
from mhsa.subject.subject import Subject


def import_lines(request: Request, subject: Subject) -> list[str]:
    """Return the lines that import torch and the subject, from where it was loaded."""
    if isinstance(subject.adapter, TorchAdapter):
        return ["import torch", ""]
    lines = ["import sys", "", "import torch", ""]
    module = _module(request)
    first = name_in_file(request).partition(".")[0]
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


def name_in_file(request: Request) -> str:
    """The subject's name in its file, or that of the model or function which has it."""
    attr = request.spec.rpartition(":")[2]
    if not request.spec.endswith(".py"):
        return attr.removesuffix(f".{named_attention(request)}")
    target = load(request.spec, request.folder)
    return next(name for name, x in vars(_module(request)).items() if x is target)


def named_attention(request: Request) -> str:
    """The path of the attention that a spec names with its layer, FILE.py:Layer.self_attn; empty where it names none."""
    return chosen(replace(request, submodule="")).attention


def object_text(request: Request) -> str:
    """The subject as it is in its file, or as it comes out of the model."""
    name = name_in_file(request)
    if not request.submodule:
        return name
    model = name if isinstance(load(request.spec, request.folder), nn.Module) else f"{name}()"
    return f"{model}.get_submodule({request.submodule!r})"
