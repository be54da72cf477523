"""Whether this project scores, prunes, saves, reloads and exports a network, and how exact the removal is."""

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import nisp
from benchmarks.coverage.calls import finite, first, shapes, tensors
from benchmarks.coverage.record import Failed, Record
from benchmarks.coverage.zoo import OWN_CODE, Subject
from nisp.errors import UserError
from nisp.pruning.inputs import called
from nisp.pruning.saving.graph_formats import save_onnx
from nisp.pruning.selection import keep_plan, kept_channels
from nisp.pruning.surgery import anatomy, removal_error, remove_channels

RATIO = 0.5
ONNX_ERROR = 1e-3
"""Largest accepted difference between torch and onnxruntime, both in float32, relative to the largest output."""


def check(subject: Subject, record: Record) -> None:
    """Fill in every column except torch_pruning."""
    record.update(scored=False, pruned=False, forward=False, onnx=False, max_error=None, seconds=None)
    with record.stage("build"):
        model, inputs = subject.network(), subject.inputs()
    with record.stage("forward of the original"), torch.no_grad():
        before = shapes(called(model, inputs))
    start = time.perf_counter()
    with contextlib.suppress(Failed):  # recorded; surgery is checked anyway
        _score(subject, model, inputs, record)
    pruned = _prune(subject, model, inputs, before, record, start)
    with record.stage("onnx"), tempfile.TemporaryDirectory() as folder:
        _export(pruned, inputs, Path(folder) / "network.onnx")
    record.update(onnx=True)


def _score(subject: Subject, model: nn.Module, inputs: Any, record: Record) -> None:
    with record.stage("score"):
        classifiers, features = _final_layers(subject, model, first(inputs))
        importance = torch.rand(features, generator=torch.Generator().manual_seed(2))
        scores = nisp.scores(model, first(inputs), frl_scores=importance, classifier=classifiers)
        if not scores:
            raise ValueError("no layer was scored")
        for name, values in scores.items():
            if not values.isfinite().all() or (values < 0).any():
                raise ValueError(f"scores of {name} are negative or not finite")
    record.update(scored=True)


def _prune(
    subject: Subject, model: nn.Module, inputs: Any, before: list[tuple[int, ...]], record: Record, start: float
) -> nn.Module:
    """Remove half of every group at random, which is harder on surgery than any order of the channels."""
    with record.stage("anatomy"):
        structure = anatomy(model, first(inputs))
    with record.stage("surgery"):
        generator = torch.Generator().manual_seed(3)
        plan = keep_plan(structure.groups, RATIO)
        kept = {
            group.name: kept_channels(torch.rand(group.channels, generator=generator), plan[group.name])
            for group in structure.groups
        }
        pruned = remove_channels(model, structure, kept)
        if _size(pruned) >= _size(model):
            raise ValueError("no parameter was removed")
    record.update(pruned=True, params_left=_size(pruned) / _size(model), seconds=round(time.perf_counter() - start, 3))
    with record.stage("forward"), tempfile.TemporaryDirectory() as folder:
        reloaded = _reloaded(subject, pruned, Path(folder))
        with torch.no_grad():
            outputs = called(reloaded, inputs)
        if shapes(outputs) != before or not finite(outputs):
            raise ValueError(f"the outputs have shape {', '.join(map(str, shapes(outputs)))}, or are not finite")
        del reloaded
    record.update(forward=True)
    with record.stage("removal error"):
        record.update(max_error=removal_error(model, pruned, structure, kept, first(inputs)))
    return pruned


def _reloaded(subject: Subject, pruned: nn.Module, folder: Path) -> nn.Module:
    """Saved and loaded; with its factory if its structure is not plain data, for example if a method was replaced."""
    try:
        nisp.save(pruned, folder)
    except UserError:
        nisp.save(pruned, folder, *subject.origin(), allowed=[OWN_CODE])
    return nisp.load(folder, allowed=[OWN_CODE])


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _export(pruned: nn.Module, inputs: Any, path: Path) -> None:
    """Write the network as ONNX, and compare what onnxruntime computes with torch's outputs."""
    import onnxruntime

    save_onnx(path, pruned, inputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    fed = {put.name: tensor.numpy() for put, tensor in zip(session.get_inputs(), tensors(inputs), strict=True)}
    with torch.no_grad():
        expected = tensors(called(pruned, inputs))
    for found, right in zip(session.run(None, fed), expected, strict=True):
        error = (torch.from_numpy(found) - right).abs().max() / right.abs().max()
        if not error <= ONNX_ERROR:
            raise ValueError(f"onnxruntime's outputs differ by {error:.1g} of the largest")


def _final_layers(subject: Subject, model: nn.Module, example: Any) -> tuple[tuple[str, ...] | None, int]:
    """Names of the layers whose inputs are the final responses, or None to have them found; and these inputs' number.

    Classifiers are recognised by running last. Others are named by the subject, or found by the library.
    """
    if not subject.classifies and subject.classifiers is None:
        return None, sum(nisp.final_layers(model, example).values())
    ran: list[tuple[str, Tensor]] = []
    handles = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: ran.append((name, inputs[0])))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        called(model, example)
    for handle in handles:
        handle.remove()
    names = subject.classifiers or (ran[-1][0],)
    read = dict(ran)
    return names, sum(read[name].shape[1 if read[name].dim() == 4 else -1] for name in names)
