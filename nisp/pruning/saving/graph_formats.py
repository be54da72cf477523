"""Saving a network as a graph that runs without its Python code: torch.export's format and ONNX."""

import copy
import importlib.util
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import tree_map

from nisp.errors import UserError
from nisp.whole_files import replacing

ONNX_PACKAGES = ("onnx", "onnxscript")


def save_program(path: Path, model: nn.Module, example: Any) -> None:
    """Write ``model`` in eval mode for ``torch.export.load(path)``, which unpickles: load only files that you trust.

    The program takes any number of images of the size of ``example``, shape (n, c, h, w); for networks of several
    inputs, that is a tuple or a dictionary of tensors.
    """
    buffer = io.BytesIO()
    torch.export.save(_program(model, example), buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def save_onnx(path: Path, model: nn.Module, example: Any) -> None:
    """Write ``model`` in eval mode as one ONNX file with an input "images" and an output "logits".

    It takes any number of images of the size of ``example``, shape (n, c, h, w). For networks of several inputs, give a
    tuple or a dictionary of tensors; several inputs or outputs keep the names that torch gives them. UserError if
    packages are missing.
    """
    missing = [package for package in ONNX_PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"ONNX needs the packages {', '.join(missing)}: install nisp-bench[export]")
    program = _program(model, example)
    names: dict[str, Any] = {}
    if isinstance(example, Tensor):
        names["input_names"] = ["images"]
    if len(program.graph_signature.user_outputs) == 1:
        names["output_names"] = ["logits"]
    exported = torch.onnx.export(program, verbose=False, **names)
    assert exported is not None
    with replacing(path) as temporary:
        exported.save(temporary, external_data=False)


def _program(model: nn.Module, example: Any) -> ExportedProgram:
    """The traced network; traced with two images, because a batch size of one would become a constant."""
    two = tree_map(lambda tensor: tensor[:1].expand(2, *tensor.shape[1:]).contiguous(), example)
    batch = {0: Dim("batch")}
    args, kwargs = ((), two) if isinstance(two, dict) else (two if isinstance(two, tuple) else (two,), {})
    shapes: Any = dict.fromkeys(kwargs, batch) or tuple(batch for _ in args)
    with torch.no_grad():
        return torch.export.export(copy.deepcopy(model).eval(), args, kwargs, dynamic_shapes=shapes, strict=False)
