"""A 2-D convolution that may reach over time as well."""

from __future__ import annotations

from torch import nn


class TimeConv3d(nn.Conv3d):
    """A convolution of clips with the square kernel, stride and padding of a 2-D one.

    Over time the kernel is odd and padded with zeros, so that stride 1 keeps the number of frames.

    Args:
        in_channels: Channels of the clips.
        out_channels: Channels of the result.
        kernel_size: Height and width of the kernel.
        stride: Over height and width.
        padding: Of height and width.
        dilation: Over height and width.
        groups: As in ``nn.Conv3d``.
        bias: As in ``nn.Conv3d``.
        time_kernel: Frames that the kernel covers.
        time_stride: Over frames.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        time_kernel: int = 1,
        time_stride: int = 1,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            (time_kernel, kernel_size, kernel_size),
            (time_stride, stride, stride),
            (time_kernel // 2, padding, padding),
            (1, dilation, dilation),
            groups,
            bias,
        )

    def over_time(self, kernel: int, stride: int = 1) -> TimeConv3d:
        """A new convolution like this one, but of ``kernel`` frames and a stride over them."""
        return TimeConv3d(
            self.in_channels,
            self.out_channels,
            self.kernel_size[1],
            self.stride[1],
            int(self.padding[1]),
            self.dilation[1],
            self.groups,
            self.bias is not None,
            kernel,
            stride,
        )
