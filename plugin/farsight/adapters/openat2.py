"""Opening a file only where that takes no disk: openat2(2) with RESOLVE_CACHED, Linux 5.12.

Neither Python nor glibc has a function for it. Where the system hasn't, or may not, nothing is ever
at hand, and whoever may wait opens it in the usual way. The interpreter isn't let go meanwhile: to
get it back takes longer than to open a file. So this is for file systems that open without asking
anybody; RESOLVE_CACHED speaks of the path only.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_OPENAT2: Final = 437  # but on MIPS and Alpha
_IS_NUMBERED_SO: Final = not os.uname().machine.startswith(("mips", "alpha"))
_RESOLVE_CACHED: Final = 0x20
_AT_FDCWD: Final = -100


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_HOW: Final = _OpenHow(os.O_RDONLY | os.O_CLOEXEC, 0, _RESOLVE_CACHED)
_syscall = ctypes.PyDLL(None).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(_OpenHow),
    ctypes.c_size_t,
)


def open_cached(path: str) -> int | None:
    """A descriptor for reading; None where that can't be had at once, whatever the reason."""
    if not _IS_NUMBERED_SO:
        return None
    descriptor: int = _syscall(
        _OPENAT2, _AT_FDCWD, os.fsencode(path), _HOW, ctypes.sizeof(_OpenHow)
    )
    return None if descriptor < 0 else descriptor
