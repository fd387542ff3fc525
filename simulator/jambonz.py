"""A model of the jambonz `listen` verb with streamed bidirectional audio, sans-I/O: marks say if they were cleared.

facts/transports.md 7: the page "listen" of the jambonz documentation, and lws_glue.cpp of
jambonz/freeswitch-modules at 30f21899 for what no page tells. Not here: `playAudio`, which is another mode, and the
40 to 80 ms of a prebuffer that a kill leaves to play.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from .buffer import Echo, MarksOnClear
from .carrier import UNLIMITED_MS, StreamCarrier, rate_hz, read, spoken, told
from .twilio import Name

MOST_MARKS: Final = 30
"""Marks that may be out; further ones are lost without a word."""

KEY_UNITS: Final = 1600
"""How long a key is held, in RTP timestamp units of 8 kHz, as in the documented example."""

_FORMATS: Final = ("pcm16_8k", "pcm16_16k", "pcm16", "pcm16_48k", "pcm16_64k")


class _Command(msgspec.Struct, forbid_unknown_fields=True, tag_field="type"):
    pass


class _Mark(_Command, tag="mark"):
    data: Name


class _KillAudio(_Command, tag="killAudio"):
    pass


class _ClearMarks(_Command, tag="clearMarks"):
    pass


class _Disconnect(_Command, tag="disconnect"):
    pass


_DECODER: Final[msgspec.json.Decoder[_Mark | _KillAudio | _ClearMarks | _Disconnect]] = (
    msgspec.json.Decoder(_Mark | _KillAudio | _ClearMarks | _Disconnect)
)


class JambonzCarrier(StreamCarrier[bytes]):
    """jambonz's end of one websocket. When the caller hangs up, the socket is closed and nothing said.

    `audio` is `pcm16` (24 kHz) or `pcm16_` with `8k`, `16k`, `48k` or `64k`, the same both ways; `ValueError` is
    raised for another format. Two faults of the source code are rules, off unless asked for:

    * `loses_marks`: a mark is an anonymous marker in the audio. A kill empties the buffer, yet as many markers as
      it cleared are then swallowed when they should tell of later marks, and a mark with no audio behind it waits.
      So each mark comes back in the place of a later one, and the last ones never do.
    * `false_marks`: a sample of −1 looks like a marker. The mark is back before the audio ahead of it has played,
      here at once, as https://github.com/jambonz/jambonz-feature-server/issues/811 reports.

    `passes_keys` is the verb's `passDtmf`.
    """

    __slots__ = (
        "_audio",
        "_awaited",
        "_false_marks",
        "_late",
        "_loses_marks",
        "_metadata",
        "_passes_keys",
        "_unplaced",
    )

    call_sid: Final = "jambonz-call"
    account_sid: Final = "jambonz-account"

    def __init__(
        self,
        *,
        audio: str = "pcm16_8k",
        marks_on_clear: MarksOnClear = "returned_flagged",
        marks_echoed: bool = True,
        limit_ms: int = UNLIMITED_MS,
        metadata: Mapping[str, object] | None = None,
        passes_keys: bool = True,
        loses_marks: bool = False,
        false_marks: bool = False,
    ) -> None:
        super().__init__(
            spoken(audio, _FORMATS, "jambonz"),
            marks_on_clear=marks_on_clear,
            marks_echoed=marks_echoed,
            limit_ms=limit_ms,
        )
        self._audio = audio
        self._metadata = dict(metadata or {})
        self._passes_keys = passes_keys
        self._loses_marks = loses_marks
        self._false_marks = false_marks
        self._awaited = 0  # markers to be swallowed
        self._late: tuple[str, ...] = ()  # marks whose own marker has passed for another
        self._unplaced: tuple[str, ...] = ()  # marks that wait for audio to be put before

    def key(self) -> tuple[object, ...]:
        """What decides the future, what was heard and warned of; hashable."""
        return (*super().key(), self._awaited, self._late, self._unplaced)

    def caller_presses(self, digit: str) -> list[str]:
        """The caller presses a key, which is told if `passes_keys`.

        Raises `RuntimeError` when the stream is not open.
        """
        pressed = super().caller_presses(digit)
        return pressed if self._passes_keys else []

    def _opening(self) -> list[str]:
        call = {
            "sampleRate": rate_hz(self._audio),
            "mixType": "mono",
            "callSid": self.call_sid,
            "accountSid": self.account_sid,
            "direction": "inbound",
            "from": "+15550100",
            "to": "+15550199",
        }
        return [told(call | self._metadata)]

    def _take(self, message: str | bytes) -> list[str]:
        if isinstance(message, bytes):
            unplaced, self._unplaced = self._unplaced, ()
            said = [each for name in unplaced for each in self._echoes(self.buffer.mark(name))]
            return said + self._put(message)
        match read(_DECODER, message):
            case _Mark(data=mark):
                return self._queue(mark.name)
            case _KillAudio():
                return self._kill()
            case _ClearMarks():
                self._forget()
                return []
            case _Disconnect():
                return self.stop(self.buffer.now_ms)

    def _queue(self, name: str) -> list[str]:
        out = len(self._late) + len(self.buffer.pending_marks) + len(self._unplaced)
        if out >= MOST_MARKS:
            self._warn_once(0, f"more than {MOST_MARKS} marks are out: mark dropped")
            return []
        if self._false_marks:
            return self._echoes([Echo(name, False, self.buffer.now_ms)])
        if self._awaited or self._late:
            self._unplaced += (name,)
            return []
        return self._mark_with(name)

    def _kill(self) -> list[str]:
        late, unplaced = self._late, self._unplaced
        self._late = self._unplaced = ()
        placed = len(self.buffer.pending_marks) - self.buffer.trailing_marks
        if self._loses_marks:
            self._awaited += len(late) + placed
        cleared = self.buffer.clear()
        if self.buffer.marks_on_clear in ("returned_flagged", "returned_unflagged"):
            at_ms = self.buffer.now_ms
            first = [Echo(name, True, at_ms) for name in late]
            cleared = first + cleared + [Echo(name, True, at_ms) for name in unplaced]
        return self._echoes(cleared)

    def _forget(self) -> None:
        if self._loses_marks:  # The markers of the others are taken out of the audio with them.
            lost = len(self._late) + len(self._unplaced) + self.buffer.trailing_marks
            self._awaited += lost
        self._late = self._unplaced = ()
        self.buffer.forget_marks()

    def _echoes(self, echoes: list[Echo]) -> list[str]:
        return super()._echoes(self._noticed(echoes) if self._loses_marks else echoes)

    def _noticed(self, echoes: list[Echo]) -> list[Echo]:
        """What comes back when markers pass that do not say whose they are."""
        noticed = []
        for echo in echoes:
            if echo.cleared:
                noticed.append(echo)
                continue
            self._late += (echo.name,)
            if self._awaited:
                self._awaited -= 1
            else:
                noticed.append(echo._replace(name=self._late[0]))
                self._late = self._late[1:]
        return noticed

    def _returned(self, echo: Echo) -> str:
        flagged = self.buffer.marks_on_clear == "returned_flagged"
        event = "cleared" if echo.cleared and flagged else "playout"
        return told({"type": "mark", "data": {"name": echo.name, "event": event}})

    def _says(self, frame: bytes) -> bytes:
        return frame

    def _key_pressed(self, digit: str) -> str:
        return told({"event": "dtmf", "dtmf": digit, "duration": str(KEY_UNITS)})
