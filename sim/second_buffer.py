"""What waits in a PE's second buffer: how many words the pixels of a side tensor take there."""

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.window_select import word_vectors
from ohmweave.sim.stages import Stage

__all__ = ["side_channels", "side_words", "word_channels"]


def word_channels(bits: int, pe: PEParams) -> int:
    """Numbers of so many bits that a word of the buffer holds."""
    return pe.buffer.lanes // _planes(bits, pe)


def side_words(stage: Stage, pe: PEParams, channels: int) -> int:
    """Words that a pixel of so many channels of the side tensor becomes.

    Raises `OhmweaveError` where the arithmetic half cannot take it from several: it takes whole vectors of each.
    """
    assert stage.side is not None
    word = word_channels(stage.side.bits, pe)
    if channels <= word:
        return 1
    if not _vectors(stage.side.bits, pe):
        raise OhmweaveError(f"channels of its side tensor must be at most {word}, not {channels}")
    return -(-channels // word)


def side_channels(stage: Stage, pe: PEParams) -> int:
    """The most channels of a stage with a side tensor that a PE can compute, whatever way that tensor comes."""
    assert stage.side is not None
    buffer, words = pe.buffer, 1
    if _vectors(stage.side.bits, pe):
        # Words are columns of the buffer's map and window. Between the main tensor's pixels those of the side tensor
        # lie as far apart as the windows; by a link of its own there are no others.
        width = max(stage.sent_shape[2], stage.conv_size[1])
        stride = max(buffer.max_kernel, buffer.max_stride)
        words = max(1, min(buffer.max_kernel, buffer.width // width, stride // stage.stride[1]))
    return words * word_channels(stage.side.bits, pe)


def _vectors(bits: int, pe: PEParams) -> int:
    """Vectors of each of several words of a pixel; 0 where a pixel can have one word only."""
    return word_vectors(pe, 0, _planes(bits, pe).bit_length() - 1)


def _planes(bits: int, pe: PEParams) -> int:
    return max(1, bits // pe.buffer.act_bits)
