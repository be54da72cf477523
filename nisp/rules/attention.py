"""Attention, composed of products and a softmax.

Scores reach the values through the measured attention weights P. Queries and keys get scores through the change of P,
by the bounds of softmax and of products, measured on the example: |d(P V)| <= P |dV| + |dP| |V|.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.errors import UserError
from nisp.table import composed


@composed(F.scaled_dot_product_attention)
def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if enable_gqa:
        key, value = (x.repeat_interleave(query.size(-3) // x.size(-3), -3) for x in (key, value))
    return _weights(query, key, attn_mask, is_causal, scale) @ value


def _weights(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """Softmax(Q K^T / sqrt(d) + mask); a Boolean mask is True for positions that take part."""
    logits = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.size(-1)) if scale is None else scale)
    if is_causal:
        mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        logits = logits.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else logits + mask
    return torch.softmax(logits, -1)


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
) -> tuple[Tensor, Tensor | None]:
    """`torch.nn.MultiheadAttention` on tensors of shape (length, n, features), or (length, features)."""
    if static_k is not None or static_v is not None:
        raise UserError("NISP has no rule for multi-head attention with static keys or values")
    single = query.dim() == 2
    if single:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        key_padding_mask = key_padding_mask if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    weights: Any = separate if in_proj_weight is None else in_proj_weight.chunk(3)
    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
    parts = [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]
    mask = _additive(attn_mask, key_padding_mask, num_heads, query)
    if bias_k is not None and bias_v is not None:
        extra = [bias.expand(1, query.shape[1], -1) for bias in (bias_k, bias_v)]
        parts = [parts[0], *(torch.cat([part, more]) for part, more in zip(parts[1:], extra, strict=True))]
        mask = mask if mask is None else F.pad(mask, (0, 1))
    if add_zero_attn:
        parts = [parts[0], *(F.pad(part, (0, 0, 0, 0, 0, 1)) for part in parts[1:])]
        mask = mask if mask is None else F.pad(mask, (0, 1))
    queries, keys, values = (part.unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3) for part in parts)
    shares = _weights(queries, keys, mask)
    output = F.linear((shares @ values).permute(2, 0, 1, 3).flatten(2), out_proj_weight, out_proj_bias)
    shares = shares.mean(1) if average_attn_weights else shares
    if single:
        output, shares = output.squeeze(1), shares.squeeze(0)
    return output, shares if need_weights else None


def _additive(mask: Tensor | None, padding: Tensor | None, heads: int, like: Tensor) -> Tensor | None:
    """Both masks in one, of shape (n or 1, heads or 1, queries or 1, keys): minus infinity where nothing is read.

    In this function's arguments, a Boolean mask is True for positions that do not take part.
    """
    if mask is not None:
        mask = mask.unflatten(0, (-1, heads)) if mask.dim() == 3 else mask[None, None]
    if padding is not None:
        padding = padding[:, None, None]
    found = None
    for part in (mask, padding):
        if part is not None:
            if part.dtype == torch.bool:
                part = torch.zeros(part.shape, dtype=like.dtype, device=like.device).masked_fill(part, -math.inf)
            found = part if found is None else found + part
    return found
