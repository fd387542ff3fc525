"""What a page claims: who does something or how far it goes, why, and the row of a table that says so."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from .diagnostics import shown
from .model import Provider, Table, Transport
from .tables import Tables
from .vocabulary import CAPABILITY_MEANINGS, OPTIONAL_CAPABILITIES

Party = Literal["we", "the server", "nobody"]

REMEMBERS: Final[dict[str, str]] = {
    "generated": "the server keeps all it generated",
    "sent": "the server keeps all it sent",
    "reckoned": "the server keeps what it reckons was heard",
    "unknown": "what the server keeps is not known",
}
"""By the capability `remembers`: what is true of what the server cannot be made to forget."""

_REASONS: Final[dict[tuple[str, str], str]] = {
    ("cancel", "by_id"): "A cancel names its response, so it hits no other.",
    ("cancel", "none"): "There is no verb for it.",
    ("truncate", "item_ms"): "It cuts an item at the millisecond it is told.",
    ("truncate", "none"): "There is no verb for it.",
    ("delete", "item"): "It takes an item out of its memory when it is told.",
    ("delete", "none"): "There is no verb for it.",
    ("interrupts_itself", "on_vad"): "It stops what it is saying when it hears the caller.",
    ("identifies", "item"): "Its messages name their response and their item.",
    ("identifies", "response"): "Its messages name their response.",
    ("identifies", "turn"): "Its messages name nothing: each belongs to the turn that is open.",
    ("remembers", "generated"): "Nobody corrects it, so it takes all for heard.",
    ("remembers", "sent"): "Nobody corrects it, so it takes all that it sent for heard.",
    ("remembers", "reckoned"): "It reckons for itself what was heard.",
    ("remembers", "unknown"): "Nobody has told what it remembers.",
    ("supersedes", "silently"): "A new response ends the one before.",
    ("opens", "when_ready"): "Nothing is asked of it before it says that it is ready.",
    ("clear", "whole_buffer"): "It empties all that it holds.",
    ("clear", "none"): "There is no verb for it.",
    ("marks_on_clear", "none"): "It knows no marks.",
    ("heard", "marks"): "A mark comes back when the speech before it has been played.",
    ("heard", "checked_marks"): "A mark that comes too early counts when the clock allows.",
    ("heard", "report"): "Its player says how far it is.",
    ("heard", "clock"): "It says nothing of what it has played.",
}
"""What can be said for a capability whose row gives no reason of its own."""


class Told(Struct, frozen=True):
    """The row of a table that says so: its keys, joined by dots, and where it stands. Lines count from 1."""

    key: str
    file: str
    line: int


class Claim(Struct, frozen=True):
    """One party and what it does. `how` is the table's word for it, `words` are for people."""

    who: Party
    how: str
    words: str
    why: str
    told: Told


def capability(peer: Provider | Transport, name: str) -> str:
    """What the peer can, as its table says or, where it need not, as is understood."""
    return peer.can[name].is_ if name in peer.can else OPTIONAL_CAPABILITIES[name]


def reason(peer: Provider | Transport, name: str) -> str:
    """Why the peer can what it can: its row's own words, or what goes without saying."""
    said = peer.can.get(name)
    if said is not None and said.why is not None:
        return said.why
    return _REASONS.get((name, capability(peer, name)), CAPABILITY_MEANINGS[name])


def told_at(tables: Tables, table: Table, *keys: str | int) -> Told:
    """Where a row stands; a capability that is understood stands where the others do."""
    place = tables.where(table, *keys)
    return Told(".".join(map(str, keys)), shown(place.file), place.line)


def spoken(peer: Provider | Transport, hook: str, holds: Mapping[str, bool]) -> int | None:
    """The first row of a hook that sends something where these guards hold, and no others; None: it is silent."""
    for at, row in enumerate(peer.hooks.get(hook, ())):
        if (row.if_ is None or holds.get(row.if_, False)) and not holds.get(
            row.unless or "", False
        ):
            return at
    return None
