"""Audio that says what it is: every millisecond names its item and its place within the item.

Speech made here is noise to a person and a label to the ear (`simulator/ear.py`): a millisecond of
G.711 μ-law at 8 kHz is eight bytes, just room for a magic byte, the item's number, the millisecond
and a check byte. Wider formats (PCM16) repeat the label, so cutting on a millisecond keeps it whole.
"""

import struct
from functools import lru_cache
from typing import Final

PCMU_BYTES_PER_MS: Final = 8
"""G.711 μ-law, 8000 samples a second, one byte a sample."""

PCMU_SILENCE: Final = 0xFF
"""The μ-law code of zero (ITU-T G.711); 0x7F is the other zero, of negative sign."""

_MAGIC: Final = 0xB1
_LABEL: Final = struct.Struct(">BHIB")  # magic, item, millisecond, check
_BODY: Final = struct.Struct(">HI")
_MAX_ITEM: Final = 0xFFFF

Heard = tuple[int, int]
"""(item number, millisecond within the item)."""


def speech(item: int, start_ms: int, duration_ms: int, bytes_per_ms: int = 8) -> bytes:
    """Audio of `item` from its millisecond `start_ms` on, each labelled with where it belongs.

    `start_ms` counts from the item's first sample. `bytes_per_ms` is 8 for μ-law at 8 kHz, 16 for
    PCM16 at 8 kHz, 48 for PCM16 at 24 kHz. Raises `ValueError` for an item outside 0…65535, a
    negative time or fewer than eight bytes a millisecond.
    """
    if not 0 <= item <= _MAX_ITEM:
        raise ValueError(f"item must lie in 0…{_MAX_ITEM}, not {item}")
    if start_ms < 0 or duration_ms < 0:
        raise ValueError(f"times must not be negative: {start_ms=}, {duration_ms=}")
    if bytes_per_ms < _LABEL.size:
        raise ValueError(f"a label needs {_LABEL.size} bytes a millisecond, not {bytes_per_ms}")
    return _speech(item, start_ms, duration_ms, bytes_per_ms)


@lru_cache(maxsize=256)
def _speech(item: int, start_ms: int, duration_ms: int, bytes_per_ms: int) -> bytes:
    repeats, rest = divmod(bytes_per_ms, _LABEL.size)
    out = bytearray()
    for ms in range(start_ms, start_ms + duration_ms):
        label = _LABEL.pack(_MAGIC, item, ms, _check(item, ms))
        out += label * repeats + label[:rest]
    return bytes(out)


def trace(audio: bytes, bytes_per_ms: int = 8) -> list[Heard | None]:
    """Where each millisecond of `audio` came from; None for silence, foreign or mangled audio.

    `audio` must begin on a millisecond; a last, incomplete one is taken for foreign.
    """
    found: list[Heard | None] = []
    for at in range(0, len(audio), bytes_per_ms):
        if audio[at] != _MAGIC or at + _LABEL.size > len(audio):
            found.append(None)
            continue
        _, item, ms, check = _LABEL.unpack_from(audio, at)
        found.append((item, ms) if check == _check(item, ms) else None)
    return found


def silence(duration_ms: int, bytes_per_ms: int = 8) -> bytes:
    """`duration_ms` of silence: μ-law at 8 bytes a millisecond, PCM16 above."""
    code = PCMU_SILENCE if bytes_per_ms == PCMU_BYTES_PER_MS else 0
    return bytes([code]) * (duration_ms * bytes_per_ms)


def caller_speech(duration_ms: int, bytes_per_ms: int = 8) -> bytes:
    """`duration_ms` of a caller talking: a loud square wave, never an item's audio."""
    length = duration_ms * bytes_per_ms
    return ((b"\x00" * 4 + b"\x80" * 4) * (length // 8 + 1))[:length]


def is_silence(audio: bytes, bytes_per_ms: int = 8) -> bool:
    """Whether `audio` holds nothing but zero samples; no audio is silence."""
    return not audio.strip(b"\xff\x7f" if bytes_per_ms == PCMU_BYTES_PER_MS else b"\0")


def _check(item: int, ms: int) -> int:
    return sum(_BODY.pack(item, ms)) + _MAGIC & 0xFF
