"""Saving a network as a graph that runs without its Python code: torch.export's format and ONNX."""

import copy
import importlib.util
import io
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from nisp.errors import UserError
from nisp.whole_files import replacing

ONNX_PACKAGES = ("onnx", "onnxscript")


def save_program(path: Path, model: nn.Module, example: Tensor) -> None:
    """Write ``model`` in eval mode for ``torch.export.load(path)``, which unpickles: load only files that you trust.

    The program takes any number of images of the size of ``example``, shape (n, c, h, w).
    """
    buffer = io.BytesIO()
    torch.export.save(_program(model, example), buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def save_onnx(path: Path, model: nn.Module, example: Tensor) -> None:
    """Write ``model`` in eval mode as one ONNX file with an input "images" and an output "logits".

    It takes any number of images of the size of ``example``, shape (n, c, h, w). UserError if packages are missing.
    """
    missing = [package for package in ONNX_PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"ONNX needs the packages {', '.join(missing)}: install nisp-bench[export]")
    exported = torch.onnx.export(
        _program(model, example), input_names=["images"], output_names=["logits"], verbose=False
    )
    assert exported is not None
    with replacing(path) as temporary:
        exported.save(temporary, external_data=False)


def _program(model: nn.Module, example: Tensor) -> ExportedProgram:
    """The traced network; traced with two images, because a batch size of one would become a constant."""
    images = example[:1].expand(2, *example.shape[1:]).contiguous()
    with torch.no_grad():
        return torch.export.export(
            copy.deepcopy(model).eval(), (images,), dynamic_shapes=({0: Dim("batch")},), strict=False
        )
