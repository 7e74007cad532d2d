"""Ways in which a file can be damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

EXTRA = "extra.bin"


def damages(file: Path) -> Iterator[tuple[str, Path]]:
    """Damages a file in one way after the other, and makes it whole again in between.

    Yields:
        What was done, and the file that an error must name.
    """
    whole = file.read_bytes()
    for region, place in (("head", 0), ("middle", len(whole) // 2), ("tail", len(whole) - 1)):
        if whole:
            yield from _as(file, whole, f"a byte of its {region} flipped", flipped(whole, place))
            yield from _as(file, whole, f"cut at its {region}", whole[:place])
    yield from _as(file, whole, "longer", whole + b"\0")
    file.unlink()
    yield "deleted", file
    file.write_bytes(whole)
    extra = file.with_name(EXTRA)
    extra.write_bytes(b"x")
    yield "another file beside it", extra
    extra.unlink()


def flipped(whole: bytes, place: int) -> bytes:
    """With one byte changed."""
    return whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]


def _as(file: Path, whole: bytes, what: str, damaged: bytes) -> Iterator[tuple[str, Path]]:
    file.write_bytes(damaged)
    yield what, file
    file.write_bytes(whole)
