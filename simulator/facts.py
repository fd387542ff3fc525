"""What a wire message says, in the words of the explorer's properties: told by the models, never by a table.

A table under test may misread a message; these readings are the other side's own. One function per direction lives
beside each model (`openai_facts.py`, `twilio_facts.py`).
"""

from typing import Literal, NamedTuple


class Told(NamedTuple):
    """What a message of the provider's server says."""

    what: Literal[
        "created",
        "announced",
        "audio",
        "text",
        "call",
        "ended",
        "done",
        "interrupted",
        "speech_started",
        "truncated",
        "deleted",
        "error",
    ]
    response: str = ""
    item: str = ""
    request: str = ""
    """The client's name of the request that is answered, where the server repeats it."""
    voice: int = 0
    ms: int = 0
    """How much audio the message carries, or where a truncate cut."""
    status: str = ""
    """How a response ended, who interrupted it (`caller` or `client`), or the code of an error."""
    op: str = ""
    """The client message an error speaks of."""


class Asked(NamedTuple):
    """What a message to the provider's server asks for."""

    what: Literal["create", "cancel", "truncate", "delete", "other"]
    request: str = ""
    response: str = ""
    item: str = ""
    ms: int = 0
    op: str = ""


class Order(NamedTuple):
    """What a message to the carrier orders: speech from one millisecond of a voice to another, a mark, a clear.

    A carrier that reports what it plays is told the item's name, and the generation: how many clears came before.
    """

    what: Literal["play", "mark", "clear", "other"]
    voice: int = 0
    from_ms: int = 0
    to_ms: int = 0
    mark: str = ""
    item: str = ""
    generation: int = 0


class Returned(NamedTuple):
    """What a message of the carrier says: a mark has come back, so much of an item was played, or the call is over.

    `cleared_mark` is a mark of which the wire itself says that a clear and no playing returned it. Where the wire
    does not tell, it is a `mark` like any other. What was `played` of an item counts from where it was first sent in
    that generation.
    """

    what: Literal["mark", "cleared_mark", "played", "stop", "other"]
    mark: str = ""
    item: str = ""
    ms: int = 0
    generation: int = 0
