"""Calls of functions that are carried out by others, with the bound of the whole, from changes to what they yield."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nisp.rules.names import spelled
from tests.nisp.absolute_jacobian import slopes
from tests.nisp.cases_measured import Case, numbers


def case(function, call, bound, *inputs):
    """``bound`` takes the inputs, then a change to each, and gives the greatest change of the output."""
    return Case(function, call, inputs, lambda *x: slopes(lambda *dx: bound(*x, *dx), *x))


def share_changes(shares, dlogits):
    """|J| of softmax over the last dimension, times a change of what it reads."""
    jacobian = torch.diag_embed(shares) - shares[..., :, None] * shares[..., None, :]
    return (jacobian.abs() @ dlogits[..., None])[..., 0]


def attended(q, k, v, dq, dk, dv, scale, allowed=None, bias=0.0):
    """The change of attention's output and of its weights; queries, keys and values of shape (..., length, d)."""
    weights = (q @ k.mT * scale + bias).exp() * (1 if allowed is None else allowed)
    shares = weights / weights.sum(-1, keepdim=True)
    dshares = share_changes(shares, abs(scale) * (dq @ k.mT.abs() + q.abs() @ dk.mT))
    return shares @ dv + dshares @ v.abs(), dshares


def attention(scale, allowed=None, bias=0.0, repeat=1):
    def bound(q, k, v, dq, dk, dv):
        others = (x.repeat_interleave(repeat, 1) for x in (k, v))
        dothers = (x.repeat_interleave(repeat, 1) for x in (dk, dv))
        return attended(q, *others, dq, *dothers, scale, allowed, bias)[0]

    return bound


def triple(n=1, heads=2, groups=2):
    return numbers(n, heads, 3, 2), numbers(n, groups, 4, 2, seed=1), numbers(n, groups, 4, 3, seed=2)


SEEN = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 0]]).bool()
ORDER = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]).bool()
LIFT = numbers(3, 4, seed=5)
SDPA = F.scaled_dot_product_attention
ATTENTION = [
    case(SDPA, lambda f, q, k, v: f(q, k, v), attention(2**-0.5), *triple()),
    case(SDPA, lambda f, q, k, v: f(q, k, v, scale=-0.7), attention(-0.7), *triple()),
    case(SDPA, lambda f, q, k, v: f(q, k, v, SEEN), attention(2**-0.5, SEEN), *triple()),
    case(SDPA, lambda f, q, k, v: f(q, k, v, attn_mask=LIFT), attention(2**-0.5, None, LIFT), *triple()),
    case(SDPA, lambda f, q, k, v: f(q, k, v, is_causal=True), attention(2**-0.5, ORDER), *triple()),
    case(SDPA, lambda f, q, k, v: f(q, k, v, enable_gqa=True), attention(2**-0.5, repeat=2), *triple(3, 4, 2)),
]


def in_heads(x, count):
    """(length, n, features) -> (n, heads, length, features of a head)."""
    return x.reshape(*x.shape[:2], count, -1).permute(1, 2, 0, 3)


def layer(**sizes):
    torch.manual_seed(4)
    made = nn.MultiheadAttention(4, 2, **sizes).double().eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def projections(layer):
    separate = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
    weights = separate if layer.in_proj_weight is None else layer.in_proj_weight.chunk(3)
    return [w.detach() for w in weights]


def many_heads(layer, allowed=None, bias=0.0, weights=None):
    """The bound of a multi-head attention; ``weights`` says whether its weights come too: "mean" or "all"."""

    def bound(*x):
        x, dx = ([t.transpose(0, 1) if layer.batch_first else t for t in part] for part in (x[:3], x[3:]))
        shifts = [0.0] * 3 if layer.in_proj_bias is None else layer.in_proj_bias.detach().chunk(3)
        parts = zip(x, projections(layer), shifts, strict=True)
        read = [in_heads(t @ w.T + b, 2) for t, w, b in parts]
        dread = [in_heads(t @ w.abs().T, 2) for t, w in zip(dx, projections(layer), strict=True)]
        output, shares = attended(*read, *dread, 2**-0.5, allowed, bias)
        output = output.permute(2, 0, 1, 3).flatten(2) @ layer.out_proj.weight.detach().abs().T
        output = output.transpose(0, 1) if layer.batch_first else output
        if weights is None:
            return output
        return joined(output, shares.sum(1) / 2 if weights == "mean" else shares)

    return bound


def joined(output, weights):
    return torch.cat([output.flatten(), weights.flatten()])


def sequences(features=(4, 4, 4)):
    q, k, v = features
    return numbers(3, 2, q), numbers(4, 2, k, seed=1), numbers(4, 2, v, seed=2)


PLAIN, SEPARATE, FIRST, BARE = layer(), layer(kdim=3, vdim=2), layer(batch_first=True), layer(bias=False)
LIFTS = numbers(4, 3, 4, seed=6)  # n times heads
HIDDEN = torch.stack([~SEEN, ~ORDER, SEEN.roll(1, 0), ~SEEN.roll(2, 1)])
HIDE = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 1]]).bool()
MHA = F.multi_head_attention_forward


def called(layer, mask, **options):
    """The function itself, whose Boolean masks say what is left out."""
    return lambda f, q, k, v: joined(
        *f(q, k, v, 4, 2, layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0, layer.out_proj.weight,
           layer.out_proj.bias, training=False, attn_mask=mask, **options)
    )  # fmt: skip


def by_head(mask):
    return mask.reshape(2, 2, 3, 4)


MULTI_HEAD = [
    case(MHA, lambda f, *x: PLAIN(*x, need_weights=False)[0], many_heads(PLAIN), *sequences()),
    case(MHA, lambda f, *x: joined(*PLAIN(*x)), many_heads(PLAIN, weights="mean"), *sequences()),
    case(MHA, lambda f, *x: joined(*PLAIN(*x, average_attn_weights=False)), many_heads(PLAIN, weights="all"),
         *sequences()),
    case(MHA, lambda f, *x: FIRST(*x, need_weights=False)[0], many_heads(FIRST), numbers(2, 3, 4),
         numbers(2, 4, 4, seed=1), numbers(2, 4, 4, seed=2)),
    case(MHA, lambda f, *x: SEPARATE(*x, attn_mask=LIFT, need_weights=False)[0], many_heads(SEPARATE, bias=LIFT),
         *sequences((4, 3, 2))),
    case(MHA, lambda f, *x: BARE(*x, attn_mask=LIFTS, need_weights=False)[0], many_heads(BARE, bias=by_head(LIFTS)),
         *sequences()),
    case(MHA, called(PLAIN, ~SEEN), many_heads(PLAIN, SEEN, weights="mean"), *sequences()),
    case(MHA, lambda f, *x: PLAIN(*x, key_padding_mask=HIDE, attn_mask=LIFT, need_weights=False)[0],
         many_heads(PLAIN, ~HIDE[:, None, None], LIFT), *sequences()),
    case(MHA, lambda f, *x: joined(*PLAIN(*x, key_padding_mask=LIFT[:2])),
         many_heads(PLAIN, bias=LIFT[:2, None, None], weights="mean"), *sequences()),
    case(MHA, lambda f, *x: PLAIN(*(t[:, 0] for t in x), need_weights=False)[0],
         lambda *x: many_heads(PLAIN)(*(t[:, :1] for t in x))[:, 0], *sequences()),
    case(MHA, called(PLAIN, HIDDEN), many_heads(PLAIN, by_head(~HIDDEN), weights="mean"), *sequences()),
]  # fmt: skip

X, Y, Z, W = (numbers(2, 3, seed=seed) for seed in range(4))
SQUARES = [numbers(2, 3, 3, seed=seed) for seed in range(3)]


def after_elements(x, a, b, dx, da, db):
    return dx + 2 * (b.abs() * da + a.abs() * db)


def after_product(x, a, b, dx, da, db):
    return 2 * dx + 3 * (da @ b.abs() + a.abs() @ db)


def interpolated(x, y, w, dx, dy, dw):
    return (1 - w).abs() * dx + w.abs() * dy + (x.abs() + y.abs()) * dw


def gated(x, dx):
    """The sigmoid's slope is at most 1/4."""
    return dx[:, :2] * x[:, 2:].sigmoid() + x[:, :2].abs() * dx[:, 2:] / 4


def spread_and_mean(x, dx):
    centre = x - x.sum(1, keepdim=True) / 3
    return torch.stack([(2 * centre.abs() / 3 * dx).sum(1), dx.sum(1) / 3])


def spread_and_deviation(x, dx):
    centre = x - x.sum(1, keepdim=True) / 3
    deviation = (centre**2).sum(1) ** 0.5
    return torch.stack([(centre.abs() / deviation[:, None] * dx).sum(1) / 3**0.5, dx.sum(1) / 3])


def distances(x, y, dx, dy):
    apart = x[:, None] - y[None]
    return (apart.abs() / apart.norm(dim=-1, keepdim=True) * (dx[:, None] + dy[None])).sum(-1)


def cosines(x, y, dx, dy):
    """Every element reaches one result, so its derivative is the bound."""
    lengths = x.norm(dim=1, keepdim=True), y.norm(dim=1, keepdim=True)
    units = x / lengths[0], y / lengths[1]
    cosine = (units[0] * units[1]).sum(1, keepdim=True)
    by_x = (units[1] - cosine * units[0]).abs() / lengths[0]
    by_y = (units[0] - cosine * units[1]).abs() / lengths[1]
    return (by_x * dx + by_y * dy).sum(1)


def negative_softmax(x, dx):
    shares = (-x).exp() / (-x).exp().sum(1, keepdim=True)
    return share_changes(shares, dx)


def turned(x, y, dx, dy):
    def product(x, y):
        return x.roll(-1, 1) * y.roll(-2, 1) + x.roll(-2, 1) * y.roll(-1, 1)

    return product(dx, y.abs()) + product(x.abs(), dy)


PATCHES = numbers(1, 2, 4, seed=7).abs()
LINE, ROW = numbers(3, seed=8), numbers(2, seed=9)


def rooted(x, dx):
    """Root of the sum of squares over windows of two."""
    sums = (x**2).unflatten(-1, (2, 2)).sum(-1)
    return (x.abs() * dx).unflatten(-1, (2, 2)).sum(-1) / sums.sqrt()


def pooled(f, x):
    dimensions = int(f.__name__[-2])
    kernel = [1] * (dimensions - 1) + [2]
    return f(x.reshape(1, 2, *[1] * (dimensions - 1), 4), 2, kernel if dimensions > 1 else 2).reshape(1, 2, 2)


COMPOSITIONS = [
    *(case(f, pooled, rooted, PATCHES) for f in (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)),
    case(F.softmin, lambda f, x: f(x, 1), negative_softmax, X),
    case(torch.std_mean, lambda f, x: torch.stack(f(x, 1, correction=0)), spread_and_deviation, X),
    *(case(f, lambda f, x, y: f(x, y), distances, X, W) for f in spelled("cdist")),
    case(F.pairwise_distance, lambda f, x, y: f(x, y, eps=0), lambda x, y, dx, dy: distances(x, y, dx, dy).diagonal(),
         X, W),
    case(F.cosine_similarity, lambda f, x, y: f(x, y), cosines, X, W),
    *(case(f, lambda f, x, y: f(x, y, dim=1), turned, X, W) for f in spelled("cross")),
    *(case(f, lambda f, x, a, b: f(x, a, b, value=-2), lambda x, a, b, dx, da, db:
           dx + 2 * (da / b.abs() + a.abs() / b**2 * db), X, Y, Z) for f in spelled("addcdiv")),
    *(case(f, lambda f, x, a, b: f(x, a, b, beta=-2, alpha=3), lambda x, a, b, dx, da, db:
           2 * dx + 3 * (da @ b.abs() + a.abs() @ db), ROW, X, LINE) for f in spelled("addmv")),
    *(case(f, lambda f, x, a, b: f(x, a, b, beta=-2, alpha=3), lambda x, a, b, dx, da, db:
           2 * dx + 3 * (torch.outer(da, b.abs()) + torch.outer(a.abs(), db)), X, ROW, LINE) for f in spelled("addr")),
    *(case(f, lambda f, x, a, b: f(x, a, b, beta=-2, alpha=3), lambda x, a, b, dx, da, db:
           2 * dx + 3 * (da @ b.abs() + a.abs() @ db).sum(0), SQUARES[0][0], *SQUARES[1:]) for f in spelled("addbmm")),
    *ATTENTION,
    *MULTI_HEAD,
    *(case(f, lambda f, x, a, b: f(x, a, b, value=-2), after_elements, X, Y, Z)
      for f in (torch.addcmul, Tensor.addcmul)),
    *(case(f, lambda f, x, a, b: f(x, a, b, beta=-2, alpha=3), after_product, *SQUARES)
      for f in (torch.baddbmm, Tensor.baddbmm)),
    *(case(f, lambda f, x, a, b: f(x, a, b, beta=-2, alpha=3), after_product, *(s[0] for s in SQUARES))
      for f in (torch.addmm, Tensor.addmm)),
    *(case(f, lambda f, x, a, b: f(x, a, b), lambda x, a, b, dx, da, db: dx + (da @ b.abs() + a.abs() @ db), *SQUARES)
      for f in (torch.baddbmm, Tensor.baddbmm)),
    *(case(f, lambda f, x, a, b: f(x, a, b), lambda x, a, b, dx, da, db: dx + (b.abs() * da + a.abs() * db), X, Y, Z)
      for f in (torch.addcmul, Tensor.addcmul)),
    *(case(f, lambda f, x, y, w: f(x, y, w), interpolated, X, Y, W) for f in (torch.lerp, Tensor.lerp)),
    case(torch.lerp, lambda f, x, y: f(x, y, 1.5), lambda x, y, dx, dy: 0.5 * dx + 1.5 * dy, X, Y),
    case(F.glu, lambda f, x: f(x, 1), gated, numbers(2, 4, 2)),
    case(F.glu, lambda f, x: f(x), gated, numbers(2, 4)),
    case(torch.var_mean, lambda f, x: torch.stack(f(x, 1, correction=0)), spread_and_mean, X),
    case(torch.var_mean, lambda f, x: torch.stack(f(x, 1, correction=0, keepdim=True)), spread_and_mean, X),
]  # fmt: skip
