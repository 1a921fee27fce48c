"""The convolution buffer: image rows in line memories, one k×k window after another out of them."""

from ohmweave.rtl.conv_buffer.buffer import ConvBuffer
from ohmweave.rtl.conv_buffer.geometry import ConvConfig, Convolution, conv_config, in_place

__all__ = ["ConvBuffer", "ConvConfig", "Convolution", "conv_config", "in_place"]
