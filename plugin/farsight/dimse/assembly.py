"""Bytes that are received straight to where they stay.

Python has no way of its own to receive into an immutable object, and orthanc.RestApiPost takes
no other: assembled from pieces, every byte of a study is written twice (a sixth of the time of
a C-GET). The C API allows it while nobody else has seen the object (PyBytes_FromStringAndSize
with NULL, _PyBytes_Resize); ctypes calls that, since CPython is what Orthanc embeds.
"""

from __future__ import annotations

import ctypes
from typing import Final

#: Of our own, so that nobody else's view of these functions changes.
_API: Final = ctypes.PyDLL(None)
_new: Final = _API.PyBytes_FromStringAndSize
_new.argtypes, _new.restype = (ctypes.c_void_p, ctypes.c_ssize_t), ctypes.c_void_p
_resize: Final = _API["_PyBytes_Resize"]
_resize.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_ssize_t)
_address: Final = _API.PyBytes_AsString
_address.argtypes, _address.restype = (ctypes.c_void_p,), ctypes.c_void_p
_window: Final = _API.PyMemoryView_FromMemory
_window.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
_window.restype = ctypes.py_object
_reference: Final = _API.Py_NewRef
_reference.argtypes, _reference.restype = (ctypes.c_void_p,), ctypes.py_object
_forget: Final = _API.Py_DecRef
_forget.argtypes, _forget.restype = (ctypes.c_void_p,), None
_PYBUF_WRITE: Final = 0x200


class Assembly:
    """One bytes object under construction, seen by nobody until it is `finish`ed.

    Laws: a view from `room` is released before the next call; what is finished has exactly the
    bytes that were filled in.
    """

    __slots__ = ("_capacity", "_object", "_size")

    def __init__(self, head: bytes, reserve: int) -> None:
        """Begins with `head`. `reserve`: how many bytes it will probably have in the end."""
        self._object = ctypes.c_void_p()
        self._capacity = max(reserve, len(head), 1)
        self._object.value = _new(None, self._capacity)
        self._size = 0
        self.append(head)

    def append(self, data: bytes | memoryview) -> None:
        with self.room(len(data)) as room:
            room[:] = data
        self.filled(len(data))

    def room(self, count: int) -> memoryview:
        """Where the next `count` bytes go. Raises: MemoryError."""
        if self._object.value is None:
            raise MemoryError("an assembly that could not grow is lost")
        if self._size + count > self._capacity:
            self._cut(max(self._size + count, self._capacity + self._capacity // 2))
        view: memoryview = _window(_address(self._object) + self._size, count, _PYBUF_WRITE)
        return view

    def filled(self, count: int) -> None:
        """So many bytes have been put where the last `room` was."""
        self._size += count

    def finish(self) -> bytes:
        """The object; the assembly is of no further use."""
        self._cut(self._size)
        whole: bytes = _reference(self._object)
        self.__del__()
        return whole

    def _cut(self, capacity: int) -> None:
        if capacity != self._capacity:
            self._capacity = 0  # where that fails there is no object any more
            _resize(ctypes.byref(self._object), capacity)
            self._capacity = capacity

    def __del__(self) -> None:
        if self._object.value is not None:
            _forget(self._object)
            self._object.value = None
