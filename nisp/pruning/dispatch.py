"""Operations that reach PyTorch's dispatcher without passing its Python functions: of scripted functions, for example.

A tensor subclass sees calls of torch's Python functions only. What TorchScript's interpreter, C++ extensions and
autograd functions compute would cross a pass unseen, and lose it.
"""

from collections.abc import Container
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_TO_PYTHON = (
    "item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "__bool__", "__int__", "__float__", "__index__",
    "__complex__", "__contains__", "__array__",
)  # fmt: skip
TO_PYTHON = {getattr(home, name) for name in _TO_PYTHON for home in (torch, Tensor) if hasattr(home, name)}
"""Functions that hand values to Python, where the network may branch on them."""


class Dispatched(TorchDispatchMode):
    """While active, every operation on a tensor of class ``kind`` goes to that class, wherever it is called.

    TorchScript's interpreter turns every error into a RuntimeError; the error itself is raised in its place.
    """

    def __init__(self, kind: type[Tensor]) -> None:
        super().__init__()
        self.kind = kind
        self.raised: Exception | None = None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        if error is not None and self.raised is not None and error is not self.raised:
            raise self.raised from error

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The result of an operation; within a rule of a pass, tensor subclasses are switched off."""
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default and not isinstance(args[0], Tensor):
            return args[0]  # a number that TorchScript keeps as a tensor arrives here as a number
        if torch._C._is_torch_function_enabled() and any(isinstance(t, self.kind) for t in tree_leaves((args, kwargs))):
            try:
                return self.kind.__torch_function__(func, types, args, kwargs)
            except Exception as error:
                self.raised = error
                raise
        return func(*args, **kwargs)


def public(func: Any, known: Container[Any]) -> Any:
    """The function of torch, Tensor or torch.nn.functional that a dispatcher's operation is named after, if known."""
    packet = func.overloadpacket if isinstance(func, torch._ops.OpOverload) else func
    if not isinstance(packet, torch._ops.OpOverloadPacket):
        return func
    name = packet.__name__
    named = (getattr(home, name, None) for home in (torch, Tensor, F))
    return next((each for each in (packet, *named) if each is not None and each in known), packet)
