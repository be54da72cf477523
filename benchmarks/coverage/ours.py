"""Whether this project scores, prunes, saves and reloads a network, and how exact the removal is."""

import contextlib
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

import nisp
from benchmarks.coverage.record import Failed, Record
from benchmarks.coverage.zoo import Subject
from nisp.errors import UserError
from nisp.pruning.selection import keep_plan, kept_channels
from nisp.pruning.surgery import anatomy, removal_error, remove_channels

RATIO = 0.5


def check(subject: Subject, record: Record) -> None:
    """Fill in every column except torch_pruning."""
    record.update(scored=False, pruned=False, forward=False, max_error=None, seconds=None)
    with record.stage("build"):
        model, images = subject.network(), subject.images()
    with record.stage("forward of the original"), torch.no_grad():
        shape = model(images).shape
    start = time.perf_counter()
    with contextlib.suppress(Failed):  # recorded; surgery is checked anyway
        _score(model, images, record)
    _prune(subject, model, images, shape, record, start)


def _score(model: nn.Module, images: Tensor, record: Record) -> None:
    with record.stage("score"):
        classifier, responses = _final_layer(model, images)
        features = responses.shape[1] if responses.dim() == 4 else responses.shape[-1]
        importance = torch.rand(features, generator=torch.Generator().manual_seed(2))
        scores = nisp.scores(model, images[:1], frl_scores=importance, classifier=classifier)
        if not scores:
            raise ValueError("no layer was scored")
        for name, values in scores.items():
            if not values.isfinite().all() or (values < 0).any():
                raise ValueError(f"scores of {name} are negative or not finite")
    record.update(scored=True)


def _prune(subject: Subject, model: nn.Module, images: Tensor, shape: torch.Size, record: Record, start: float) -> None:
    """Remove half of every group at random, which is harder on surgery than any order of the channels."""
    with record.stage("anatomy"):
        structure = anatomy(model, images[:1])
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
            outputs = reloaded(images)
        if outputs.shape != shape or not outputs.isfinite().all():
            raise ValueError(f"the outputs have shape {tuple(outputs.shape)}, or are not finite")
        del reloaded
    record.update(forward=True)
    with record.stage("removal error"):
        record.update(max_error=removal_error(model, pruned, structure, kept, images))


def _reloaded(subject: Subject, pruned: nn.Module, folder: Path) -> nn.Module:
    """Saved and loaded; with its factory if its structure is not plain data, for example if a method was replaced."""
    try:
        nisp.save(pruned, folder)
    except UserError:
        nisp.save(pruned, folder, *subject.origin())
    return nisp.load(folder)


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _final_layer(model: nn.Module, images: Tensor) -> tuple[str, Tensor]:
    """Name and input of the convolution or linear layer that runs last: the classifier, or one of several."""
    ran: list[tuple[str, Tensor]] = []
    handles = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: ran.append((name, inputs[0])))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        model(images[:1])
    for handle in handles:
        handle.remove()
    return ran[-1]
