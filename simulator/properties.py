"""The invariants the explorer checks: number, sentence and kind. facts/races.md section 13.

*Always*: in every state that can be reached. *Eventually*: on every fair run, in which whatever can go on does go on
(messages arrive, audio plays, the server ends what it began or, silent, the timers fire). *Sometimes*: somewhere.
"""

from typing import Any, Final, Literal

from msgspec import Struct

Kind = Literal["always", "eventually"]


class Property(Struct, frozen=True):
    """One claim: its number, what it says, and when it must hold."""

    number: str
    name: str
    says: str
    kind: Kind = "always"


PROPERTIES: Final[dict[str, Property]] = {
    each.number: each
    for each in (
        Property(
            "I1",
            "Cancel exactly when due, once, by name",
            "A response that is interrupted after it was created gets one cancel with its id, unless the "
            "server cancels by itself; no other response gets one, and none gets one after its last word.",
        ),
        Property(
            "I2",
            "A withdrawn request has no living child",
            "A request interrupted, timed out or superseded is never written afterwards; if its response is born "
            "after all, our next word about it is its cancel and nothing of it is heard.",
        ),
        Property(
            "I3",
            "Fence at the last hand-over",
            "After an interrupt no audio, text or tool call of what it covers reaches carrier or application.",
        ),
        Property(
            "I4",
            "Non-interference",
            "What no interrupt, timeout or refusal covers is heard to its end, uncancelled, and remembered whole.",
        ),
        Property(
            "I5",
            "Silence follows playback, not generation",
            "An interrupt that covers speech at the carrier sends one clear and nothing covered sounds once it has "
            "arrived; an interrupt that covers none sends no clear.",
        ),
        Property(
            "I6",
            "Playback settlement",
            "Each item settles once: full if all was heard, partial with the milliseconds confirmed, or skipped.",
        ),
        Property(
            "I7",
            "Truncation law",
            "Partial: one truncate at the milliseconds confirmed. Skipped: a delete, no truncate. Full: neither.",
        ),
        Property(
            "I8",
            "One memory",
            "When all is quiet, the server remembers of each item what was heard from its start, or we have "
            "said that it does not.",
            "eventually",
        ),
        Property(
            "I9",
            "One create at a time, in decision order",
            "No create is written while its slot has an unanswered create or a response without its last word.",
        ),
        Property(
            "I10",
            "Exactly one actor",
            "Where the server cancels by itself because it heard the caller, we do not; otherwise we do.",
        ),
        Property(
            "I11",
            "Errors settle their own request",
            "An error resolves the request it names and nothing else; an error of a lost race is no fault.",
        ),
        Property(
            "I12",
            "Everything ends",
            "Every handle resolves once, every item settles, and a request made when all is quiet is answered and "
            "heard whole.",
            "eventually",
        ),
        Property(
            "I13",
            "No residue",
            "When all is quiet the session holds nothing of what is over.",
            "eventually",
        ),
        Property(
            "I16",
            "Start gate",
            "No item begins to play that an interrupt has covered.",
        ),
        Property(
            "told",
            "No false report",
            "The application is told of a response only states that it is in.",
            "eventually",
        ),
        Property(
            "wire",
            "Every message is understood",
            "The server and the carrier take every message the session writes.",
        ),
    )
}


class Broken(Exception):
    """A property does not hold; `number` is one of `PROPERTIES`.

    `moves` are those that a judge made by itself to find out (the next turn after a quiet call).
    """

    def __init__(self, number: str, finding: str, moves: tuple[Any, ...] = ()) -> None:
        super().__init__(f"{number}: {finding}")
        self.number = number
        self.finding = finding
        self.moves = moves
