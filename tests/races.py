"""The corpus of real races as data: what went wrong, of which class it is, where it happened, what it still waits for.

Numbers, classes and places are those of facts/races.md. Which tests tell a race is not written here: each test says
so itself (`race`), `race_page` reads it from them and writes docs/races.md.
"""

# ruff: noqa: E501 - the catalogue is a table

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeVar, get_args

_Test = TypeVar("_Test", bound=Callable[..., object])

Class = Literal[
    "UNBORN",
    "MISTARGET",
    "GEN≠HEARD",
    "OFFSET",
    "MULTI",
    "ZOMBIE",
    "ORDER",
    "AUTHORITY",
    "ERR-ROUTE",
    "LIMBO",
    "TOOL-DEBT",
    "REVERSAL",
    "LEDGER",
]

CLASSES: Final[dict[Class, str]] = {
    "UNBORN": "Withdrawn before it had a name, audio or leave to speak; nobody remembers the withdrawal.",
    "MISTARGET": "A right act, or a late event, that hits the wrong response, item or request.",
    "GEN≠HEARD": "That generation has ended is taken for the end of the speech, or the sink is forgotten.",
    "OFFSET": "Where a truncate cuts: by the wrong clock, in the wrong unit, out of range, or needlessly.",
    "MULTI": "One response has several items, and the code knows one.",
    "ZOMBIE": "Content or callbacks of what is dead are taken for the living.",
    "ORDER": "Cancel, clear, truncate and create overtake each other or the answers they depend on.",
    "AUTHORITY": "Two parties act where one should, or each leaves it to the other.",
    "ERR-ROUTE": "An error or a timeout does not reach its request, or a harmless one ends the call.",
    "LIMBO": "Something never ends: a confirmation that does not come, an early return, a latch, a leak.",
    "TOOL-DEBT": "Tool calls across an interruption: lost, unanswered, stale, or answered with too much speech.",
    "REVERSAL": "Speech is paused until it is known whether the interruption is one.",
    "LEDGER": "What is recorded as said is not what was heard.",
}


class Waits(NamedTuple):
    """What a race has not been told on: `providers` (or transports), and what a Scene there must show."""

    providers: tuple[str, ...]
    shows: str


class Race(NamedTuple):
    """One race. `provider` and `transport` are those it was seen on; `any` where that did not matter."""

    number: str
    klass: Class
    title: str
    provider: str
    transport: str
    waits: Waits | None = None


def race(*numbers: str) -> Callable[[_Test], _Test]:
    """Says of a test which races it tells."""

    def names(test: _Test) -> _Test:
        test.__dict__["races"] = numbers
        return test

    return names


def told_by(test: Any) -> tuple[str, ...]:  # noqa: ANN401  whatever a module holds
    """The races a test says it tells."""
    numbers: tuple[str, ...] = getattr(test, "__dict__", {}).get("races", ())
    return numbers


_CATALOGUE: Final = (
    # livekit/agents#5703
    Race("R01", "UNBORN", "Withdrawn before the server has named it, and spoken all the same", "OpenAI", "WebSocket"),
    Race("R02", "UNBORN", "Born and interrupted in one tick: it belongs to nobody and is generated to its end", "OpenAI", "WebSocket"),
    Race("R03", "AUTHORITY", "The plugin's own cancel ends at a check of its mode, and nothing is sent", "Gemini Live", "WebSocket"),
    Race("R04", "MISTARGET", "The request that replaces another is hit by the other's interrupt", "Gemini Live, Ultravox, Phonic", "WebSocket"),
    Race("R05", "UNBORN", "There is no cancel: what is not yet sent can be dropped, what is sent can only be fenced", "Phonic, AWS Nova Sonic", "WebSocket, event stream"),
    # livekit/agents#5564
    Race("R06", "MISTARGET", "A cancel that names nobody, with two responses in flight, stops neither", "OpenAI", "WebSocket"),
    Race("R07", "ORDER", "Silenced is taken for settled: the next request goes out while the slot is taken", "OpenAI", "WebSocket"),
    Race("R08", "ZOMBIE", "The last word about a response whose birth nobody saw", "OpenAI", "WebSocket"),
    # livekit/agents#6238
    Race("R09", "UNBORN", "A request times out; its reply comes late and is spoken to somebody who has moved on", "OpenAI", "WebSocket"),
    Race("R10", "UNBORN", "Clean-up at the timeout forgets the name by which the late reply would be known", "OpenAI", "WebSocket"),
    Race("R11", "MISTARGET", "A timeout cancels what is running, which is somebody else's reply", "OpenAI", "WebSocket"),
    Race("R12", "MISTARGET", "One place for what is to be discarded, and two responses in flight", "OpenAI", "WebSocket"),
    # livekit/agents#5763
    Race("R13", "MULTI", "A preamble is heard, and the answer behind it in the same response never", "OpenAI", "WebSocket"),
    Race("R14", "MULTI", "A position that counts from the start of the response", "OpenAI", "WebSocket"),
    Race("R15", "MULTI", "What was generated and never played stays in the model's memory", "OpenAI", "WebSocket"),
    Race("R16", "LEDGER", "Speech that has no transcript is not truncated", "OpenAI", "WebSocket"),
    Race("R17", "AUTHORITY", "Skipped speech stays for ever where a provider truncates and cannot delete", "any that truncates and does not delete", "any"),
    # openai/openai-agents-js#1173
    Race("R18", "GEN≠HEARD", "Nothing is being generated, so nothing is stopped; the carrier plays its buffer out", "OpenAI", "Twilio"),
    Race("R19", "GEN≠HEARD", "The ear is silenced and the model believes that all was said", "OpenAI", "Twilio"),
    Race("R20", "ZOMBIE", "Deltas under way at the clear fill the carrier once more", "OpenAI", "Twilio"),
    Race("R21", "OFFSET", "The item that has just begun is cut at its predecessor's position", "OpenAI", "Twilio"),
    Race("R22", "OFFSET", "Marks that come back because of a clear are taken for speech heard", "OpenAI", "Twilio"),
    Race("R23", "MULTI", "Several items wait at the carrier and only the last of them is settled", "OpenAI", "Twilio"),
    # Withdrawn too early
    Race("R24", "UNBORN", "No audio has come, so the interrupt finds nothing to stop", "OpenAI", "WebSocket, WebRTC"),
    Race("R25", "UNBORN", "Stopped just after the turn was sent; the reply takes the mute off and its tools run", "OpenAI", "WebRTC"),
    Race("R26", "UNBORN", "Interrupted while it waits for its turn, and sent when the turn has come", "any", "any"),
    Race("R28", "ERR-ROUTE", "The timeout is logged, and whoever waits is told that all went well", "OpenAI", "WebSocket"),
    # Generated is not heard
    Race("R29", "GEN≠HEARD", "The loudspeaker is emptied only while a response is active", "OpenAI, Azure Voice Live", "local sound card"),
    Race("R30", "GEN≠HEARD", "A timer since the last push decides that the agent has finished speaking", "speech pipelines", "Twilio, Plivo, Telnyx"),
    Race("R32", "GEN≠HEARD", "Cancelled and truncated, and the server's own buffer plays on", "OpenAI", "WebRTC"),
    Race("R33", "GEN≠HEARD", "Queues in the process are emptied; what the sink holds is forgotten", "any", "carriers, LiveKit, GStreamer"),
    Race("R35", "GEN≠HEARD", "The next request waits for marks on a line that returns none", "xAI", "carriers without marks"),
    # The wrong object
    Race("R37", "MISTARGET", "A late cancel for the barge-in kills the answer to the barge-in", "xAI, OpenAI", "WebSocket"),
    Race("R38", "MISTARGET", "The late end of a cancelled response is taken for the end of its successor", "OpenAI", "WebSocket"),
    Race("R40", "MISTARGET", "A guardrail stops a written reply, and the spoken one before it is cut", "OpenAI", "WebSocket"),
    Race("R42", "MISTARGET", "The carrier is cleared for a barge-in that is then refused", "speech pipelines", "Twilio"),
    # Who, and in which order
    Race("R43", "ORDER", "The interrupt and the new question leave by two senders, in either order", "OpenAI", "WebSocket"),
    Race("R44", "ORDER", "A truncate put off till the end reads what the next reply has reset", "xAI, OpenAI", "WebSocket"),
    Race("R48", "AUTHORITY", "The server cancels and the client falls silent; each leaves the truncate to the other", "OpenAI", "WebSocket"),
    Race("R49", "AUTHORITY", "The server's VAD has cancelled already, and the client cancels again", "OpenAI", "WebSocket"),
    Race("R50", "AUTHORITY", "Told not to interrupt, it interrupts; told to do it all, nobody does", "OpenAI, Inworld", "WebSocket"),
    # Where to cut
    Race("R52", "OFFSET", "Truncated although nothing was cut, or beyond what was received", "OpenAI", "WebSocket"),
    Race("R53", "OFFSET", "Cut at zero: four different situations, and one answer for all", "OpenAI", "WebSocket"),
    Race("R55", "OFFSET", "One start time for the whole call: the second item's position is the call's age", "OpenAI", "Twilio"),
    Race("R56", "OFFSET", "The caller's media clock is used as the position in the agent's speech", "OpenAI", "Twilio"),
    Race("R58", "OFFSET", "The server counts 85 ms less than it sent, and its refusal ends the call", "OpenAI", "WebSocket"),
    Race("R60", "OFFSET", "Fractions of a millisecond are refused, and positions out of range are ignored in silence", "OpenAI", "WebSocket"),
    # Errors
    Race("R63", "ERR-ROUTE", "The refusal names its request, and the request waits for a timeout", "OpenAI", "WebSocket"),
    Race("R64", "ERR-ROUTE", "Client and server ask for the same reply at once, and that ends the call", "OpenAI", "WebSocket"),
    Race("R65", "ERR-ROUTE", "The end of the response forgets the cancel whose error is still to come", "OpenAI", "WebRTC"),
    Race("R67", "ERR-ROUTE", "A refused truncate is taken for the answer to the cancel", "OpenAI, xAI", "WebSocket"),
    # The dead and the endless
    Race("R68", "ZOMBIE", "Audio of a closed context passes, for there is no context to compare it with", "ElevenLabs, Azure, Deepgram, Inworld", "WebSocket"),
    Race("R71", "ZOMBIE", "A click on stop is undone by the next chunk of the same turn", "ElevenLabs Agents", "WebSocket"),
    Race("R73", "ZOMBIE", "The interrupted turn's end closes the turn that answers the interruption", "Gemini Live", "WebSocket"),
    Race("R74", "LEDGER", "Late words of an interrupted turn are written into the next one", "speech synthesis with word times", "WebSocket"),
    Race("R76", "LIMBO", "A discard flag waits for an end that its own rule discards", "self-hosted servers (speech-to-speech)", "WebSocket"),
    Race("R77", "LIMBO", "Ownership ends at interrupted, so the turn's real end looks stale", "Gemini Live", "WebSocket"),
    Race("R79", "LIMBO", "Interrupted between its turn coming and its start; every later reply waits for it", "OpenAI", "any"),
    Race("R80", "LIMBO", "The report that playback has ended never comes", "any", "avatar workers, custom sinks"),
    Race("R82", "LIMBO", "The socket drops in the middle of a response, and whoever waits for it waits for ever", "OpenAI", "WebSocket"),
    Race("R83", "LIMBO", "After a reconnect the model is told what was generated, and the old reply runs into the new", "OpenAI", "WebSocket"),
    Race("R85", "LIMBO", "Waits for the end of a speech that never began", "speech pipelines", "any"),
    # Paused
    Race("R86", "REVERSAL", "The interruption is real, and the parked frames are let go before they are cleared", "any", "LiveKit room output"),
    Race("R87", "REVERSAL", "The latch of an interruption that is over swallows the next reply", "any", "LiveKit room output"),
    Race("R88", "REVERSAL", "A cough costs the caller the rest of the reply", "OpenAI", "Twilio, LiveKit"),
    # Tools
    Race("R90", "TOOL-DEBT", "The interrupt drops the result of a tool that has run, and it runs again", "any", "any"),
    Race("R91", "TOOL-DEBT", "An interrupted tool call is never answered, and the model waits for ever", "Gemini Live", "WebSocket"),
    Race("R93", "TOOL-DEBT", "Several tools at once, and a reply for each of them", "xAI", "WebSocket"),
    Race("R94", "TOOL-DEBT", "The late end of a cancelled reply brings its calls, and they are run", "OpenAI", "WebSocket"),
    # Words
    Race("R96", "LEDGER", "Interrupted early, and all the words are kept, or none", "any", "room outputs, with and without aligned text"),
    Race("R99", "LEDGER", "The server forgets its transcript with the truncate, and takes ours along", "OpenAI", "WebSocket"),
)  # fmt: skip

RACES: Final = {race.number: race for race in _CATALOGUE}

assert tuple(CLASSES) == get_args(Class)
