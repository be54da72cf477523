"""Attributes come back from JSON with their values and types."""

import json
import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nisp.pruning.saving.plain_values import from_json, to_json


def refuse(*_):
    raise LookupError


def round_trip(value):
    return from_json(json.loads(json.dumps(to_json(value, refuse), allow_nan=False)), refuse)


def alike(one, other):
    """Whether two values have the same content and the same types throughout."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return alike(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
keys = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner)
        | st.dictionaries(keys, inner).map(OrderedDict)
    ),
    max_leaves=20,
)  # fmt: skip


@given(values)
def test_plain_data_comes_back_with_its_types(value):
    assert alike(round_trip(value), value)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2}, frozenset("ab"), torch.Size([2, 3]), torch.bfloat16, torch.device("cpu"), np.float64(0.1),
        np.float32(0.1), np.int64(-3), np.bool_(True), {"tuple": [1]}, {"function": "os:system"},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_kinds_come_back_too(value):
    back = round_trip(value)
    assert back == value and type(back) is type(value)


def test_devices_become_the_cpu():
    assert round_trip(torch.device("cuda:1")) == torch.device("cpu")


@pytest.mark.parametrize(
    "value",
    [b"", 1j, range(3), object(), np.zeros(2), np.datetime64("2020"), slice(1)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_is_left_to_the_caller(value):
    with pytest.raises(LookupError):
        round_trip([value])
