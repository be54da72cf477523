"""Other seeds than those of a suite's file, as ``--config seeds=`` asks for."""

from collections.abc import Mapping
from itertools import count, islice
from typing import Any

from nisp.errors import UserError

Seeds = int | str
"""How many, or the first and the last: "8-39"."""


def with_seeds(content: Mapping[str, Any], wanted: Seeds | None) -> dict[str, Any]:
    """The content of a suite file with other seeds in every experiment; what is malformed stays, to be reported.

    wanted  None leaves all seeds; a number takes the experiment's own seeds first, then the smallest others, so that
            finished records are used again; "8-39" takes these. UserError if there are none
    """
    experiments = content.get("experiments")
    if wanted is None or not isinstance(experiments, list):
        return dict(content)
    return {**content, "experiments": [_changed(experiment, wanted) for experiment in experiments]}


def _changed(experiment: Any, wanted: Seeds) -> Any:
    if not isinstance(experiment, dict) or not isinstance(experiment.get("seeds"), list):
        return experiment
    return {**experiment, "seeds": _seeds(experiment["seeds"], wanted)}


def _seeds(own: list[Any], wanted: Seeds) -> list[Any]:
    if isinstance(wanted, str):
        first, last = map(int, wanted.split("-"))
        if last < first:
            raise UserError(f"seeds: {wanted} holds no seed: give the smaller one first")
        return list(range(first, last + 1))
    others = (seed for seed in count() if seed not in own)
    return [*own[:wanted], *islice(others, max(0, wanted - len(own)))]
