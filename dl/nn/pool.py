"""Pooling and resizing as modules."""

from dl import functional as F
from dl.nn.module import Module
from dl.tensor import Tensor


class MaxPool1d(Module):
    """F.max_pool1d with these windows."""

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1):
        self.window = (kernel_size, stride, padding, dilation)

    def forward(self, x):
        return F.max_pool1d(x, *self.window)


class MaxPool2d(Module):
    """F.max_pool2d with these windows."""

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1):
        self.window = (kernel_size, stride, padding, dilation)

    def forward(self, x):
        return F.max_pool2d(x, *self.window)


class AvgPool1d(Module):
    """F.avg_pool1d with these windows."""

    def __init__(self, kernel_size, stride=None, padding=0, count_include_pad: bool = True):
        self.window, self.count_include_pad = (kernel_size, stride, padding), count_include_pad

    def forward(self, x) -> Tensor:
        return F.avg_pool1d(x, *self.window, count_include_pad=self.count_include_pad)


class AvgPool2d(Module):
    """F.avg_pool2d with these windows."""

    def __init__(self, kernel_size, stride=None, padding=0, count_include_pad: bool = True):
        self.window, self.count_include_pad = (kernel_size, stride, padding), count_include_pad

    def forward(self, x) -> Tensor:
        return F.avg_pool2d(x, *self.window, count_include_pad=self.count_include_pad)


class AdaptiveAvgPool1d(Module):
    """F.adaptive_avg_pool1d to this size."""

    def __init__(self, output_size):
        self.output_size = output_size

    def forward(self, x) -> Tensor:
        return F.adaptive_avg_pool1d(x, self.output_size)


class AdaptiveAvgPool2d(Module):
    """F.adaptive_avg_pool2d to this size."""

    def __init__(self, output_size):
        self.output_size = output_size

    def forward(self, x) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)


class Upsample(Module):
    """F.interpolate to a size or by a factor."""

    def __init__(self, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool = False):
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x) -> Tensor:
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)
