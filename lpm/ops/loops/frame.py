"""What XLA passes to a foreign function: an `XLA_FFI_CallFrame`, read at its documented offsets.

The layout is that of xla/ffi/api/c_api.h (API 0.x, LP64). A loop sees every operand and result as a flat array.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import extending, types

intrinsic: Any = extending.intrinsic  # what it decorates is called without the typing context
carray: Any = numba.carray  # pyright: ignore[reportPrivateImportUsage]

EXTENSIONS, API, OPERANDS, RESULTS = 8, 16, 72, 112  # of XLA_FFI_CallFrame: the lists are args.args and rets.rets
OPERAND_COUNT, RESULT_COUNT = 56, 96  # of XLA_FFI_CallFrame: args.size and rets.size
DTYPE, DATA, RANK, DIMS = 16, 24, 32, 40  # of XLA_FFI_Buffer
BYTES = (
    0,
    1,
    1,
    2,
    4,
    8,
    1,
    2,
    4,
    8,
    2,
    4,
    8,
)  # an element, by XLA_FFI_DataType: bool, int8 to 64, uint, float16 to 64
KIND, METADATA = 8, 24  # of XLA_FFI_Metadata_Extension
METADATA_KIND = 1
MAJOR, MINOR = 24, 28  # of XLA_FFI_Metadata, in its api_version
API_MAJOR, API_MINOR = 32, 36  # of XLA_FFI_Api, in its api_version


@intrinsic
def _pointer(_: Any, address: Any, dtype: Any) -> Any:
    """Return an address as a pointer to `dtype`."""
    kind = types.CPointer(dtype.dtype)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(kind))

    return kind(address, dtype), codegen


@numba.njit
def word(address: Any) -> Any:
    """Return the 64-bit word at an address."""
    return carray(_pointer(address, np.uint64), (1,), np.uint64)[0]


@numba.njit
def item(buffer: Any) -> Any:
    """Return the bytes of an element of an `XLA_FFI_Buffer`."""
    return BYTES[carray(_pointer(buffer + DTYPE, np.int32), (1,), np.int32)[0]]


@numba.njit
def view(buffer: Any, dtype: Any) -> Any:
    """Return the elements of an `XLA_FFI_Buffer` as a flat array."""
    size = np.int64(1)
    for axis in range(word(buffer + RANK)):
        size *= np.int64(word(word(buffer + DIMS) + 8 * axis))
    return carray(_pointer(word(buffer + DATA), dtype), (size,), dtype)


@numba.njit
def operand(frame: Any, index: Any, dtype: Any) -> Any:
    """Return operand `index` of a call as a flat array."""
    return view(word(word(frame + OPERANDS) + 8 * index), dtype)


@numba.njit
def result(frame: Any, index: Any, dtype: Any) -> Any:
    """Return result `index` of a call as a flat array, to be written."""
    return view(word(word(frame + RESULTS) + 8 * index), dtype)


@numba.njit
def address(frame: Any, results: Any, index: Any) -> Any:
    """Return where the data of an operand (or, with `results`, of a result) begin."""
    return word(word(word(frame + (RESULTS if results else OPERANDS)) + 8 * index) + DATA)


@numba.njit
def answered(frame: Any) -> Any:
    """Answer XLA's question for the version of the interface, and return whether that was what the call was for."""
    extension = word(frame + EXTENSIONS)
    if extension == 0 or carray(_pointer(extension + KIND, np.int32), (1,), np.int32)[0] != METADATA_KIND:
        return False
    metadata, api = word(extension + METADATA), word(frame + API)
    version = carray(_pointer(metadata + MAJOR, np.int32), (2,), np.int32)
    version[0], version[1] = 0, 1
    if api != 0:
        ours = carray(_pointer(api + API_MAJOR, np.int32), (2,), np.int32)
        version[0], version[1] = ours[0], ours[1]
    return True
