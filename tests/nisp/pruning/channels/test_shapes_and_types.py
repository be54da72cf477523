"""Every operation gives ids of the shape and type that it gives numbers, whether it has a rule or not."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from nisp.pruning.channels.ids import Ids, claimed, fixed_ids, following, wrapped
from nisp.pruning.channels.passes import ChannelPass
from nisp.pruning.surgery import anatomy

X = torch.rand(2, 4, 6, 5)
UNARY = (
    "abs absolute acos acosh angle asin asinh atan atanh bool byte ceil clone contiguous cos cosh cpu deg2rad "
    "detach digamma double erf erfc erfinv exp exp2 expm1 fix flatten float floor frac half int isfinite isinf "
    "isnan isneginf isposinf lgamma log log10 log1p log2 logical_not logit long neg negative positive rad2deg "
    "ravel reciprocal relu round rsqrt short sigmoid sign signbit sin sinc sinh sqrt square squeeze tan tanh "
    "trunc numel dim size argmax argmin amax amin any all mean median sum prod std var norm min max nanmean "
    "nansum nanmedian count_nonzero bfloat16 is_floating_point nonzero unique logsumexp aminmax nan_to_num cumsum "
    "cumprod softmax log_softmax argsort sort mode unbind cummax tril triu diff diagonal fliplr flipud "
    "logcumsumexp isreal element_size bernoulli"
)
ARGUMENTS = {
    "logsumexp": (2,), "cumsum": (2,), "cumprod": (2,), "softmax": (2,), "log_softmax": (2,), "argsort": (2,),
    "sort": (2,), "cummax": (2,), "logcumsumexp": (2,), "mode": (2,), "nonzero": (), "std": ((2, 3),),
}  # fmt: skip
FUNCTIONAL = (
    "relu relu6 elu selu celu gelu silu mish hardswish hardsigmoid hardtanh leaky_relu logsigmoid softplus "
    "softsign tanhshrink hardshrink softshrink rrelu normalize"
)
CALLS = {
    "comparison": lambda x: x > 0.5,
    "comparison of two": lambda x: (x <= x.flip(2)) | (x == 1),
    "cast by argument": lambda x: x.to(torch.float64),
    "cast by name": lambda x: x.to(dtype=torch.int32),
    "cast like": lambda x: x.int().type_as(x),
    "cast to another's type": lambda x: x.to(x.double()),
    "to a device": lambda x: x.half().to("cpu"),
    "type by name": lambda x: x.type(torch.int16),
    "a mask times": lambda x: (x > 0) * x,
    "two masks": lambda x: (x > 0) & (x < 1),
    "counted mask": lambda x: (x > 0).sum(2),
    "mean of a mask": lambda x: (x > 0).float().mean((2, 3)),
    "integers divided": lambda x: x.long() / 2,
    "integers divided whole": lambda x: x.long() // 2,
    "integers times a fraction": lambda x: x.long() * 0.5,
    "masked": lambda x: x.masked_fill(x > 0, float("-inf")),
    "chosen": lambda x: torch.where(x > 0, x, 1.0),
    "selected": lambda x: x[x > -1],
    "positions by index": lambda x: x[:, :, x[0, 0, :, 0].argsort()],
    "rows of a table": lambda x: torch.rand(9, 3)[(x * 3).long()],
    "embedded": lambda x: F.embedding((x * 3).long(), torch.rand(9, 3)),
    "one hot": lambda x: F.one_hot(x.long(), 3),
    "top three": lambda x: x.topk(3, 2),
    "third": lambda x: x.kthvalue(3, 2, True),
    "gathered": lambda x: x.gather(2, x.argsort(2)),
    "quantile": lambda x: x.quantile(0.3, 2),
    "scattered": lambda x: torch.zeros_like(x).scatter(2, x.argsort(2), x),
    "variance and mean": lambda x: torch.var_mean(x, (2, 3), keepdim=True),
    "complex": lambda x: torch.view_as_real(torch.fft.rfft2(x)),
    "spectrum and back": lambda x: torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[-2:]),
    "sum of products": lambda x: torch.einsum("nchw,ncvw->nhv", x, x),
    "sum of products, dots": lambda x: torch.einsum("...hw,...vw->...hv", x, x),
    "matrix product": lambda x: x @ x.transpose(2, 3),
    "batched product": lambda x: torch.bmm(x[0], x[0].mT),
    "distances": lambda x: torch.cdist(x, x),
    "similarity": lambda x: F.cosine_similarity(x, x.flip(2), dim=1),
    "grid": lambda x: F.grid_sample(x, torch.rand(2, 3, 3, 2), align_corners=False),
    "affine grid": lambda x: F.grid_sample(x, F.affine_grid(x[:, 0, :2, :3], [2, 4, 7, 7], False), align_corners=False),
    "windows": lambda x: F.unfold(x, (3, 2), stride=2),
    "windows and back": lambda x: F.fold(F.unfold(x, 2), (6, 5), 2),
    "interpolated": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "interpolated to a size": lambda x: F.interpolate(x, size=(3, 4)),
    "pooled with indices": lambda x: F.max_pool2d(x, 2, return_indices=True),
    "unpooled": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(6, 5)),
    "padded around": lambda x: F.pad(x, (1, 1, 2, 0), mode="circular"),
    "padded at the edge": lambda x: F.pad(x, (1, 1, 2, 0), mode="replicate"),
    "shuffled": lambda x: F.channel_shuffle(x, 2),
    "pixels": lambda x: F.pixel_shuffle(x, 2),
    "gated": lambda x: F.glu(x, 1),
    "stacked": lambda x: torch.stack([x, x], -1),
    "joined with integers": lambda x: torch.cat([x, x.long()], 2),
    "split": lambda x: x.split([1, 3], 1),
    "new": lambda x: x.new_zeros(3, x.shape[1]),
    "like": lambda x: torch.ones_like(x > 0),
    "filled": lambda x: torch.full_like(x, 2.0).long(),
    "linear interpolation": lambda x: torch.lerp(x, x.flip(2), 0.5),
    "products added": lambda x: torch.addcmul(x, x, x) + torch.addcdiv(x, x, x),
    "remainders": lambda x: torch.remainder(x, 2) + torch.fmod(x, 2) + x % 2,
    "powers": lambda x: x**2 + 2**x + torch.float_power(x, 2),
    "angles": lambda x: torch.atan2(x, x) + torch.hypot(x, x),
    "vector norm": lambda x: torch.linalg.vector_norm(x, dim=(1, 2)),
    "norm by name": lambda x: torch.norm(x, p=2, dim=1, keepdim=True),
    "matrix norm": lambda x: torch.linalg.norm(x, dim=(2, 3)),
    "instance norm": lambda x: F.instance_norm(x),
    "group norm": lambda x: F.group_norm(x, 2),
    "layer norm": lambda x: F.layer_norm(x, (5,)),
    "root mean square norm": lambda x: F.rms_norm(x, (5,)),
    "neighbours": lambda x: F.local_response_norm(x, 3),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "logical": lambda x: torch.logical_xor(x > 0, x < 1),
    "close": lambda x: torch.isclose(x, x),
    "rolled": lambda x: torch.roll(x, (1, 2), (1, 2)),
    "rotated": lambda x: torch.rot90(x, 1, (2, 3)),
    "meshed": lambda x: torch.meshgrid(x[0, 0, 0], x[0, 0, 1], indexing="ij"),
    "repeated by tensor": lambda x: x.repeat_interleave(2, dim=2),
    "bins": lambda x: torch.bucketize(x, torch.linspace(0, 1, 5)),
    "searched": lambda x: torch.searchsorted(torch.linspace(0, 1, 5), x),
    "clamped": lambda x: x.clamp(min=x.flip(2)).clamp(max=1),
    "unfolded": lambda x: x.unfold(2, 2, 2),
    "complex magnitude": lambda x: torch.complex(x, x).abs(),
    "broadcast": lambda x: torch.broadcast_tensors(x, x[:1]),
    "at least": lambda x: torch.atleast_3d(x[0, 0]),
    "masked softmax": lambda x: (x + torch.zeros(6, 5).masked_fill(torch.ones(6, 5) > 0, -1)).softmax(-1),
    "type promotion": lambda x: x + torch.ones(5, dtype=torch.float64),
    **{name: (lambda x, name=name: getattr(x, name)(*ARGUMENTS.get(name, ()))) for name in UNARY.split()},
    **{f"functional {name}": (lambda x, name=name: getattr(F, name)(x)) for name in FUNCTIONAL.split()},
}  # fmt: skip

VALUES_DECIDE = {"nonzero", "unique", "selected"}
"""How many values come out depends on the values, so only the type and the number of dimensions are compared."""


def _seen(value):
    dtype = claimed(value) if isinstance(value, Ids) else value.dtype
    return dtype, tuple(torch.Tensor.size(value.as_subclass(Tensor)))


@pytest.mark.parametrize("fixed", [True, False], ids=["no channels", "channels"])
@pytest.mark.parametrize("name", CALLS)
def test_shape_and_type(name, fixed):
    running = ChannelPass(nn.Linear(2, 2))
    running.count = 4
    ids = fixed_ids(X.shape, X.device) if fixed else wrapped(torch.arange(1, 5)[:, None, None].expand(X.shape))
    with torch.no_grad():
        expected = tree_leaves(CALLS[name](X.clone()))
        with following(running):
            found = tree_leaves(CALLS[name](ids))
        with following(running), torch._C.DisableTorchFunctionSubclass():
            seen = [_seen(value) if isinstance(value, Tensor) else value for value in found]
    wanted = [_seen(value) if isinstance(value, Tensor) else value for value in expected]
    if name in VALUES_DECIDE:
        wanted, seen = ([(dtype, len(shape)) for dtype, shape in each] for each in (wanted, seen))
    assert seen == wanted


@pytest.mark.parametrize(("named", "channels"), [({"indices": (1, 3)}, 4), ({"sections": 2}, 2)])
def test_parts_may_be_given_by_name(named, channels):
    class Split(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.head(torch.cat(torch.tensor_split(self.stem(x), dim=1, **named), 1))

    assert anatomy(Split(), torch.zeros(1, 2, 3, 3)).sizes == {"stem": channels}
