"""Norm, gate and ReLU in one step; with GroupNorm, the backward pass is written out for a CPU."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class _NormRelu(torch.autograd.Function):
    """Keeps the input, the output (which the next layer keeps too) and the groups' statistics."""

    @staticmethod
    def forward(ctx, x, gain, offset, groups, eps):
        batch, channels, height, width = x.shape
        y, mean, rstd = torch.native_group_norm(x, None, None, batch, channels, height * width, groups, eps)
        torch.addcmul(
            _everywhere(offset, y), y, _everywhere(gain, y), out=y
        ).relu_()  # no new memory: it is slow to get
        ctx.save_for_backward(x, y, gain, mean, rstd)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, y, gain, mean, rstd = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        return *_norm_backward(gradient, x, gain, mean, rstd), None, None


def _everywhere(of_channel: Float[Tensor, "B C"], x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C 1 1"]:
    return of_channel[:, :, None, None].to(x.dtype)


def _sum(x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C"]:
    """Sums over pixels, by rows, then in float32 at least: a cast of all pixels would take eight times as long."""
    return x.permute(0, 2, 3, 1).sum(2).to(torch.promote_types(x.dtype, torch.float32)).sum(1)


def _norm_backward(
    gradient: Float[Tensor, "B C h w"],
    x: Float[Tensor, "B C h w"],
    gain: Float[Tensor, "B C"],
    mean: Float[Tensor, "B G"],
    rstd: Float[Tensor, "B G"],
) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B C"], Float[Tensor, "B C"]]:
    """Gradients of GroupNorm (Wu and He 2018, arXiv:1803.08494) by its input, gain w and offset.

    With the sums over pixels b = sum g, s = sum g x of a channel, and B = sum w b, S = sum w s over the n values of a
    group: dx = g w r + x p - (p m + B r / n) with p = (B m - S) r^3 / n, dw = (s - b m) r, and b by the offset.
    """
    batch, groups = mean.shape
    each = x.shape[1] // groups
    count = each * x.shape[2] * x.shape[3]
    product = gradient * x
    plain, times_x = _sum(gradient), _sum(product)
    mean, rstd = mean.to(plain.dtype), rstd.to(plain.dtype)
    weighted = [(part * gain).view(batch, groups, each).sum(2) for part in (plain, times_x)]
    slope = (weighted[0] * mean - weighted[1]) * rstd**3 / count
    shift = -slope * mean - weighted[0] * rstd / count
    mean, rstd, slope, shift = (part.repeat_interleave(each, 1) for part in (mean, rstd, slope, shift))
    of_x = torch.addcmul(_everywhere(shift, x), x, _everywhere(slope, x)).addcmul_(
        gradient, _everywhere(rstd * gain, x)
    )
    return of_x, (times_x - plain * mean) * rstd, plain


def norm_relu(
    norm: nn.GroupNorm | nn.BatchNorm2d,
    x: Float[Tensor, "B C h w"],
    scale: Float[Tensor, "B C"] | None = None,
    shift: Float[Tensor, "B C"] | None = None,
) -> Float[Tensor, "B C h w"]:
    """ReLU(norm(x) * scale + shift).

    With GroupNorm on a CPU that trains, with channels innermost in memory, the backward pass is several times quicker
    than PyTorch's.

    Args:
        norm: the layer.
        x: what a convolution gives.
        scale: factor of every channel, given together with `shift`.
        shift: added to every channel.
    """
    if isinstance(norm, nn.BatchNorm2d):
        y = norm(x)
        if scale is not None and shift is not None:
            y = torch.addcmul(_everywhere(shift, y), y, _everywhere(scale, y))
        return functional.relu(y)
    gain, offset = (part.expand(x.shape[0], -1) for part in (norm.weight, norm.bias))
    if scale is not None and shift is not None:
        gain, offset = gain * scale, offset * scale + shift
    if x.device.type == "cpu" and torch.is_grad_enabled():
        return _NormRelu.apply(x, gain.float(), offset.float(), norm.num_groups, norm.eps)  # type: ignore[return-value]
    y = torch.group_norm(x, norm.num_groups, eps=norm.eps)  # functional's refuses one pixel, whose norm is 0
    return torch.addcmul(_everywhere(offset, y), y, _everywhere(gain, y)).relu_()
