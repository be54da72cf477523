"""The networks of the coverage run: selected by a rule, so that none is picked for its outcome.

torchvision   every classification model
timm          from every module, the classifying member with the fewest parameters; timm's own test networks, whose
              names begin with "test_", are left out
segmentation  every one of torchvision's
video         every video classifier of torchvision
own           kinds of networks that these lack: benchmarks/coverage/own

The list is kept in zoo.csv, because making it builds more than a thousand networks:

    python -m benchmarks.coverage.zoo
"""

import csv
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.coverage.own import OWN
from nisp.errors import UserError
from nisp.pruning.saving.builders import build
from nisp.pruning.saving.import_paths import ALLOWED

LIST = Path(__file__).parent / "zoo.csv"
SOURCES = ("torchvision", "timm", "segmentation", "video", "own")
CLASSES = {"torchvision": 1000, "timm": 1000, "segmentation": 21, "video": 400}
IMAGES = 2
FRAMES = 16
OWN_CODE = "benchmarks.coverage.own"
OWN_SIZE = 64
VIDEO_SIZES = {"r3d_18": 112, "mc3_18": 112, "r2plus1d_18": 112}
AUXILIARY = {"aux_logits": False, "init_weights": False}  # heads used only in training are left out
SIZES = {"inception_v3": 299}  # all others of torchvision take 224, some nothing else
ARGUMENTS: dict[str, dict[str, Any]] = {"googlenet": AUXILIARY, "inception_v3": AUXILIARY}


@dataclass(frozen=True)
class Subject:
    """One network: its library, name, module of the library, millions of parameters, and height of its images."""

    source: str
    model: str
    module: str
    params_m: float
    image_size: int

    def origin(self) -> tuple[str, dict[str, Any]]:
        """Import path and arguments of its factory (see nisp.pruning.saving.builders)."""
        return _origin(self.source, self.model)

    @property
    def classifies(self) -> bool:
        """Whether the outputs are the logits of one classifier for the whole image."""
        return self.source in ("torchvision", "timm")

    @property
    def classifiers(self) -> tuple[str, ...] | None:
        """The layers whose inputs are the final responses, where a user has to name them; else None."""
        return OWN[self.model].classifiers if self.source == "own" else None

    def output_layers(self, model: nn.Module) -> list[nn.Module]:
        """Layers that write outputs: those with one output per class, or the named ones of networks of our own."""
        if self.source == "own":
            return [model.get_submodule(name) for name in OWN[self.model].outputs]
        return [
            module
            for module in model.modules()
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd) and len(module.weight) == CLASSES[self.source]
        ]

    def network(self) -> nn.Module:
        """With random weights, the same each time, in eval mode.

        Parameters that start out constant, such as zero scales of residual branches, and batch-norm statistics get
        random values: zeros would hide a wrong removal.
        """
        torch.manual_seed(0)
        factory, arguments = self.origin()
        model = build(factory, arguments, (*ALLOWED, OWN_CODE))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.numel() > 1 and parameter.min() == parameter.max():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            for module in model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
                    module.running_mean.normal_(0, 0.1)
                    module.running_var.uniform_(0.5, 2)
        return model.eval()

    def inputs(self) -> Any:
        """Two random images, or clips, of the network's default size: a tensor, a tuple or a dictionary."""
        frames = (FRAMES,) if self.source == "video" else ()
        shape = (IMAGES, 3, *frames, self.image_size, self.image_size)
        images = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        return OWN[self.model].inputs(images) if self.source == "own" else images


def _origin(source: str, model: str) -> tuple[str, dict[str, Any]]:
    if source == "torchvision":
        return f"torchvision.models:{model}", ARGUMENTS.get(model, {})
    if source == "segmentation":
        return f"torchvision.models.segmentation:{model}", {"weights_backbone": None}
    if source == "video":
        return f"torchvision.models.video:{model}", {}
    if source == "own":
        return f"{OWN_CODE}:{model}", {}
    return "timm:create_model", {"model_name": model, "num_classes": CLASSES["timm"]}


def subjects(only: Sequence[str] = (), sources: Sequence[str] = SOURCES) -> list[Subject]:
    """The listed networks of ``sources``, small ones first; ``only`` names some. UserError for an unlisted name."""
    with LIST.open(newline="") as file:
        rows = [{field.name: field.type(row[field.name]) for field in fields(Subject)} for row in csv.DictReader(file)]  # type: ignore[operator]
    found = sorted((Subject(**row) for row in rows), key=lambda subject: (subject.params_m, subject.model))
    unknown = set(only) - {subject.model for subject in found}
    if unknown:
        raise UserError(f"{', '.join(sorted(unknown))} is not in {LIST}")
    return [subject for subject in found if subject.source in sources and (not only or subject.model in only)]


def _measured(source: str, model: str, module: str) -> Subject | None:
    """The network as a subject, or None if it is one of timm's that does not classify."""
    factory, arguments = _origin(source, model)
    try:
        with torch.device("meta"):
            network = build(factory, arguments, (*ALLOWED, OWN_CODE))
    except UserError:  # some compute with tensors while they are built
        network = build(factory, arguments, (*ALLOWED, OWN_CODE))
    sizes = {"torchvision": SIZES, "video": VIDEO_SIZES, "own": dict.fromkeys(OWN, OWN_SIZE)}.get(source, {})
    size = network.pretrained_cfg["input_size"][-1] if source == "timm" else sizes.get(model, 224)
    params = sum(parameter.numel() for parameter in network.parameters())
    if source == "timm" and CLASSES[source] not in (
        len(parameter) for parameter in network.parameters() if parameter.dim() > 1
    ):
        return None
    return Subject(source, model, module, round(params / 1e6, 3), size)


def _found() -> Iterator[Subject | None]:
    import timm
    import torchvision

    for model in torchvision.models.list_models(module=torchvision.models):
        yield _measured("torchvision", model, torchvision.models.get_model_builder(model).__module__.rpartition(".")[2])
    for module in timm.list_modules():
        members = [name for name in timm.list_models(module=module) if not name.startswith("test_")]
        classifying = [subject for subject in (_measured("timm", name, module) for name in members) if subject]
        print(module, len(members), "members,", len(classifying), "classify", flush=True)
        yield min(classifying, key=lambda found: (found.params_m, found.image_size, found.model), default=None)
    yield from _beyond_classifiers()


def _beyond_classifiers() -> Iterator[Subject | None]:
    import torchvision

    models = torchvision.models
    for source, home in (("segmentation", models.segmentation), ("video", models.video)):
        for model in models.list_models(module=home):
            yield _measured(source, model, models.get_model_builder(model).__module__.rpartition(".")[2])
    for model in OWN:
        yield _measured("own", model, OWN[model].factory.__module__.rpartition(".")[2])


def write(found: Iterable[Subject | None], path: Path = LIST) -> None:
    """Write the list."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Subject)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(subject) for subject in found if subject)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write(_found())
