"""Shapes of what modules read and write, as a pass through the network shows them."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from nisp.pruning.copies import copied
from nisp.pruning.undisturbed import same_draws, undisturbed

Run = Callable[[nn.Module], Any]
"""Calls a network on an example."""

Shapes = list[tuple[int, ...]]


def shapes_seen(network: nn.Module, names: Sequence[str], run: Run) -> dict[str, dict[str, Shapes]]:
    """Module name -> kind -> shapes, in the order of a pass through a copy of ``network``.

    The kinds are "input" and "output" of the module; "features", what its ``forward_features`` returns; "classifier",
    what its classifier reads; and "feature 0" and so on, what the modules in its ``feature_info`` write (timm).
    """
    network = copied(network)
    seen: dict[str, dict[str, Shapes]] = {name: {} for name in names}
    with undisturbed(network), contextlib.ExitStack() as hooks:
        for name in names:
            for handle in _listening(seen[name], network.get_submodule(name)):
                hooks.callback(handle.remove)
        run(network)
    return seen


def outputs_of(network: nn.Module, run: Run) -> list[Tensor]:
    """The tensors that a copy of ``network`` returns; random numbers are the same in every call."""
    network = copied(network)
    with undisturbed(network), same_draws(network):
        return [leaf for leaf in tree_leaves(run(network)) if isinstance(leaf, Tensor)]


def feature_entries(module: nn.Module) -> Sequence[dict[str, Any]]:
    """timm's list of features: itself, or kept in an object's ``info``."""
    listed: Any = vars(module).get("feature_info")
    listed = getattr(listed, "info", listed)
    fits = isinstance(listed, list | tuple) and all(isinstance(entry, dict) and "module" in entry for entry in listed)
    return listed if fits else ()  # type: ignore[no-any-return]


def _listening(seen: dict[str, Shapes], module: nn.Module) -> Iterator[Any]:
    yield module.register_forward_hook(partial(_note, seen, "input", "output"), with_kwargs=True)
    classifier = _classifier(module)
    if classifier is not None:
        yield classifier.register_forward_hook(partial(_note, seen, "classifier", None), with_kwargs=True)
    forward_features: Any = getattr(module, "forward_features", None)
    if callable(forward_features):
        module.forward_features = _noting(seen, forward_features)  # type: ignore[assignment]
    for index, entry in enumerate(feature_entries(module)):
        place = _place(module, str(entry["module"]))
        if place is not None:
            reads = entry.get("hook_type") == "forward_pre"
            kinds = (f"feature {index}", None) if reads else (None, f"feature {index}")
            yield place.register_forward_hook(partial(_note, seen, *kinds), with_kwargs=True)


def _note(
    seen: dict[str, Shapes], read: str | None, written: str | None, _: nn.Module, args: Any, kwargs: Any, output: Any
) -> None:
    for kind, values in ((read, (args, kwargs)), (written, output)):
        if kind is not None:
            _add(seen, kind, values)


def _add(seen: dict[str, Shapes], kind: str, values: object) -> None:
    shapes = [tuple(leaf.shape) for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
    seen.setdefault(kind, []).extend(shapes)


def _noting(seen: dict[str, Shapes], forward_features: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        features = forward_features(*args, **kwargs)
        _add(seen, "features", features)
        return features

    return noted


def _classifier(module: nn.Module) -> nn.Module | None:
    """What timm's ``get_classifier`` returns, or else a head's last layer."""
    get_classifier: Any = getattr(module, "get_classifier", None)
    if callable(get_classifier):
        found = get_classifier()
        found = next(iter(found), None) if isinstance(found, tuple | list | nn.ModuleList) else found
        return found if isinstance(found, nn.Module) else None
    return next((part for name, part in module.named_children() if name in ("fc", "classifier", "l")), None)


def _place(module: nn.Module, name: str) -> nn.Module | None:
    """The part of a network that ``feature_info`` names; networks of features alone rename or wrap it."""
    modules: Mapping[str, nn.Module] = dict(module.named_modules())
    return next((modules[n] for n in (name, name.replace(".", "_"), f"model.{name}") if n in modules), None)
