"""Networks are built from import paths and plain arguments, and nothing else is called."""

import pytest
import torch

from nisp.errors import UserError
from nisp.pruning.saving.builders import build


@pytest.mark.parametrize(
    ("factory", "arguments", "fault"),
    [
        ("os:system", {"command": "true"}, "'os:system' is not allowed"),
        ("torchvision.models", {}, "is not an import path of the form package.module:function"),
        ("torchvision.models:__builtins__.eval", {}, "is not an import path of the form"),
        ("torchvision.modelsx:resnet18", {}, "cannot be imported"),
        ("torchvisionx:resnet18", {}, "is not allowed"),
        ("torchvision.models:no_such_net", {}, "cannot be imported"),
        # imported by that module, but defined elsewhere: it would download and unpickle what the file says
        ("torchvision.models._api:load_state_dict_from_url", {"url": "file:///x"}, "is not a function or class of"),
        ("torchvision.datasets.utils:download_url", {"url": "file:///x", "root": "."}, "is not a function or class of"),
        ("torchvision.io:write_file", {"filename": "x", "data": 1}, "is not a function or class of"),
        ("timm.models:load_state_dict_from_hf", {"model_id": "x"}, "is not a function or class of"),
        ("timm.models._hub:load_state_dict_from_path", {"path": "x"}, "is not a function or class of"),
        ("timm.utils:get_outdir", {"path": "x"}, "is not a function or class of"),
        ("torch.nn.utils:parameters_to_vector", {"parameters": []}, "is not a function or class of"),
        ("timm.models.resnet:get_padding", {"kernel_size": 3, "stride": 1}, "makes a int, not a network"),
        ("torchvision.models:resnet18", {"weights": "DEFAULT"}, "leave out weights"),
        ("timm:create_model", {"model_name": "resnet18", "checkpoint_path": "x"}, "leave out checkpoint_path"),
        ("torchvision.models:resnet18", {"colour": 1}, "does not build with"),
    ],
)
def test_anything_that_does_not_build_a_network_is_refused(factory, arguments, fault):
    with pytest.raises(UserError, match=fault):
        build(factory, arguments)


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        ("torchvision.models:resnet18", {"num_classes": 3}),
        ("torchvision.models.resnet:resnet18", {"num_classes": 3}),
        ("timm:create_model", {"model_name": "test_resnet", "num_classes": 3}),
        ("timm.models.resnet:resnet10t", {"num_classes": 3}),
    ],
)
def test_networks_of_torchvision_and_timm_are_built(factory, arguments):
    assert list(build(factory, arguments).parameters())[-1].shape == (3,)


def test_the_random_state_does_not_change():
    state = torch.get_rng_state()
    build("torchvision.models:squeezenet1_0", {})
    assert torch.equal(torch.get_rng_state(), state)
