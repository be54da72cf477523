"""A pretended GPU: values are on the CPU, and the rules of CUDA's devices hold.

A tensor on it says that it is on ``cuda:0``, holds a CPU tensor, and refuses to meet tensors of other devices. C++ code
of torch sees the meta device with a high index instead, for which it has no code of its own. Counted are kernel
launches, and what makes the host wait for the GPU. It knows nothing of rounding, of speed or of streams.
"""

import contextlib
import sys
import threading
from collections import Counter
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FIRST = 7
"""C++ sees meta:7, meta:8, ... for cuda:0, cuda:1, ..."""

aten = torch.ops.aten
LAUNCHES = Counter()
"""Operation -> how often it ran on the GPU."""
WAITS = Counter()
"""Kind of wait -> how often the host waited."""

TOUCHED = set()
"""Indices of the GPUs on which anything ran."""

ALSO_SCALARS = {
    aten.where.self, aten.masked_fill.Tensor, aten.masked_fill_.Tensor, aten.fill_.Tensor, aten.index_fill.int_Tensor,
    aten.index_fill_.int_Tensor, aten.lerp.Tensor, aten.lerp_.Tensor,
}  # fmt: skip
"""Operations that take a CPU tensor of no dimension, as operations on single values do."""
WAITING = {
    aten._local_scalar_dense.default: "item", aten.nonzero.default: "nonzero", aten.equal.default: "equal",
    aten._unique2.default: "unique", aten.masked_select.default: "masked_select",
    aten.multinomial.default: "multinomial",
}  # fmt: skip
READ_AT = {aten.index.Tensor, aten._unsafe_index.Tensor}
WRITTEN_AT = {
    aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default, aten._unsafe_index_put.default
}  # fmt: skip
NEW = ("new_empty", "new_empty_strided", "new_zeros", "new_ones", "new_full", "zeros_like", "ones_like", "empty_like")
NO_LAUNCH = {"view", "_unsafe_view", "t", "transpose", "permute", "expand", "slice", "select", "alias", "detach",
             "unsqueeze", "squeeze", "as_strided", "split", "unbind", "empty", "empty_like", "empty_strided",
             "new_empty", "new_empty_strided", "_reshape_alias", "set_", "split_with_sizes", "unfold"}  # fmt: skip


class DeviceError(RuntimeError):
    """Tensors of different devices met."""


class _State(threading.local):
    current = 0


STATE = _State()
GENERATOR = torch.Generator()
LOCK = threading.RLock()


def is_pretended(device):
    """Whether a device, as Python or as C++ sees it, is a pretended GPU."""
    if device is None:
        return False
    device = torch.device(device)
    return device.type == "cuda" or (device.type == "meta" and (device.index or 0) >= FIRST)


def number(device):
    """Index of a pretended GPU."""
    device = torch.device(device)
    if device.type == "meta":
        return device.index - FIRST
    return STATE.current if device.index is None else device.index


class GpuTensor(Tensor):
    """A tensor on a pretended GPU: its values ``held`` on the CPU, and the ``gpu``'s index."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def of(held, gpu):
        made = Tensor._make_wrapper_subclass(
            GpuTensor, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device=torch.device("meta", FIRST + gpu),
        )  # fmt: skip
        made.held, made.gpu = held, gpu
        return made

    device = property(lambda self: torch.device("cuda", self.gpu))
    is_cuda = property(lambda self: True)
    is_meta = is_cpu = property(lambda self: False)

    def get_device(self):
        return self.gpu

    def data_ptr(self):
        return self.held.data_ptr()

    def storage_offset(self):
        return self.held.storage_offset()

    def untyped_storage(self):
        return self.held.untyped_storage()

    def numpy(self, *args, **kwargs):
        raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def tolist(self):
        WAITS["tolist"] += 1
        return self.held.tolist()

    def __repr__(self, **kwargs):
        return f"{self.device}: {self.held!r}"

    def as_subclass(self, kind):
        """As another class, such as a response, which stays on the GPU."""
        with torch._C.DisableTorchFunctionSubclass():
            made = aten.alias.default(self)
        made.__class__ = _also(kind)
        return made

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            if not self.is_leaf:
                raise RuntimeError("Only Tensors created explicitly by the user support the deepcopy protocol")
            storage = self.held.untyped_storage().clone()
            held = torch.empty(0, dtype=self.dtype).set_(
                storage, self.held.storage_offset(), self.held.shape, self.held.stride()
            )
            made = GpuTensor.of(held, self.gpu).requires_grad_(self.requires_grad)
            if getattr(self, "_is_param", False):
                made._is_param = True
            memo[id(self)] = made
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return _rebuilt, (self.held.detach(), self.gpu, self.requires_grad)

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, new):
        if not isinstance(new, GpuTensor):
            raise DeviceError("the data of a GPU's tensor cannot be a CPU's")
        Tensor.data.__set__(self, new)
        self.held = new.held

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatched(func, args, kwargs or {})


def _rebuilt(held, gpu, requires_grad):
    if not torch.cuda.is_available():
        raise RuntimeError("Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False.")
    return GpuTensor.of(held, gpu).requires_grad_(requires_grad)


torch.serialization.add_safe_globals([_rebuilt])
_CLASSES = {}


def _also(kind):
    if kind is Tensor or issubclass(GpuTensor, kind):
        return GpuTensor
    return _CLASSES.setdefault(kind, type(f"Gpu{kind.__name__}", (kind, GpuTensor), {}))


def dispatched(func, args, kwargs):
    """One operation, with the errors that CUDA raises; it runs on the CPU tensors that are held."""
    leaves = tree_leaves((args, kwargs))
    on_gpu = [leaf for leaf in leaves if isinstance(leaf, GpuTensor)]
    onto = is_pretended(kwargs.get("device"))
    if not on_gpu and not onto:
        return func(*args, **kwargs)
    gpu = number(kwargs["device"]) if onto else on_gpu[0].gpu
    TOUCHED.add(gpu)
    name = func._schema.name.removeprefix("aten::")
    if name not in NO_LAUNCH:
        LAUNCHES[name] += 1
    if func is aten._to_copy.default:
        return _moved(func, args[0], kwargs, onto, gpu)
    if func is aten.copy_.default:
        return _copied(func, *args)
    _check_devices(func, leaves, on_gpu, onto, gpu)
    if func in READ_AT | WRITTEN_AT:
        _check_indices(func, *args)
    else:
        _check_others(func, args, leaves, on_gpu, onto)
    if func in WAITING or "linalg" in name:
        WAITS[WAITING.get(func, "linalg")] += 1
    plain_args, plain = tree_map(_held, args), tree_map(_held, kwargs)
    if onto:
        plain["device"] = torch.device("cpu")
    with _own_random_numbers() if torch.Tag.nondeterministic_seeded in func.tags else contextlib.nullcontext():
        made = func(*plain_args, **plain)
    return _written(func, args, kwargs, made, gpu) if func._schema.is_mutable else tree_map(lambda t: _on(t, gpu), made)


def _held(value):
    return value.held if isinstance(value, GpuTensor) else value


def _on(value, gpu):
    return GpuTensor.of(value, gpu) if isinstance(value, Tensor) and not isinstance(value, GpuTensor) else value


def _moved(func, source, kwargs, onto, gpu):
    device = kwargs.get("device")
    if device is not None and not onto:
        if device.type == "cpu" and not kwargs.get("non_blocking"):
            WAITS["to the CPU"] += 1
        return func(source.held, **kwargs)
    if not isinstance(source, GpuTensor):
        WAITS["to the GPU"] += 1
    options = {key: value for key, value in kwargs.items() if key not in ("device", "non_blocking")}
    return GpuTensor.of(func(_held(source), device=torch.device("cpu"), **options), gpu)


def _copied(func, target, source, *rest):
    if isinstance(target, GpuTensor) != isinstance(source, GpuTensor):
        WAITS["to the GPU" if isinstance(target, GpuTensor) else "to the CPU"] += 1
    func(_held(target), _held(source), *rest)
    return target


def _check_devices(func, leaves, on_gpu, onto, gpu):
    if any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise DeviceError(f"Expected a 'cuda' device type for generator but found 'cpu' ({func})")
    if len({tensor.gpu for tensor in on_gpu} | ({gpu} if onto else set())) > 1:
        raise DeviceError(f"{func} was given tensors of several GPUs")


def _check_indices(func, target, indices, *values):
    for index in (index for index in indices if index is not None):
        if isinstance(index, GpuTensor) and not isinstance(target, GpuTensor):
            raise DeviceError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        if not isinstance(index, GpuTensor):
            WAITS["index to the GPU"] += 1
        if index.dtype in (torch.bool, torch.uint8):
            WAITS["nonzero"] += 1
    if func in WRITTEN_AT and isinstance(values[0], GpuTensor) != isinstance(target, GpuTensor) and values[0].dim():
        raise DeviceError(f"{func}: values and target are on different devices")


def _check_others(func, args, leaves, on_gpu, onto):
    others = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, GpuTensor)]
    if onto and func._schema.name.removeprefix("aten::") in NEW:
        return
    scalars = torch.Tag.pointwise in func.tags or func in ALSO_SCALARS or "foreach" in str(func)
    for other in others:
        if not (scalars and other.dim() == 0):
            raise DeviceError(
                f"Expected all tensors to be on the same device, but found at least two devices, cuda and cpu! ({func})"
            )
    if others and func._schema.is_mutable and isinstance(args[0], Tensor) and not isinstance(args[0], GpuTensor):
        raise DeviceError(f"{func} writes values of a GPU into a CPU tensor")


def _written(func, args, kwargs, made, gpu):
    """The results of an operation that writes: its own arguments where the schema says so."""
    schema, results = func._schema, []
    for value, returned in zip(made if isinstance(made, list | tuple) else [made], schema.returns, strict=False):
        info = returned.alias_info
        if info is None or not info.is_write:
            results.append(tree_map(lambda t: _on(t, gpu), value))
            continue
        for index, argument in enumerate(schema.arguments):
            if argument.alias_info is not None and argument.alias_info.before_set == info.before_set:
                target = kwargs[argument.name] if argument.name in kwargs else args[index]
                if isinstance(target, GpuTensor) and target.shape != target.held.shape:
                    with torch.no_grad():
                        Tensor.data.__set__(target, GpuTensor.of(target.held, target.gpu))
                results.append(target)
                break
    if not schema.returns:
        return None
    return tuple(results) if isinstance(made, list | tuple) else results[0]


@contextlib.contextmanager
def _own_random_numbers():
    """A GPU draws from a generator of its own."""
    with LOCK:
        default = torch.default_generator
        before = default.get_state()
        default.set_state(GENERATOR.get_state())
        try:
            yield
        finally:
            GENERATOR.set_state(default.get_state())
            default.set_state(before)


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatched(func, args, kwargs or {})


def _seen_by_cpp(value):
    is_name = isinstance(value, str) and value.partition(":")[0] == "cuda"
    if not is_name and not (isinstance(value, torch.device) and value.type == "cuda"):
        return value
    return torch.device("meta", FIRST + number(value))


CAST = {torch.conv1d, torch.conv2d, torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.linear,
        torch.matmul, Tensor.matmul, torch.mm, torch.bmm}  # fmt: skip
"""Functions whose arguments autocast casts."""


class _Functions(TorchFunctionMode):
    """Names of devices for C++; and autocast, which the meta device does not have."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is Tensor.cuda:
            func, args, kwargs = Tensor.to, (args[0], torch.device("cuda", STATE.current)), {}
        if "device" in kwargs:
            kwargs = {**kwargs, "device": _seen_by_cpp(kwargs["device"])}
        if func is Tensor.to:
            args = tuple(map(_seen_by_cpp, args))
        if func is torch.tensor and is_pretended(kwargs.get("device")):
            gpu = number(kwargs.pop("device"))
            WAITS["to the GPU"] += 1
            return GpuTensor.of(torch.tensor(*args, **kwargs), gpu)
        if func is torch.unravel_index and isinstance(args[0], GpuTensor):  # copies coefficients to its device
            WAITS["to the GPU"] += 2
            return tuple(GpuTensor.of(places, args[0].gpu) for places in func(args[0].held, *args[1:], **kwargs))
        if func in CAST and torch.is_autocast_enabled("cuda"):
            args, kwargs = tree_map(_cast, args), tree_map(_cast, kwargs)
        return func(*args, **kwargs)


def _cast(value):
    floating = isinstance(value, GpuTensor) and value.dtype == torch.float32
    return value.to(torch.get_autocast_dtype("cuda")) if floating else value


@contextlib.contextmanager
def pretended(gpus=1):
    """In the block, torch has so many GPUs, also in threads that are started there."""
    run = threading.Thread.run

    def with_modes(thread):
        with _Functions(), _Operations():
            run(thread)

    def seed(value):
        GENERATOR.manual_seed((int(value) ^ 0x5BD1E995) & (2**63 - 1))

    def select(device):
        STATE.current = device if isinstance(device, int) else number(device)

    def waited(*_):
        WAITS["synchronize"] += 1

    told = {
        "is_available": lambda: True, "device_count": lambda: gpus, "current_device": lambda: STATE.current,
        "is_initialized": lambda: True, "_lazy_init": lambda: None, "init": lambda: None, "empty_cache": lambda: None,
        "synchronize": waited, "set_device": select, "manual_seed": seed, "manual_seed_all": seed,
        "get_rng_state": lambda device="cuda": GENERATOR.get_state(),
        "set_rng_state": lambda state, device="cuda": GENERATOR.set_state(state.clone()),
        "get_device_name": lambda *_: "Pretended GPU", "get_device_capability": lambda *_: (9, 0),
        "is_bf16_supported": lambda *_, **__: True,
    }  # fmt: skip
    LAUNCHES.clear()
    WAITS.clear()
    TOUCHED.clear()
    foreach = [*sys.modules["torch.optim.optimizer"]._foreach_supported_types, GpuTensor]
    with contextlib.ExitStack() as stack:
        for name, value in told.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(threading.Thread, "run", with_modes))
        # Real GPUs' tensors are no subclass, so nothing that switches subclasses off concerns them.
        stack.enter_context(mock.patch.object(torch._C, "_DisableTorchDispatch", contextlib.nullcontext))
        stack.enter_context(
            mock.patch.object(sys.modules["torch.optim.optimizer"], "_foreach_supported_types", foreach)
        )
        stack.enter_context(mock.patch.object(_foreach_utils, "_foreach_supported_types", foreach))
        stack.enter_context(_Functions())
        stack.enter_context(_Operations())
        yield
    STATE.current = 0
