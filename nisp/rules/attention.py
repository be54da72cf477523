"""Attention, as the products and the softmax it is made of.

Scores reach the values by the measured attention weights. Queries and keys get what the weights can change, by the
bounds of softmax and of products at the example: |d(P V)| <= P |dV| + |dP| |V|.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import UserError
from nisp.absolute import composed


@composed(F.scaled_dot_product_attention)
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Softmax(Q K^T / sqrt(d) + mask) V; a Boolean mask says which positions take part."""
    if enable_gqa:
        key, value = (
            x.repeat_interleave(query.size(-3) // x.size(-3), -3) if x.size(-3) != query.size(-3) else x
            for x in (key, value)
        )
    logits = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.size(-1)) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None:
        logits = logits.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else logits + attn_mask
    return torch.softmax(logits, -1) @ value


@composed(F.multi_head_attention_forward)
def _multi_head(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, None]:
    """`torch.nn.MultiheadAttention` on tensors of shape (length, n, features); no attention weights are returned."""
    if bias_k is not None or bias_v is not None or add_zero_attn or key_padding_mask is not None or query.dim() != 3:
        raise UserError("NISP has no rule for multi-head attention with extra keys or padding masks")
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        weights = in_proj_weight.chunk(3)  # type: ignore[union-attr]
    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
    heads = [
        F.linear(x, w, b).unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3)
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    ]
    if attn_mask is not None and attn_mask.dim() == 3:
        attn_mask = attn_mask.unflatten(0, (-1, num_heads))
    mixed = attend(*heads, attn_mask, is_causal=is_causal and attn_mask is None)
    return F.linear(mixed.permute(2, 0, 1, 3).flatten(2), out_proj_weight, out_proj_bias), None
