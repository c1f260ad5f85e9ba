"""How loops are compiled: once, kept on disk, without the GIL.

No `fastmath`: contraction and reordering would make the bytes depend on the processor.
"""

from __future__ import annotations

from numba import njit

#: Decorator of a loop that Python code calls.
kernel = njit(cache=True, nogil=True, error_model='numpy')
#: Decorator of a piece that is copied into the loops that use it.
inlined = njit(cache=True, nogil=True, error_model='numpy', inline='always')
