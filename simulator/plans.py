"""What a world to be searched is: its bounds, and how the parties in it behave."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from .state import Limits

DELTA_MS: Final = 100
"""One delta of speech, and one mark: the explorer plays from mark to mark."""


class Plan(Struct, frozen=True, kw_only=True):
    """One world to be searched: what it is for, how far it goes, and how the server in it behaves."""

    name: str
    says: str
    limits: Limits
    items: int = 2
    """Items in one response."""
    deltas: int = 2
    """Deltas of speech in one item."""
    server: Mapping[str, Any] = {}
    """What else the server may do by itself: fields of its model's bounds (`simulator.openai.Bounds`)."""
    rules: Mapping[str, Any] = {}
    """How the server behaves where no source settles it: fields of its model's rules
    (`simulator.openai_memory.Rules`)."""
    carrier: Mapping[str, Any] = {}
    """How the carrier behaves: arguments of its model (`simulator.carrier.StreamCarrier`)."""
    vad: str = "interrupts"
    """What the server's voice activity detection does: `interrupts`, `listens` (it answers, the application
    interrupts) or `off`."""
