"""The part of a frame that has to be resized for a part of the result."""

from __future__ import annotations

_TOLERANCE = 1 / 48  # of a pixel of the frame


def resize_window(first: int, count: int, source: int, target: int) -> tuple[slice, slice]:
    """Along one axis, what to resize to what, so that some pixels of the result are right.

    Whole pixels of the frame begin and end where whole pixels of the result do, to a 48th of a
    pixel, so that resizing them alone reads the same places as resizing the frame.

    Args:
        first: First pixel of the result that is wanted.
        count: How many are.
        source: Pixels of the frame.
        target: Pixels of the whole result.

    Returns:
        The pixels of the frame, and those of the result that they become; the wanted ones are among
        them, and interpolate between pixels of the frame that are there.
    """
    scale = source / target

    def reads(pixel: int) -> float:
        """The place between pixels of the frame from which one of the result is read."""
        return (pixel + 0.5) * scale - 0.5

    def fits(edge: int) -> bool:
        return abs(edge * scale - round(edge * scale)) <= _TOLERANCE

    last = first + count - 1
    begins = range(first, 0, -1)
    begin = next((e for e in begins if fits(e) and round(e * scale) <= reads(first)), 0)
    ends = range(last + 1, target)
    end = next((e for e in ends if fits(e) and reads(last) <= round(e * scale) - 1), target)
    return slice(round(begin * scale), round(end * scale)), slice(begin, end)
