"""A trained base network and its measurements, which all methods share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from bench.data import Dataset
from bench.runs.size import Size, size_of
from bench.training import evaluation
from nisp.classifiers import final_layers
from nisp.pruning import counting
from nisp.pruning.surgery import Anatomy, anatomy

Ranking = Callable[[Tensor], Tensor]
"""Final responses (n, features) -> importance of each feature; weighs the errors in WARE."""
RANKED_IMAGES = 5000
"""How many training images' final responses are ranked, at most: the first ones, since images are in random order."""


@dataclass(frozen=True)
class Base:
    """The network, and its accuracy, size, final responses and their importance.

    outputs    of the test images, shape (n, classes)
    responses  final responses to the validation images, shape (n, features)
    sizes      of its pruned networks so far, by the channels left in each group and the number of parameters, which
               differs where a reconstruction gave layers a bias
    """

    model: nn.Module
    dataset: Dataset
    anatomy: Anatomy
    classifier: str
    importance: Tensor
    top1: float
    top5: float
    size: Size
    outputs: Tensor
    responses: Tensor
    sizes: dict[tuple[int, ...], Size] = field(default_factory=dict, repr=False)

    def size_without(self, model: nn.Module, kept: Mapping[str, Tensor]) -> Size:
        """Size of ``model``, this network with only the ``kept`` channels; which of them stay does not matter."""
        shape = (*(len(kept[group.name]) for group in self.anatomy.groups), counting.params(model))
        if shape not in self.sizes:
            self.sizes[shape] = size_of(model, self.dataset.example, self.size.counter)
        return self.sizes[shape]


def prepared(model: nn.Module, dataset: Dataset, ranking: Ranking) -> Base:
    """Measure a trained network once."""
    model.eval()
    classifier, *_ = final_layers(model, dataset.example)
    outputs = evaluation.logits(model, dataset.test.images)
    ranked = evaluation.classifier_inputs(model, dataset.train.images[:RANKED_IMAGES], classifier)
    return Base(
        model=model,
        dataset=dataset,
        anatomy=anatomy(model, dataset.example),
        classifier=classifier,
        importance=ranking(ranked),
        top1=evaluation.accuracy(outputs, dataset.test.labels),
        top5=evaluation.top5(outputs, dataset.test.labels),
        size=size_of(model, dataset.example),
        outputs=outputs,
        responses=evaluation.classifier_inputs(model, dataset.validation.images, classifier),
    )
