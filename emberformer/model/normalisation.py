"""GroupNorm, GELU and gate in one step, whose backward pass is written out for a CPU."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class _NormGeluGate(torch.autograd.Function):
    """Keeps the input and the groups' statistics; the norm's output is computed again in the backward pass."""

    @staticmethod
    def forward(ctx, x, weight, bias, scale, shift, groups, eps):
        ctx.groups, ctx.eps = groups, eps
        y, mean, rstd = _norm(x, weight, bias, groups, eps)
        ctx.save_for_backward(x, weight, bias, scale, mean, rstd)
        y = functional.gelu(y)
        return y if scale is None else torch.addcmul(shift, y, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight, bias, scale, mean, rstd = ctx.saved_tensors
        y = _norm(x, weight, bias, ctx.groups, ctx.eps)[0]
        of_scale = of_shift = None
        if scale is not None:
            of_scale = _sum(gradient * functional.gelu(y))[:, :, None, None].to(scale.dtype)
            of_shift = _sum(gradient)[:, :, None, None].to(scale.dtype)
            gradient = gradient * scale
        of_y = torch.ops.aten.gelu_backward(gradient, y)
        of_x, of_weight, of_bias = _norm_backward(of_y, x, weight, mean, rstd)
        return of_x, of_weight, of_bias, of_scale, of_shift, None, None


def _norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    batch, channels, height, width = x.shape
    return torch.native_group_norm(x, weight, bias, batch, channels, height * width, groups, eps)


def _sum(x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C"]:
    """Sums over pixels, by rows, then in float32 at least: a cast of all pixels would take eight times as long."""
    return x.permute(0, 2, 3, 1).sum(2).to(torch.promote_types(x.dtype, torch.float32)).sum(1)


def _norm_backward(
    gradient: Float[Tensor, "B C h w"],
    x: Float[Tensor, "B C h w"],
    weight: Float[Tensor, " C"],
    mean: Float[Tensor, "B G"],
    rstd: Float[Tensor, "B G"],
) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, " C"], Float[Tensor, " C"]]:
    """Gradients of GroupNorm (Wu and He 2018, arXiv:1803.08494) by its input, weight and bias.

    With the sums over pixels b = sum g, s = sum g x of a channel, and B = sum w b, S = sum w s over the n values of a
    group: dx = g w r + x p - (p m + B r / n) with p = (B m - S) r^3 / n, dw = (s - b m) r and db = b.
    """
    batch, groups = mean.shape
    each = x.shape[1] // groups
    count = each * x.shape[2] * x.shape[3]
    plain, times_x = _sum(gradient), _sum(gradient * x)
    mean, rstd = mean.to(plain.dtype), rstd.to(plain.dtype)
    weighted = [(part * weight).view(batch, groups, each).sum(2) for part in (plain, times_x)]
    slope = (weighted[0] * mean - weighted[1]) * rstd**3 / count
    offset = -slope * mean - weighted[0] * rstd / count
    mean, rstd, slope, offset = (part.repeat_interleave(each, 1) for part in (mean, rstd, slope, offset))
    gain, slope, offset = (part[:, :, None, None].to(x.dtype) for part in (rstd * weight, slope, offset))
    of_x = torch.addcmul(offset, x, slope).addcmul_(gradient, gain)
    return of_x, ((times_x - plain * mean) * rstd).sum(0), plain.sum(0)


def norm_gelu_gate(
    norm: nn.GroupNorm,
    x: Float[Tensor, "B C h w"],
    scale: Float[Tensor, "B C 1 1"] | None = None,
    shift: Float[Tensor, "B C 1 1"] | None = None,
) -> Float[Tensor, "B C h w"]:
    """GELU(GroupNorm(x)) * scale + shift.

    On a CPU only `x` is kept for the backward pass, and with channels innermost in memory that pass is several times
    quicker than PyTorch's own.

    Args:
        norm: the layer.
        x: what a convolution gives.
        scale: factor of every channel, given together with `shift`.
        shift: added to every channel.
    """
    if x.device.type == "cpu" and torch.is_grad_enabled():
        gate = (None, None) if scale is None or shift is None else (scale.to(x.dtype), shift.to(x.dtype))
        return _NormGeluGate.apply(x, norm.weight, norm.bias, *gate, norm.num_groups, norm.eps)  # type: ignore[return-value]
    y = functional.gelu(norm(x))
    return y if scale is None or shift is None else torch.addcmul(shift, y, scale)
