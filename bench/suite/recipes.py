"""How networks are trained and fine-tuned: a default, and overrides by model."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bench.suite.fields import Strict, distinct


class Training(Strict):
    """How base networks are trained; the fields of bench.training.loop.Recipe, except the last three.

    With ``weights`` (bench.training.pretrained), networks are loaded instead; the other fields then say how the weights
    were trained, which sets the schedules of fine-tuning and training from scratch. Without ``weights_sha256``, a
    changed file of that name goes unnoticed. ``source`` says where the recipe is published; no result depends on it.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "step", "step_last_fifth", "step_thirds", "step_100k", "cosine", "inv", "poly"] = (
        "cosine"
    )
    augment: tuple[Literal["resized_crop", "shift", "crop", "flip"], ...] = ()
    precision: Literal["fp32", "tf32", "bf16", "auto"] = "fp32"
    weights: str | None = None
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$")] | None = None
    source: str = "our choice"


class TrainingTable(Strict):
    """The default recipe, and overrides by model label or family."""

    default: Training
    models: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _overrides_fit(self) -> "TrainingTable":
        for name, override in self.models.items():
            for key in override.keys() - Training.model_fields.keys():
                allowed = ", ".join(Training.model_fields)
                raise ValueError(f"models.{name}.{key} is not a known key: allowed are {allowed}")
            self.of(name)
        return self

    def of(self, *names: str) -> Training:
        """The recipe of a model; later ``names`` override earlier ones."""
        merged = self.default.model_dump()
        for name in names:
            merged |= self.models.get(name, {})
        return Training(**merged)


class Finetuning(Strict):
    """The base recipe with its own number of epochs, and the learning rate times a factor (NISP: a tenth).

    ``tuned_factors`` are the factors that the recovery finetune_tuned tries; the best on validation images counts.
    """

    epochs: int = Field(ge=1)
    learning_rate_factor: float = Field(default=0.1, gt=0, le=1)
    tuned_factors: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=(0.01, 0.03, 0.1, 0.3), min_length=1)

    _each_once = field_validator("tuned_factors")(distinct)


class FinetuningTable(Finetuning):
    """Fine-tuning of all models, and overrides by model label or family."""

    models: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _overrides_fit(self) -> "FinetuningTable":
        for name in self.models:
            self.of(name)
        return self

    def of(self, *names: str) -> Finetuning:
        """Fine-tuning of a model; later ``names`` override earlier ones."""
        merged = self.model_dump(exclude={"models"})
        for name in names:
            merged |= self.models.get(name, {})
        return Finetuning(**merged)
