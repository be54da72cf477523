"""Every function that torchvision's and timm's networks call on a response has a rule, or is refused with a reason.

The names were collected by running all networks of torchvision (classification, segmentation, video, detection, optical
flow) and five of every module of timm on a tensor that notes what is called on it, and by searching their source code.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import nisp.rules  # noqa: F401  fills the tables
from nisp.table import BRANCHES, COMPARISONS, COMPOSED, CONSTANTS, REFUSED, RULES

MET = {
    F: """
        adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d affine_grid avg_pool1d avg_pool2d avg_pool3d
        batch_norm binary_cross_entropy_with_logits conv1d conv2d conv3d conv_transpose2d cross_entropy dropout
        dropout2d fold gelu grid_sample group_norm hardsigmoid hardswish hardtanh instance_norm interpolate l1_loss
        layer_norm leaky_relu linear max_pool2d max_pool3d multi_head_attention_forward normalize pad pixel_shuffle
        prelu relu relu6 rms_norm scaled_dot_product_attention sigmoid silu smooth_l1_loss softmax softplus unfold
    """,
    Tensor: """
        __bool__ __eq__ __getitem__ __int__ __len__ __pow__ __rsub__ __setitem__ abs abs_ add add_ all amax amin any
        argmax bfloat16 bool byte ceil chunk clamp clamp_ clip clone contiguous copy_ cos cpu cuda cumsum detach
        detach_ dim div div_ double erf exp expand expand_as fill_ flatten flip float floor gather ge gt half
        index_add_ index_select int is_contiguous is_floating_point isfinite item log log2 long lt masked_fill
        masked_fill_ matmul max mean median min mul mul_ ne neg nelement new_empty new_full new_ones new_zeros norm
        numel numpy permute pow prod relu remainder repeat repeat_interleave requires_grad_ reshape reshape_as round
        rsqrt scatter select sigmoid sigmoid_ sin size softmax sort split sqrt sqrt_ square squeeze stride sub sum t
        tanh tanh_ tile to tolist topk trace transpose triu_ type type_as unbind unfold unsqueeze var view zero_
    """,
    torch: """
        abs add addcmul any argsort atan atan2 bmm bucketize cat ceil chunk clamp cos diff div divide einsum empty_like
        exp fft.fft flatten floor full_like gather isfinite linalg.inv linalg.pinv log log2 logical_and logical_not
        lstm matmul max maximum mean meshgrid min mul permute pow prod repeat_interleave roll round rsqrt sigmoid sign
        sin softmax split sqrt square squeeze stack sum swapaxes tanh tensor_split transpose unbind unique unsqueeze
        var var_mean where zeros_like ones_like
    """,
}


def functions():
    for place, names in MET.items():
        for name in names.split():
            found = place
            for part in name.split("."):
                found = getattr(found, part)
            yield pytest.param(found, id=f"{place.__name__}.{name}")


@pytest.mark.parametrize("function", functions())
def test_a_function_that_networks_use_stands_in_exactly_one_table(function):
    tables = (RULES, COMPOSED, CONSTANTS, COMPARISONS, BRANCHES, REFUSED)
    assert sum(function in table for table in tables) == 1


def test_no_function_stands_in_two_tables():
    tables = [set(table) for table in (RULES, COMPOSED, CONSTANTS, COMPARISONS, BRANCHES, REFUSED)]
    assert sum(map(len, tables)) == len(set.union(*tables))


def test_every_refusal_has_a_reason():
    assert all(reason and reason == reason.strip(" .:") for reason in REFUSED.values())
