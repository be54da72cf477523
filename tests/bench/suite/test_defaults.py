"""What a suite file leaves out means what the documentation says it means."""

import pytest

from bench.suite.experiments import Compositions, Experiment
from bench.suite.questions import Question
from bench.suite.recipes import Finetuning, Training
from bench.suite.schema import Suite
from bench.suite.specs import DatasetSpec, MethodSpec, ModelSpec, PlanSpec, RankingSpec

DEFAULTS = {
    DatasetSpec: {"split_seed": 0, "image_size": None, "options": {}},
    ModelSpec: {"depth": None},
    PlanSpec: {
        "layers": {"*": 1.0},
        "budget": "channels",
        "allocation": "uniform",
        "floor": 0.1,
        "rounding": "nearest",
    },
    MethodSpec: {"options": {}, "reconstruction": "none", "recovery": "none", "steps": 1, "rescore": True},
    RankingSpec: {"options": {}},
    Training: {
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "schedule": "cosine",
        "augment": (),
        "precision": "fp32",
        "weights": None,
        "weights_sha256": None,
        "source": "our choice",
    },
    Finetuning: {"learning_rate_factor": 0.1, "tuned_factors": (0.01, 0.03, 0.1, 0.3)},
    Question: {"plan": "uniform", "higher_is_better": True},
    Compositions: {"reconstructions": ("none",), "recoveries": ("recalibrate",)},
    Experiment: {"datasets": (), "plans": ("uniform",), "named": (), "compositions": None},
    Suite: {
        "scratch_b_limit": 2.0,
        "calibration_images": 500,
        "large_batch": 128,
        "frl_ranking": {"name": "inf_fs", "options": {}},
        "named_methods": {},
        "named_plans": {},
        "bundle": (),
        "description": "",
        "questions": (),
    },
}


@pytest.mark.parametrize("kind", DEFAULTS, ids=lambda kind: kind.__name__)
def test_defaults(kind):
    found = {
        name: field.get_default(call_default_factory=True)
        for name, field in kind.model_fields.items()
        if not field.is_required()
    }
    assert {
        name: value.model_dump() if hasattr(value, "model_dump") else value for name, value in found.items()
    } == DEFAULTS[kind]
