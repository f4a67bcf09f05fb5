"""Arrays that are used again once nobody holds them."""

from __future__ import annotations

import sys
import threading

import numpy as np

_KEPT = 8
_arrays: list[np.ndarray] = []
_lock = threading.Lock()


def reused_empty(shape: tuple[int, ...]) -> np.ndarray:
    """An array of uint8 with any content, for a batch that is soon let go.

    Of large arrays the system clears every page anew, which takes a tenth of the time that decoding
    a batch does. A few arrays are therefore kept, and given again when neither a view nor a tensor
    of them is left.
    """
    with _lock:
        # Only the list and the call hold them.
        free = [place for place in range(len(_arrays)) if sys.getrefcount(_arrays[place]) == 2]
        for place in free:
            if _arrays[place].shape == shape:
                return _arrays[place]
        for place in reversed(free):
            del _arrays[place]
        array = np.empty(shape, np.uint8)
        if len(_arrays) < _KEPT:
            _arrays.append(array)
        return array
