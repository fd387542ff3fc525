"""One client of the emulator: its model, its clock, its plans."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

import anyio
import anyio.abc
import msgspec
from aiohttp import WSMsgType, web
from anyio.streams.memory import MemoryObjectReceiveStream

from .emulator_plan import Plan, PlannedItem
from .openai import OpenAIServer
from .openai_wire import BYTES_PER_MS, decode_audio

OnEvent: TypeAlias = Callable[[int, Literal["received", "sent"], str | bytes], None]
"""Called with the connection's number, the direction seen from the server, and the message."""

_SILENCE: Final = {"audio/pcm": b"\x00", "audio/pcmu": b"\xff\x7f", "audio/pcma": b"\xd5\x55"}
_VAD_STEP_MS: Final = 20


class SilenceRule:
    """Stands in for speech detection: whatever is not digital silence is speech.

    `silence_ms` of silence after speech ends it, counted in audio, not in time.
    """

    def __init__(self) -> None:
        self._speaking = False
        self._silent_ms = 0

    def listen(
        self, audio: bytes, encoding: str, silence_ms: int
    ) -> Iterator[Literal["start", "stop"]]:
        """The starts and stops of speech within `audio`, which follows what was listened to before."""
        step_bytes = _VAD_STEP_MS * BYTES_PER_MS[encoding]
        for at in range(0, len(audio), step_bytes):
            piece = audio[at : at + step_bytes]
            if piece.strip(_SILENCE[encoding]):
                self._silent_ms = 0
                if not self._speaking:
                    self._speaking = True
                    yield "start"
            elif self._speaking:
                self._silent_ms += len(piece) // BYTES_PER_MS[encoding]
                if self._silent_ms >= silence_ms:
                    self._speaking = False
                    yield "stop"


class _Append(msgspec.Struct):
    type: str
    audio: str = ""


class Connection:
    """One client: its model, and the plans its responses follow in the order they are asked for."""

    def __init__(
        self,
        number: int,
        model: OpenAIServer,
        *,
        plans: Sequence[Plan],
        then: Plan,
        silence_ms: int,
        on_event: OnEvent | None,
    ) -> None:
        self.number = number
        self.model = model
        """The server's half of the call; `model.memory()` is the oracle, also after the end."""
        self._plans = plans
        self._then = then
        self._silence_ms = silence_ms
        self._on_event = on_event
        self._rule = SilenceRule()
        self._answering: dict[str, anyio.Event] = {}
        self._outbox, self._unsent = anyio.create_memory_object_stream[str](math.inf)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._began = anyio.current_time()

    async def run(self, socket: web.WebSocketResponse, drop: Callable[[], None]) -> None:
        """Serve until the client leaves, the plan drops it, or `close` is called."""
        self._drop = drop
        with self._outbox, self._unsent:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._write, socket, self._unsent)
                self._post(self.model.connects())
                async for message in socket:
                    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                        self._take(message.data)
                tasks.cancel_scope.cancel()
        self.model.loses_connection()

    def close(self) -> None:
        """Stop serving; safe at any time."""
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    async def _write(
        self, socket: web.WebSocketResponse, unsent: MemoryObjectReceiveStream[str]
    ) -> None:
        async for event in unsent:
            try:
                await socket.send_str(event)
            except ConnectionError:  # the client vanished; the reader ends the connection
                return
            self._log("sent", event)

    def _post(self, events: list[str]) -> None:
        for event in events:
            self._outbox.send_nowait(event)

    def _log(self, direction: Literal["received", "sent"], message: str | bytes) -> None:
        if self._on_event is not None:
            self._on_event(self.number, direction, message)

    def _now_ms(self) -> int:
        return int((anyio.current_time() - self._began) * 1000)

    def _take(self, message: str | bytes) -> None:
        self._log("received", message)
        answer = self.model.receive(message, self._now_ms())
        self._post(answer)
        if not answer and isinstance(message, str):
            self._listen(message)
        self._follow()

    def _listen(self, message: str) -> None:
        said = msgspec.json.decode(message, type=_Append)
        if said.type != "input_audio_buffer.append" or not self.model.detects_turns:
            return
        silence_ms = self.model.silence_duration_ms
        if silence_ms is None:
            silence_ms = self._silence_ms
        audio = decode_audio(said.audio)
        for edge in self._rule.listen(audio, self.model.input_format, silence_ms):
            hears = (
                self.model.hears_speech_start if edge == "start" else self.model.hears_speech_stop
            )
            self._post(hears(self._now_ms()))

    def _follow(self) -> None:
        """Start answering what was newly accepted; wake the answers that were told to stop."""
        for name, stopped in self._answering.items():
            response = self.model.responses.get(name)
            if response is not None and response.state == "cancelling":
                stopped.set()
        holder = self.model.slot_holder()
        for name in self.model.waiting:
            response = self.model.responses[name]
            mine = response.out_of_band or (holder is not None and holder.id == name)
            if name not in self._answering and mine and self._tasks is not None:
                nth = len(self._answering)
                plan = self._plans[nth] if nth < len(self._plans) else self._then
                self._answering[name] = stopped = anyio.Event()
                self._tasks.start_soon(self._answer, name, plan, stopped)

    async def _answer(self, name: str, plan: Plan, stopped: anyio.Event) -> None:
        if plan.drop_connection_after_ms is not None and self._tasks is not None:
            self._tasks.start_soon(self._drop_after, plan.drop_connection_after_ms)
        await anyio.sleep(plan.created_after_ms / 1000)
        if self.model.muted or name not in self.model.waiting:
            return
        if plan.refuse is not None:
            self._post(self.model.refuses(name, code=plan.refuse, message="Refused as planned."))
            self._follow()
            return
        if plan.created or plan.items:
            self._post(self.model.creates(name, created_event=plan.created))
            await self._generate(name, plan, stopped)
            if plan.end == "never":
                await stopped.wait()
        elif plan.end == "never":
            return
        if stopped.is_set():
            await self._trail(name, plan)
        end = None if stopped.is_set() or plan.end == "never" else plan.end
        self._post(self.model.finishes(name, end))
        self._follow()

    async def _generate(self, name: str, plan: Plan, stopped: anyio.Event) -> None:
        due = anyio.current_time() + plan.first_delta_after_ms / 1000
        for item in plan.items:
            if await _stopped_before(due, stopped):
                return
            self._post(self.model.announces(name, item.kind, name=item.name))
            item_id = self.model.responses[name].items[-1]
            if item.kind == "function_call":
                self._post(self.model.calls(name, item_id, item.text or "{}"))
            elif self.model.conversation.items[item_id].modality == "text":
                self._post(self.model.says_text(name, item_id, item.text))
            else:
                for ms, words in _deltas(item, plan.delta_ms):
                    self._post(self.model.speaks(name, item_id, ms, words))
                    due += ms / 1000 / plan.speed
                    if await _stopped_before(due, stopped):
                        return

    async def _trail(self, name: str, plan: Plan) -> None:
        speaking = [
            item_id
            for item_id in self.model.open_items(name)
            if self.model.conversation.items[item_id].modality == "audio"
        ]
        if speaking:
            for _ in range(plan.trailing_deltas):
                await anyio.sleep(plan.delta_ms / 1000 / plan.speed)
                self._post(self.model.trailing_delta(name, speaking[-1], plan.delta_ms))
        await anyio.sleep(plan.done_after_cancel_ms / 1000)

    async def _drop_after(self, ms: int) -> None:
        await anyio.sleep(ms / 1000)
        self._drop()
        self.close()


async def _stopped_before(due: float, stopped: anyio.Event) -> bool:
    with anyio.CancelScope(deadline=due):
        await stopped.wait()
    return stopped.is_set()


def _deltas(item: PlannedItem, delta_ms: int) -> Iterator[tuple[int, str | None]]:
    """The pieces of a message's audio with their share of its words; words are made up when it has none."""
    count = max(1, math.ceil(item.ms / delta_ms))
    words = item.text.split()
    for at in range(count):
        share = words[len(words) * at // count : len(words) * (at + 1) // count]
        ms = min(delta_ms, item.ms - at * delta_ms)
        if ms > 0:
            yield ms, "".join(f"{word} " for word in share) if words else None
