"""How a server without response ids answers: the life of a turn, one decision at a time.

Each method is something the server may do at that moment and returns what it then says; when to do it is decided
outside (a Scene, the emulator's clock, the explorer). Calling what cannot happen raises `ValueError`.
"""

from .turns_dialect import Dialect, Said
from .turns_state import By, Item, Turn
from .voice import speech


class Replies(Dialect):
    """The server's deeds, in whatever words its dialect has for them."""

    __slots__ = ()

    # What the server says by itself.

    def begins(self, response_id: str | None = None, *, announced: bool = True) -> Said:
        """A turn begins (None: the oldest that waits); unannounced, nobody is told."""
        waits = self.waiting[0] if response_id is None and self.waiting else response_id
        turn = self._floor(waits or "", "requested")
        turn = self._change(turn.id, state="in_progress")
        said = self._say(self._begin(turn), turn) if announced else []
        self._change(turn.id, begun=bool(said))
        return said

    def speaks(self, response_id: str, ms: int, text: str | None = None) -> Said:
        """`ms` more audio, its words first; `text` "" leaves the words out. A turn not begun begins with it."""
        if self.responses[response_id].state == "interrupted":
            return self.trailing_delta(response_id, ms, text or "")
        said, turn = self._talks(response_id)
        begun, item = self._message(turn)
        return said + begun + self._speak(turn, item, ms, text, remembered=True)

    def trailing_delta(self, response_id: str, ms: int = 100, text: str = "") -> Said:
        """Audio that was under way when the turn was stopped, or even after its end."""
        turn = self.responses[response_id]
        if turn.state not in ("interrupted", "cancelled"):
            raise ValueError(f"{response_id} is {turn.state}: it has no trailing audio")
        turn = self._change(response_id, trailing=turn.trailing + 1)
        begun, item = self._last_message(turn)
        remembered = self.rules.memory == "generated"
        return begun + self._speak(turn, item, ms, text, remembered=remembered)

    def says(self, response_id: str, text: str) -> Said:
        """Words without audio: of what was spoken, or is about to be."""
        turn = self.responses[response_id]
        said: Said = []
        if turn.state in ("requested", "in_progress"):
            said, turn = self._talks(response_id)
        begun, item = self._last_message(turn)
        words = self._say(self._words(turn, item, text), turn, item)
        self._change_item(item.id, transcript=item.transcript + text)
        self._change(response_id, begun=True)
        return said + begun + words

    def calls(self, response_id: str, name: str = "lookup", arguments: str = "{}") -> Said:
        """A function call; `arguments` is JSON."""
        said, turn = self._talks(response_id)
        item = self._new_item(turn, "function_call", name=name, arguments=arguments)
        said += self._say(self._call(turn, item), turn, item)
        self._change(response_id, begun=True)
        return said

    def ends_item(self, response_id: str) -> Said:
        """The stretch of speech is complete; more of the turn is another one."""
        turn = self._floor(response_id, "in_progress")
        item = self._open_message(response_id)
        if item is None:
            raise ValueError(f"{response_id} speaks nothing that could end")
        return self._end_item(turn, item)

    def ends_generation(self, response_id: str) -> Said:
        """The model has made all of the turn; its end may be said later."""
        turn = self._floor(response_id, "in_progress")
        item = self._open_message(response_id)
        said = self._end_item(turn, item) if item is not None else []
        said += self._say(self._generation_end(turn), turn, item)
        self._change(response_id, state="generated")
        return said

    def finishes(self, response_id: str, *, premature: bool = False) -> Said:
        """The turn is over, after the end of its generation unless interrupted or `premature`.

        A turn not begun ends without content.
        """
        turn = self._floor(response_id, "requested", "in_progress", "generated", "interrupted")
        said: Said = []
        if turn.state == "requested":
            said += self.begins(response_id)
        if turn.state in ("requested", "in_progress") and not premature:
            said += self.ends_generation(response_id)
        turn = self.responses[response_id]
        item = self._open_message(response_id)
        if item is not None:
            said += self._end_item(turn, item)
        status = "cancelled" if turn.state == "interrupted" else "completed"
        turn = self._change(response_id, state=status)
        return said + self._say(self._turn_end(turn), turn, by=turn.stopped_by)

    def dies(self, response_id: str) -> Said:
        """Nothing more is said of the turn, not even its end."""
        self._floor(response_id, "requested", "in_progress", "generated", "interrupted")
        self._change(response_id, state="died")
        if not self.responses[response_id].items:
            del self.responses[response_id]
        return []

    def refuses(self, response_id: str | None = None, reason: str = "refused") -> Said:
        """A request accepted and then given up (None: the oldest that waits)."""
        waits = self.waiting[0] if response_id is None and self.waiting else response_id
        turn = self._floor(waits or "", "requested")
        del self.responses[turn.id]
        return self._say(self._refusal(turn, reason), turn)

    def speaks_up(self) -> Said:
        """The server decides to say something that nobody asked for."""
        self._spontaneous += 1
        self._new_turn("server", "")
        return []

    def loses_connection(self) -> Said:
        """The connection is gone: nothing is sent or taken any more. A new one is a new conversation."""
        self.closed = True
        return []

    # The caller.

    def hears_speech_start(
        self, now_ms: int, *, playing: bool = False, heard_ms: int | None = None
    ) -> Said:
        """The caller begins to speak; nothing where the server does not listen for it.

        It stops the turn that runs, if the rules say so. `playing`: where none runs, the turn that is over is said
        to be interrupted. `heard_ms` is how much of the turn the server reckons heard.
        """
        if self.closed or self._speaking or not self.detects_speech:
            return []
        self._speech_turns += 1
        said = self._caller_starts(now_ms)
        if not self.speech_interrupts:
            return said
        heard = self._still_playing() if playing else None
        if heard is None:
            return said + self._interrupts("caller", heard_ms)
        self._change(heard.id, noticed=True)
        self._cut_memory(heard, heard_ms)
        return said + self._say(self._interruption(heard, "caller"), heard, by="caller")

    def hears_speech_stop(self, now_ms: int) -> Said:
        """The caller is silent again, and is answered if the rules say so."""
        if self.closed or not self._speaking or not self.detects_speech:
            return []
        return self._caller_stops(now_ms)

    # What a dialect makes of a client message.

    def _asks(self, request: str, *, interrupts: bool = False) -> Said:
        """The client asks for a response; `request` is its text."""
        return self._accepts("client", request, interrupts=interrupts)

    def _interrupts(self, by: By, heard_ms: int | None = None) -> Said:
        """The turn that runs is stopped; requests not begun fare as the rules say. Nothing if nothing runs."""
        head, said = self.head, list[str | bytes]()
        if head is not None and head.state in ("in_progress", "generated"):
            said += self._stops(head, by, heard_ms)
        if self.rules.pending != "kept":
            said += self._gives_up_waiting(by)
        return said

    def _caller_starts(self, now_ms: int) -> Said:
        self._speaking = True
        return self._say(self._speech_start(now_ms))

    def _caller_stops(self, now_ms: int) -> Said:
        self._speaking = False
        said = self._say(self._speech_stop(now_ms))
        return said + self._accepts("caller") if self.rules.answers_speech else said

    def _has_result(self, call_id: str) -> bool:
        """A function call has its result; False if none waits by that name."""
        for item in self.items.values():
            if item.kind == "function_call" and item.open and item.call_id == call_id:
                self._change_item(item.id, open=False)
                return True
        return False

    # Inside.

    def _accepts(self, by: By, request: str = "", *, interrupts: bool = False) -> Said:
        said = self._interrupts(by) if interrupts else []
        if self.rules.second_request == "supersedes":
            said += self._gives_up_waiting(by)
        self._new_turn(by, request)
        return said

    def _stops(self, turn: Turn, by: By, heard_ms: int | None) -> Said:
        calls = [self.items[name] for name in self.open_calls(turn.id)]
        for call in calls:
            self._change_item(call.id, open=False, void=True)
        self._change(turn.id, state="interrupted", stopped_by=by, noticed=True)
        self._cut_memory(turn, heard_ms)
        said = self._say(self._interruption(turn, by), turn, by=by)
        return said + self._say(self._void_calls(turn, calls), turn) if calls else said

    def _gives_up_waiting(self, by: By) -> Said:
        """Only the one that has the floor may be under way already; of the others nobody hears."""
        said: Said = []
        for name in self.waiting:
            if self.rules.pending == "ended" and self.head is self.responses[name]:
                said += self._stops(self.responses[name], by, None)
            else:
                del self.responses[name]
        return said

    def _still_playing(self) -> Turn | None:
        """The turn that is over and may be played yet: the one before, if it spoke and nothing came since."""
        last = next(reversed(self.responses.values()), None)
        if not self.rules.late_notice or last is None or not last.done or last.noticed:
            return None
        return last if any(item.generated_ms for item in self._items_of(last.id)) else None

    def _floor(self, response_id: str, *states: str) -> Turn:
        turn = self.responses.get(response_id)
        if turn is None or turn is not self.head or turn.state not in states:
            state = "unknown" if turn is None else turn.state
            raise ValueError(f"{response_id} is {state}, or not the oldest that is not over")
        return turn

    def _talks(self, response_id: str) -> tuple[Said, Turn]:
        turn = self._floor(response_id, "requested", "in_progress")
        if self.rules.waits_for_tools and self.open_calls(response_id):
            raise ValueError(f"{response_id} waits for the result of a function call")
        said = self.begins(response_id) if turn.state == "requested" else []
        return said, self.responses[response_id]

    def _message(self, turn: Turn) -> tuple[Said, Item]:
        item = self._open_message(turn.id)
        if item is not None:
            return [], item
        item = self._new_item(turn, "message")
        return self._say(self._item_begin(turn, item), turn, item), item

    def _last_message(self, turn: Turn) -> tuple[Said, Item]:
        spoken = [item for item in self._items_of(turn.id) if item.kind == "message"]
        return ([], spoken[-1]) if spoken else self._message(turn)

    def _speak(
        self, turn: Turn, item: Item, ms: int, text: str | None, *, remembered: bool
    ) -> Said:
        words = f"[{item.generated_ms}] " if text is None else text
        audio = speech(item.voice, item.generated_ms, ms, self.bytes_per_ms)
        said = self._say(self._words(turn, item, words), turn, item) if words else []
        said += self._say(self._audio(turn, item, audio), turn, item)
        self._change_item(
            item.id,
            generated_ms=item.generated_ms + ms,
            remembered_ms=item.remembered_ms + ms * remembered,
            transcript=item.transcript + words,
        )
        self._change(turn.id, begun=True)
        return said

    def _end_item(self, turn: Turn, item: Item) -> Said:
        said = self._say(self._item_end(turn, item), turn, item)
        self._change_item(item.id, open=False)
        return said
