"""Names of the array types that signatures are written in: what they hold, and how wide."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "Bools",
    "Complex128s",
    "Float32s",
    "Float64s",
    "Int16s",
    "Int32s",
    "Int64s",
    "UInt8s",
]

Bools = npt.NDArray[np.bool_]
Complex128s = npt.NDArray[np.complex128]
Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
UInt8s = npt.NDArray[np.uint8]
