"""`*` and `?` (PS3.4 C.2.2.2.4) without a regular expression, so no pattern can blow up.

Law: the pieces between stars are looked for from left to right, each as early as it fits, which
never needs to be undone. Time is at most proportional to pattern times text.
"""

from __future__ import annotations


def has_wildcards(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def wildcard_match(pattern: str, text: str) -> bool:
    """Whether the whole text matches; `*` is any run of characters, `?` exactly one."""
    head, star, rest = pattern.partition("*")
    if not star:
        return len(text) == len(head) and _fits(head, text, 0)
    middle, _, tail = rest.rpartition("*")
    end = len(text) - len(tail)
    if end < len(head) or not _fits(head, text, 0) or not _fits(tail, text, end):
        return False
    position = len(head)
    for piece in middle.split("*"):
        found = _find(piece, text, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def _fits(piece: str, text: str, at: int) -> bool:
    if "?" not in piece:
        return text.startswith(piece, at)
    return len(text) - at >= len(piece) and all(
        p in ("?", text[at + i]) for i, p in enumerate(piece)
    )


def _find(piece: str, text: str, start: int, end: int) -> int:
    if "?" not in piece:
        return text.find(piece, start, end)
    last = end - len(piece)
    return next((at for at in range(start, last + 1) if _fits(piece, text, at)), -1)
