"""What is likely in one call of a random walk: rare things seldom, and every call in another way."""

from random import Random
from typing import Final

from .state import Act, Move

WEIGHTS: Final[dict[str, float]] = {
    "request in turn": 0.5,
    "request beside": 0.15,
    "interrupt all": 0.2,
    "interrupt one": 0.1,
    "deadline": 0.05,
    "time_passes": 1.0,
    "server_receives": 4.0,
    "server_arrives": 4.0,
    "carrier_receives": 6.0,
    "carrier_arrives": 4.0,
    "plays": 3.0,
    "message_lost": 0.1,
    "message_repeated": 0.1,
    "falls_silent": 0.03,
    "loses_connection": 0.03,
    "hangs_up": 0.03,
}
"""How likely each kind of act is beside the others that are possible; each choice of the server weighs `CHOICE`."""

CHOICE: Final = 1.0
WHIMS: Final = (0.1, 0.4, 1.0, 1.0, 3.0)


def kind_of(act: Act) -> str:
    """What acts are weighed by: what is done, not to whom."""
    what, about = act
    if what == "chooses":
        return str(about.act)
    if what == "request":
        return "request beside" if about else "request in turn"
    if what == "interrupt":
        return "interrupt one" if about else "interrupt all"
    return what


class Whims:
    """How likely each kind of act is in one call: its weight times a factor drawn for the call.

    In one call the carrier's link is slow, in the next the application impatient: each meets other races.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._weights: dict[str, float] = {}

    def picks(self, moves: list[Move]) -> Move:
        """One of the moves, each as likely as its kind."""
        known = self._weights
        weights = [known.get(move[0].what) or self._weight(move[0]) for move in moves]
        return self._random.choices(moves, weights)[0]

    def _weight(self, act: Act) -> float:
        kind = kind_of(act)
        weight = self._weights.get(kind)
        if weight is None:
            weight = WEIGHTS.get(kind, CHOICE) * self._random.choice(WHIMS)
            self._weights[kind] = weight
        return weight
