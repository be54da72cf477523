"""Attributes of modules as JSON, and back with their original types.

None, booleans, integers, finite floats, strings and lists are written as they are. Anything else is an object with one
key, its type: {"tuple": [1, 2]}. The caller's functions write and find what a value refers to (modules, tensors,
classes, functions).
"""

import functools
import math
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import torch

COLLECTIONS: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple, "set": set, "frozenset": frozenset, "Size": torch.Size, "dict": dict, "OrderedDict": OrderedDict,
}  # fmt: skip
TAGS = {made: tag for tag, made in COLLECTIONS.items()}
NUMPY = {
    name: getattr(np, name)
    for name in ("bool_", "int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64")
}
NUMPY_NAMES = {kind: name for name, kind in NUMPY.items()}
INFINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


class Fault(ValueError):
    """A description is wrong; the message says where and how."""


def to_json(value: Any, refer: Callable[[Any], Any]) -> Any:
    """``value`` as JSON; ``refer`` writes anything that is not plain data, or refuses it with its own error.

    Only exact types count as plain data: the additions of a subclass would be lost.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is list:
        return [to_json(item, refer) for item in value]
    if kind in TAGS:
        items = map(list, value.items()) if isinstance(value, dict) else value
        return {TAGS[kind]: [to_json(item, refer) for item in items]}
    if kind in NUMPY_NAMES:
        return {"numpy": [NUMPY_NAMES[kind], to_json(value.item(), refer)]}
    if kind is torch.dtype:
        return {"dtype": str(value).removeprefix("torch.")}
    if kind is torch.device:
        return {"device": "cpu"}  # where ``load`` puts the network
    if isinstance(value, Enum) and value.name in kind.__members__:
        return {"enum": [refer(kind), value.name]}
    if kind is functools.partial:
        return {"partial": to_json([value.func, list(value.args), value.keywords], refer)}
    return refer(value)


def from_json(content: Any, resolve: Callable[[str, Any], Any]) -> Any:
    """The value that ``to_json`` wrote; ``resolve(key, content)`` finds what a value refers to.

    Fault if ``content`` is anything else.
    """
    if isinstance(content, list):
        return [from_json(item, resolve) for item in content]
    if not isinstance(content, dict):
        return content
    if len(content) != 1:
        raise Fault(f"an object with one key is expected, not with {len(content)}")
    [(tag, inside)] = content.items()
    try:
        return _restored(tag, inside, resolve)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        if isinstance(error, Fault):
            raise
        raise Fault(f"'{tag}' cannot be made from {_short(inside)}") from None


def _restored(tag: str, inside: Any, resolve: Callable[[str, Any], Any]) -> Any:
    if tag in COLLECTIONS:
        if not isinstance(inside, list):
            raise TypeError
        return COLLECTIONS[tag](from_json(inside, resolve))
    if tag == "float":
        return INFINITE[inside]
    if tag == "dtype":
        return _checked(getattr(torch, inside), torch.dtype)
    if tag == "device":
        return torch.device({"cpu": "cpu"}[inside])
    if tag == "numpy":
        name, number = inside
        return NUMPY[name](_checked(from_json(number, resolve), bool | int | float))
    if tag == "enum":
        kind, name = inside
        return _checked(from_json(kind, resolve), type).__members__[name]
    if tag == "partial":
        function, arguments, keywords = from_json(inside, resolve)
        return functools.partial(function, *_checked(arguments, list), **_checked(keywords, dict))
    return resolve(tag, inside)


def _checked(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _short(content: Any) -> str:
    text = repr(content)
    return text if len(text) <= 60 else f"{text[:57]}..."
