"""The networks of the coverage run: selected by a rule, so that none is picked for its outcome.

torchvision  every classification model
timm         from every module, the classifying member with the fewest parameters; timm's own test networks, whose
             names begin with "test_", are left out

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
from torch import Tensor, nn

from nisp.errors import UserError
from nisp.pruning.saving.builders import build

LIST = Path(__file__).parent / "zoo.csv"
CLASSES = 1000
IMAGES = 2
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

    def network(self) -> nn.Module:
        """With random weights, the same each time, in eval mode.

        Parameters that start out constant, such as zero scales of residual branches, and batch-norm statistics get
        random values: zeros would hide a wrong removal.
        """
        torch.manual_seed(0)
        factory, arguments = self.origin()
        model = build(factory, arguments)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.numel() > 1 and parameter.min() == parameter.max():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            for module in model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
                    module.running_mean.normal_(0, 0.1)
                    module.running_var.uniform_(0.5, 2)
        return model.eval()

    def images(self) -> Tensor:
        """Random images of the network's default size."""
        shape = (IMAGES, 3, self.image_size, self.image_size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _origin(source: str, model: str) -> tuple[str, dict[str, Any]]:
    if source == "torchvision":
        return f"torchvision.models:{model}", ARGUMENTS.get(model, {})
    return "timm:create_model", {"model_name": model, "num_classes": CLASSES}


def subjects(only: Sequence[str] = ()) -> list[Subject]:
    """The listed networks, small ones first; ``only`` names some. UserError for an unlisted name."""
    with LIST.open(newline="") as file:
        rows = [{field.name: field.type(row[field.name]) for field in fields(Subject)} for row in csv.DictReader(file)]  # type: ignore[operator]
    found = sorted((Subject(**row) for row in rows), key=lambda subject: (subject.params_m, subject.model))
    unknown = set(only) - {subject.model for subject in found}
    if unknown:
        raise UserError(f"{', '.join(sorted(unknown))} is not in {LIST}")
    return [subject for subject in found if not only or subject.model in only]


def _measured(source: str, model: str, module: str) -> Subject | None:
    """The network as a subject, or None if it does not classify."""
    factory, arguments = _origin(source, model)
    try:
        with torch.device("meta"):
            network = build(factory, arguments)
    except UserError:  # some compute with tensors while they are built
        network = build(factory, arguments)
    size = network.pretrained_cfg["input_size"][-1] if source == "timm" else SIZES.get(model, 224)
    params = sum(parameter.numel() for parameter in network.parameters())
    if CLASSES not in (len(parameter) for parameter in network.parameters() if parameter.dim() > 1):
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


def write(found: Iterable[Subject | None], path: Path = LIST) -> None:
    """Write the list."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Subject)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(subject) for subject in found if subject)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write(_found())
