"""What an interruption is worth with each provider on each transport, as far as the tables know.

Four promises, and each is kept, kept in part or not at all, in words that do not promise more than the other side
does. A pair that cannot hold a call promises nothing: `no_call` says why.
"""

from typing import Final, Literal

from msgspec import Struct

from .claims import REMEMBERS, Told, capability, reason, told_at
from .model import AudioFormat, Provider, Transport
from .tables import Tables

Promise = Literal["silence", "ghosts", "cancel", "memory"]
Kept = Literal["yes", "in part", "no"]

PROMISES: Final[dict[Promise, str]] = {
    "silence": "After an interrupt the caller hears at most the frame that is being played.",
    "ghosts": "Nothing of an interrupted response is heard or handed on later, whatever the server still sends.",
    "cancel": "The server is told to stop this response and no other.",
    "memory": "The server remembers of each item what the caller heard, or we say that it does not.",
}

_ESTIMATES: Final = ("clock", "checked_marks")
"""Where what was heard is not only what the transport says."""


class Answer(Struct, frozen=True):
    """How far a promise is kept, in words, why, and the table's row that decides it."""

    kept: Kept
    words: str
    why: str
    told: Told


class Guarantee(Struct, frozen=True):
    """What holds for a provider on a transport. `audio` are the formats both speak; there is at least one."""

    provider: str
    transport: str
    audio: tuple[str, ...]
    promises: dict[Promise, Answer]


class Carrier(Struct, frozen=True):
    """What a transport can do about speech it has taken.

    `resolution_ms` is the grain in which we learn what was heard; None: no grain is declared. `ahead_ms` is how much
    it is ever given before it is played; None: all there is.
    """

    transport: str
    clear: Answer
    reserve: str | None
    remains: str
    after_clear: Answer
    heard: Answer
    resolution_ms: int | None
    overdue_ms: int
    ahead_ms: int | None
    frame_ms: int | None


def guarantees(tables: Tables) -> list[Guarantee]:
    """Every pair that can hold a call, in the order of the tables."""
    return [
        guarantee(tables, provider, transport)
        for provider in tables.providers.values()
        for transport in tables.transports.values()
        if no_call(provider, transport) is None
    ]


def guarantee(tables: Tables, provider: Provider, transport: Transport) -> Guarantee:
    """The four promises of one pair."""
    promises: dict[Promise, Answer] = {
        "silence": _silence(tables, provider, transport),
        "ghosts": _ghosts(tables, provider),
        "cancel": _cancel(tables, provider),
        "memory": _memory(tables, provider, transport),
    }
    return Guarantee(
        provider.provider, transport.transport, common_audio(provider, transport), promises
    )


def no_call(provider: Provider, transport: Transport) -> str | None:
    """Why the two cannot hold a call, as a session would refuse them; None: they can."""
    if capability(provider, "playback") == "server" and capability(transport, "heard") != "server":
        return "the provider's server plays by itself"
    if capability(provider, "playback") != "server" and capability(transport, "heard") == "server":
        return "nobody would play what the provider says"
    return None if common_audio(provider, transport) else "no audio format in common"


def common_audio(provider: Provider, transport: Transport) -> tuple[str, ...]:
    """The formats of the same name and the same rates both ways."""
    return tuple(
        name
        for name, theirs in provider.audio.items()
        if name in transport.audio and _voices(theirs) == _voices(transport.audio[name])
    )


def carrier(tables: Tables, transport: Transport) -> Carrier:
    """What one transport can do."""
    heard = capability(transport, "heard")
    mark_ms = transport.timeouts["mark_every_ms"].is_
    words = {
        "marks": f"marks it returns, one every {mark_ms} ms",
        "checked_marks": f"marks it returns, one every {mark_ms} ms, as far as the clock agrees",
        "report": "reports of its player, as often as they come",
        "clock": "the clock alone: an estimate",
        "server": "the server plays and knows",
    }
    ahead, frame = transport.pace.get("ahead_ms"), transport.pace.get("frame_ms")
    return Carrier(
        transport=transport.transport,
        clear=_clear(tables, transport),
        reserve=transport.can["clear"].why,
        remains=_remains(transport),
        after_clear=_after_clear(tables, transport),
        heard=_said(
            tables, transport, "heard", "in part" if heard in _ESTIMATES else "yes", words[heard]
        ),
        resolution_ms=mark_ms if heard in ("marks", "checked_marks") else None,
        overdue_ms=transport.timeouts["overdue_ms"].is_,
        ahead_ms=ahead.is_ if ahead else None,
        frame_ms=frame.is_ if frame else None,
    )


# -- the four promises --------------------------------------------------------------------------------


def _silence(tables: Tables, provider: Provider, transport: Transport) -> Answer:
    """How soon the caller hears nothing more."""
    if capability(provider, "playback") == "server":
        return _said(
            tables,
            provider,
            "playback",
            "in part",
            "yes, but for what has left the server's buffer",
        )
    return _clear(tables, transport)


def _ghosts(tables: Tables, provider: Provider) -> Answer:
    kind = capability(provider, "identifies")
    if kind != "turn":
        return _said(tables, provider, "identifies", "yes", "yes, by id")
    settled_ms = provider.timeouts["settled_ms"].is_
    words = f"yes, by turn: until its end, or until it was silent for {settled_ms} ms"
    return _said(tables, provider, "identifies", "in part", words)


def _cancel(tables: Tables, provider: Provider) -> Answer:
    kind = capability(provider, "cancel")
    if kind == "by_id":
        if capability(provider, "finishes") == "always":
            return _said(tables, provider, "cancel", "yes", "yes")
        words = "when it honours it: not every response gets a last word"
        return _said(tables, provider, "finishes", "in part", words)
    words = {
        "anonymous": "without a name: whatever runs, so only if nothing else does",
        "by_new_input": "no verb: new input where it stops the response, else fenced locally",
        "none": "no verb: fenced locally",
    }[kind]
    return _said(tables, provider, "cancel", "no" if kind == "none" else "in part", words)


def _memory(tables: Tables, provider: Provider, transport: Transport) -> Answer:
    kind = capability(provider, "truncate")
    if kind == "server" or capability(provider, "playback") == "server":
        name = "truncate" if kind == "server" else "playback"
        return _said(tables, provider, name, "yes", "exact: the server plays, cuts, and says where")
    if kind == "none":
        words = f"diverged, declared: {REMEMBERS[capability(provider, 'remembers')]}"
        if capability(provider, "delete") == "item":
            words += "; what nobody heard is deleted"
        return _said(tables, provider, "truncate", "no", words)
    heard = capability(transport, "heard")
    mark_ms = transport.timeouts["mark_every_ms"].is_
    grain = {
        "marks": f"to {mark_ms} ms",
        "checked_marks": f"to {mark_ms} ms where the clock bears its marks out",
        "report": "to what the player last reported",
        "clock": "by the clock, an estimate",
        "server": "to what the server says it played",
    }[heard]
    if capability(provider, "finishes") != "always":
        answer_ms = provider.timeouts["answer_ms"].is_
        words = (
            f"exact where it confirms, {grain}; unconfirmed for {answer_ms} ms: diverged, declared"
        )
        return _said(tables, provider, "truncate", "in part", words)
    return _said(
        tables, provider, "truncate", "in part" if heard in _ESTIMATES else "yes", f"exact, {grain}"
    )


# -- transports ---------------------------------------------------------------------------------------


def _clear(tables: Tables, transport: Transport) -> Answer:
    if capability(transport, "clear") == "whole_buffer":
        return _said(tables, transport, "clear", "yes", "yes")
    ahead = transport.pace.get("ahead_ms")
    if capability(transport, "heard") == "server":
        return _said(tables, transport, "clear", "yes", "nothing is held here")
    if ahead is None:
        return _said(tables, transport, "clear", "no", "no: all that was sent plays out")
    words = f"no clear, but at most {ahead.is_} ms are ever ahead"
    return _said(tables, transport, "clear", "in part", words)


def _remains(transport: Transport) -> str:
    if capability(transport, "clear") == "whole_buffer":
        return "only what has left its buffer"
    if capability(transport, "heard") == "server":
        return "what the provider's server has sent"
    ahead = transport.pace.get("ahead_ms")
    return f"up to {ahead.is_} ms" if ahead else "all that was sent"


def _after_clear(tables: Tables, transport: Transport) -> Answer:
    words = {
        "returned_unflagged": "all come back, played or not: void",
        "returned_flagged": "come back flagged as cleared: void",
        "dropped": "never come back",
        "unknown": "nobody knows: void if they come",
        "none": "there are none",
    }[capability(transport, "marks_on_clear")]
    return _said(tables, transport, "marks_on_clear", "yes", words)


def _said(tables: Tables, peer: Provider | Transport, name: str, kept: Kept, words: str) -> Answer:
    return Answer(kept, words, reason(peer, name), told_at(tables, peer, "can", name))


def _voices(audio: AudioFormat) -> tuple[int, int, int, int]:
    caller = audio.caller or audio
    return audio.rate_hz, audio.bytes_per_ms, caller.rate_hz, caller.bytes_per_ms
