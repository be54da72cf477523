"""More functions that NISP lets run as they are, under every name that torch has for them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.rules.names import spelled

PLACES = torch.tensor([2, 0, 3])
CORNERS = torch.eye(4).bool()
UP = torch.tensor([[[[0, 1], [2, 0], [3, 2], [1, 2]]]]).expand(1, 4, 4, 2)
BETWEEN = torch.linspace(-1.3, 1.1, 18).double().reshape(1, 3, 3, 2)
SOME = (PLACES, torch.tensor([0, 1, 1]))


def rows(f, x):
    return f([x[0, 0], x[0, 1] * 2])


def unpooled(f, x):
    """By the places of the maxima of another tensor."""
    dimensions = int(f.__name__[-2])
    maps = x[0] if dimensions == 1 else x if dimensions == 2 else x[None]
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[dimensions - 1]
    size = [2 * n for n in maps.shape[2:]]
    high = torch.sin(torch.arange(maps.numel() * 2**dimensions).double()).reshape(*maps.shape[:2], *size)
    return f(maps, pool(high, 2, return_indices=True)[1], 2)


BY_NAME = {
    ("hstack", "vstack", "dstack", "column_stack", "row_stack"): rows,
    ("block_diag", "atleast_1d"): lambda f, x: f(x[0, 0]) if f is torch.atleast_1d else f(x[0, 0], x[0, 1]),
    ("atleast_2d", "atleast_3d"): lambda f, x: f(x[0, 0, 0]),
    ("ravel", "adjoint", "fliplr", "flipud", "trace", "diag", "nansum"): lambda f, x: f(x[0, 0]),
    ("swapdims", "moveaxis"): lambda f, x: f(x, 1, 3),
    ("unsafe_chunk", "hsplit", "vsplit", "dsplit"): lambda f, x: f(x[0], 2)[1],
    ("unsafe_split",): lambda f, x: f(x, 3, 2)[0],
    ("broadcast_to",): lambda f, x: f(x[:, :1], (2, 3, 4, 4)),
    ("broadcast_tensors",): lambda f, x: torch.cat(f(x[:, :1], torch.ones(1, 3, 1, 1), x[:, 1:, :1])),
    ("meshgrid",): lambda f, x: torch.stack(f(x[0, 0, 0], x[0, 0, 1], indexing="xy")),
    ("take_along_dim",): lambda f, x: f(x, PLACES[None, None, :, None], 2),
    ("take",): lambda f, x: f(x, PLACES * 9),
    ("masked_select",): lambda f, x: f(x, CORNERS),
    ("native_channel_shuffle",): lambda f, x: f(x, 2),
    ("diag_embed",): lambda f, x: f(x, 1),
    ("cumsum",): lambda f, x: f(x, 2),
    ("max_unpool1d", "max_unpool2d", "max_unpool3d"): unpooled,
    ("masked_scatter",): lambda f, x: f(x[:, :2], CORNERS, x[:, 2:]),
    ("index_fill",): lambda f, x: f(x, 2, PLACES, 3.0),
    ("index_copy",): lambda f, x: f(x[0], 1, PLACES, x[0, :, :3]),
    ("index_add",): lambda f, x: f(x[0], 1, PLACES, x[0, :, :3], alpha=-2),
    ("index_put",): lambda f, x: f(x[0], SOME, x[0, :3, 0]),
    ("scatter", "scatter_add"): lambda f, x: f(x[:, :2], 3, UP[:, :2], x[:, 2:]),
    ("select_scatter",): lambda f, x: f(x[:, :2], x[:, 3], 1, 0),
    ("slice_scatter",): lambda f, x: f(x[:, :2], x[:, 3:], 1, 0, 1),
    ("diagonal_scatter",): lambda f, x: f(x[0, 0], x[0, 1, 0]),
    ("embedding",): lambda f, x: f(x[0, 0], PLACES) if f is torch.embedding else f(PLACES, x[0, 0]),
    ("detach", "resolve_conj", "resolve_neg"): lambda f, x: f(x),
    ("diff",): lambda f, x: f(x, 2, 1),
    ("rsub",): lambda f, x: f(x[:, :1], x[:, 1:], alpha=-3),
    ("subtract",): lambda f, x: f(x[:, :1], x[:, 1:], alpha=-3),
    ("prod", "cumprod"): lambda f, x: f(x[:, :1], 1),
    ("grid_sample",): lambda f, x: f(x, BETWEEN, "bilinear", "border"),
    ("affine_grid",): lambda f, x: f(x[0, :, :2, :3], (4, 1, 3, 2), align_corners=False),
}  # fmt: skip
"""Names -> a call, affine in x of shape (1, 4, 4, 4)."""

IN_PLACE = {
    ("masked_scatter_",): lambda f, x: f(x[:, :2] * 1, CORNERS, x[:, 2:]),
    ("masked_fill_",): lambda f, x: f(x * 1, CORNERS, 7.0),
    ("index_fill_",): lambda f, x: f(x * 1, 2, PLACES, 3.0),
    ("index_copy_",): lambda f, x: f(x[0] * 1, 1, PLACES, x[0, :, :3]),
    ("index_add_",): lambda f, x: f(x[0] * 1, 1, PLACES, x[0, :, :3], alpha=-2),
    ("index_put_",): lambda f, x: f(x[0] * 1, SOME, x[0, :3, 0]),
    ("scatter_", "scatter_add_"): lambda f, x: f(x[:, :2] * 1, 3, UP[:, :2], x[:, 2:]),
    ("squeeze_",): lambda f, x: f(x * 1, 0),
    ("unsqueeze_", "tril_", "triu_", "cumsum_"): lambda f, x: f(x * 1, 1),
    ("t_",): lambda f, x: f(x[0, 0] * 1),
    ("transpose_", "swapaxes_", "swapdims_"): lambda f, x: f(x * 1, 1, 2),
    ("copy_",): lambda f, x: f(x[:, :2] * 1, x[:, 2:3]),
    ("zero_", "detach_", "requires_grad_"): lambda f, x: x * 2 + (f(x * 1, False) if "req" in f.__name__ else f(x * 1)),
    ("fill_",): lambda f, x: f(x * 1, x[0, 0, 0, 0]),
    ("subtract_",): lambda f, x: f(x[:, 1:] * 2, x[:, :1], alpha=-3),
    ("multiply_",): lambda f, x: f(x * 1, -2.5),
    ("divide_", "true_divide_"): lambda f, x: f(x * 1, -4),
}  # fmt: skip
ACCESSES = {
    (Tensor.H.__get__,): lambda f, x: f(x[0, 0]),
    (Tensor.mH.__get__, Tensor.data.__get__, Tensor.real.__get__): lambda f, x: f(x),
    (Tensor.where,): lambda f, x: f(x, CORNERS, x[:, :1]),
    (torch.linalg.diagonal,): lambda f, x: f(x, offset=1),
    (torch.Tensor.tril, torch.Tensor.triu): lambda f, x: f(x, -1),
    (torch.swapdims,): lambda f, x: f(x, 1, 3),
    (torch.divide, Tensor.divide, torch.true_divide, Tensor.true_divide): lambda f, x: f(x, -4),
    (Tensor.multiply,): lambda f, x: f(x, -4),
}
SPELLED = {spelled(*names): call for names, call in (BY_NAME | IN_PLACE).items()} | ACCESSES
