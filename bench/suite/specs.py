"""Data sets, models, plans, methods and rankings as a suite names them."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bench.suite import plugins
from bench.suite.fields import Name, Seed, Strict, check_options
from bench.training.recoveries import Recovery

Reconstruction = Literal["none", "least_squares", "mean"]


def _known(name: str, folders: tuple[str, ...], what: str) -> str:
    names = plugins.available(folders)
    if name not in names:
        raise ValueError(f"{what} '{name}' is unknown: choose one of {', '.join(names)}")
    return name


class DatasetSpec(Strict):
    """A data set by name, the seed of its splits, and the options of its ``load``.

    ``image_size`` (side of the images in pixels, where it can be chosen) is short for the option of that name.
    """

    name: Name
    split_seed: Seed = 0
    image_size: int | None = Field(default=None, ge=8, le=1024)
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _exists(self) -> "DatasetSpec":
        _known(self.name, plugins.DATASETS, "data set")
        allowed = plugins.data_options(self.name)
        if self.image_size is not None and "image_size" not in allowed:
            raise ValueError(f"data set '{self.name}' has images of one size only: leave image_size out")
        if self.image_size is not None and "image_size" in self.options:
            raise ValueError(f"data set '{self.name}' is given image_size twice")
        check_options(f"data set '{self.name}'", self.options, allowed)
        return self

    @property
    def load_options(self) -> dict[str, Any]:
        """Keyword arguments of the data set's ``load``, after directory and seed."""
        return self.options if self.image_size is None else {**self.options, "image_size": self.image_size}

    @property
    def side(self) -> int | None:
        """Side of the images in pixels; None if the suite does not set it."""
        return self.load_options.get("image_size")


class ModelSpec(Strict):
    """A model family and, if it has several, a depth."""

    name: Name
    depth: int | None = None

    @model_validator(mode="after")
    def _exists(self) -> "ModelSpec":
        _known(self.name, plugins.MODELS, "model")
        depths = plugins.depths(self.name)
        if self.depth is None and depths:
            raise ValueError(f"model '{self.name}' needs a depth: one of {', '.join(map(str, depths))}")
        if self.depth is not None and self.depth not in depths:
            advice = f"choose one of {', '.join(map(str, depths))}" if depths else "leave depth out, there is only one"
            raise ValueError(f"model '{self.name}' has no depth {self.depth}: {advice}")
        return self

    @property
    def label(self) -> str:
        """Name and depth, as in plain-6."""
        return self.name if self.depth is None else f"{self.name}-{self.depth}"


class PlanSpec(Strict):
    """What a pruning ratio r removes from each layer.

    layers      pattern of layer names (as in a shell: * also matches dots) -> factor on r, which gives the share of
                channels that the layer loses. Later patterns override earlier ones; layers without any are not pruned
    budget      channels: r is the share of channels. macs: r is the share of the network's multiply-accumulates
                to remove, and the shares of channels are chosen to meet it
    allocation  how a budget of macs is divided. uniform: the same share of channels of each layer (times its factor).
                scores: the lowest-scored channels of the whole network by the method's own criterion, each score
                divided by the mean of its layer. A criterion's name: the same by that criterion, for every method
    floor       smallest share of a layer's channels that an allocation by scores keeps
    rounding    how a fractional number of channels to keep is rounded
    """

    layers: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default={"*": 1.0}, min_length=1)
    budget: Literal["channels", "macs"] = "channels"
    allocation: str = "uniform"
    floor: float = Field(default=0.1, ge=0, lt=1)
    rounding: Literal["nearest", "down"] = "nearest"

    @model_validator(mode="after")
    def _allocation_exists(self) -> "PlanSpec":
        if self.allocation not in ("uniform", "scores"):
            _known(self.allocation, plugins.CRITERIA, "allocation (uniform, scores or a criterion)")
        if self.by_scores and self.budget != "macs":
            raise ValueError(f"allocation {self.allocation} needs budget: macs")
        return self

    @property
    def by_scores(self) -> bool:
        """Whether the shapes are known only after scoring."""
        return self.allocation != "uniform"


class MethodSpec(Strict):
    """criterion + reconstruction + recovery, at once or in ``steps`` equal steps.

    Each of several steps removes its share, reconstructs, and recovers with its share of the epochs. Channels are then
    scored again, unless ``rescore`` is false: in that case the scores of the unpruned network decide all steps.
    """

    criterion: Name
    options: dict[str, Any] = {}
    reconstruction: Reconstruction = "none"
    recovery: Recovery = "none"
    steps: int = Field(default=1, ge=1, le=100)
    rescore: bool = True

    @model_validator(mode="after")
    def _steps_recover(self) -> "MethodSpec":
        if self.steps > 1 and self.recovery.startswith("scratch"):
            raise ValueError(
                f"recovery {self.recovery} trains from random weights, so {self.steps} steps would be wasted: use one"
            )
        if self.steps == 1 and not self.rescore:
            raise ValueError("rescore: false needs several steps")
        return self

    @model_validator(mode="after")
    def _exists(self) -> "MethodSpec":
        _known(self.criterion, plugins.CRITERIA, "criterion")
        check_options(f"criterion '{self.criterion}'", self.options, plugins.options(self.criterion))
        return self


class RankingSpec(Strict):
    """How the final responses are ranked for WARE's weights: a file in nisp/rankings, and its options."""

    name: Name
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _exists(self) -> "RankingSpec":
        _known(self.name, plugins.RANKINGS, "ranking")
        check_options(f"ranking '{self.name}'", self.options, plugins.ranking_options(self.name))
        return self
