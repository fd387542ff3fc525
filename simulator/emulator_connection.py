"""One client of the emulator: its model, its clock, its plans."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, TypeAlias, cast

import anyio
import anyio.abc
from aiohttp import WSMsgType, web
from anyio.streams.memory import MemoryObjectReceiveStream

from .emulator_deeds import Deeds, Edge, Heard, Model, Said, State
from .emulator_plan import Plan, PlannedItem
from .openai_wire import BYTES_PER_MS

OnEvent: TypeAlias = Callable[[int, Literal["received", "sent"], str | bytes], None]
"""Called with the connection's number, the direction seen from the server, and the message."""

_SILENCE: Final = {"audio/pcm": b"\x00", "audio/pcmu": b"\xff\x7f", "audio/pcma": b"\xd5\x55"}
_VAD_STEP_MS: Final = 20
_REASON_BYTES: Final = 123
"""What a close frame has room for (RFC 6455, 5.5)."""


class SilenceRule:
    """Stands in for speech detection: whatever is not digital silence is speech.

    `silence_ms` of silence after speech ends it, counted in audio, not in time.
    """

    def __init__(self) -> None:
        self._speaking = False
        self._silent_ms = 0

    def forget(self) -> None:
        """Take the caller to be silent: who speaks on begins to speak."""
        self._speaking = False
        self._silent_ms = 0

    def listen(
        self, audio: bytes, encoding: str, silence_ms: int, bytes_per_ms: int | None = None
    ) -> Iterator[Edge]:
        """The starts and stops of speech within `audio`, which follows what was listened to before.

        `bytes_per_ms` is by default OpenAI's for the encoding.
        """
        bytes_per_ms = bytes_per_ms or BYTES_PER_MS[encoding]
        step_bytes = _VAD_STEP_MS * bytes_per_ms
        for at in range(0, len(audio), step_bytes):
            piece = audio[at : at + step_bytes]
            if piece.strip(_SILENCE[encoding]):
                self._silent_ms = 0
                if not self._speaking:
                    self._speaking = True
                    yield "start"
            elif self._speaking:
                self._silent_ms += len(piece) // bytes_per_ms
                if self._silent_ms >= silence_ms:
                    self._speaking = False
                    yield "stop"


class _Answer:
    """How one request is being answered."""

    def __init__(self, request: object, plan: Plan) -> None:
        self.request = request
        self.plan = plan
        self.changed = anyio.Event()
        """Set whenever the client was heard; then there is another."""


class Connection:
    """One client: its model, and the plans its responses follow in the order they are asked for."""

    def __init__(
        self,
        number: int,
        deeds: Deeds,
        *,
        plans: Sequence[Plan],
        then: Plan,
        silence_ms: int,
        on_event: OnEvent | None,
    ) -> None:
        self.number = number
        self._deeds = deeds
        self._plans = plans
        self._then = then
        self._silence_ms = silence_ms
        self._on_event = on_event
        self._rule = SilenceRule()
        self._answers: dict[str, _Answer] = {}
        self._answered = 0
        self._outbox, self._unsent = anyio.create_memory_object_stream[str | bytes | None](math.inf)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._began = anyio.current_time()
        self._played = self._began
        """When a client that plays what comes as it comes will have played all."""

    @property
    def model(self) -> Model:
        """The server's half of the call; `model.memory()` is the oracle, also after the end."""
        return cast(Model, self._deeds.model)

    async def run(self, socket: web.WebSocketResponse, drop: Callable[[], None]) -> None:
        """Serve until either side leaves, the plan drops the connection, or `close` is called."""
        self._drop = drop
        with self._outbox, self._unsent:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._write, socket, self._unsent)
                self._post(self._deeds.model.connects())
                async for message in socket:
                    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                        self._take(message.data)
                tasks.cancel_scope.cancel()
        self._deeds.model.loses_connection()

    def close(self) -> None:
        """Stop serving; safe at any time."""
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    # Messages.

    async def _write(
        self,
        socket: web.WebSocketResponse,
        unsent: MemoryObjectReceiveStream[str | bytes | None],
    ) -> None:
        async for message in unsent:
            try:
                if message is None:
                    code, reason = self._deeds.goodbye or (1000, "")
                    await socket.close(code=code, message=reason.encode()[:_REASON_BYTES])
                    return
                if isinstance(message, str):
                    await socket.send_str(message)
                else:
                    await socket.send_bytes(message)
            except ConnectionError:  # the client vanished; the reader ends the connection
                return
            self._log("sent", message)

    def _post(self, said: Said) -> None:
        for message in said:
            self._outbox.send_nowait(message)

    def _log(self, direction: Literal["received", "sent"], message: str | bytes) -> None:
        if self._on_event is not None:
            self._on_event(self.number, direction, message)

    def _now_ms(self) -> int:
        return int((anyio.current_time() - self._began) * 1000)

    def _take(self, message: str | bytes) -> None:
        self._log("received", message)
        answer = self._deeds.model.receive(message, self._now_ms())
        self._post(answer)
        if self._deeds.model.closed:
            self._outbox.send_nowait(None)
            return
        heard = self._deeds.heard(message)
        if heard is not None and not answer:
            self._listen(heard)
        self._follow()

    def _listen(self, heard: Heard) -> None:
        if not self._deeds.listening:
            self._rule.forget()
        silence_ms = self._deeds.silence_ms
        if silence_ms is None:
            silence_ms = self._silence_ms
        for edge in self._rule.listen(heard.audio, heard.encoding, silence_ms, heard.bytes_per_ms):
            unplayed_ms = max(0, int((self._played - anyio.current_time()) * 1000))
            self._post(self._deeds.speech(edge, self._now_ms(), unplayed_ms))

    # Answering.

    def _follow(self) -> None:
        """Start answering what was newly accepted; wake what waits for the client."""
        for name, request in self._deeds.requests().items():
            answer = self._answers.get(name)
            if self._tasks is not None and (answer is None or answer.request is not request):
                nth, self._answered = self._answered, self._answered + 1
                plan = self._plans[nth] if nth < len(self._plans) else self._then
                if answer is not None:
                    answer.changed.set()
                self._answers[name] = answer = _Answer(request, plan)
                self._tasks.start_soon(self._answer, name, answer)
        for answer in self._answers.values():
            answer.changed.set()
            answer.changed = anyio.Event()

    def _state(self, name: str, answer: _Answer) -> State:
        """That of the response, `over` once its name is another's."""
        return self._deeds.state(name) if self._answers.get(name) is answer else "over"

    async def _answer(self, name: str, answer: _Answer) -> None:
        plan = answer.plan
        if plan.drop_connection_after_ms is not None and self._tasks is not None:
            self._tasks.start_soon(self._drop_after, plan.drop_connection_after_ms)

        def waits() -> bool:
            return self._state(name, answer) == "waits"

        due = anyio.current_time() + plan.created_after_ms / 1000
        await self._while(answer, waits, due)
        await self._while(answer, lambda: waits() and name not in self._deeds.requests())
        if waits():
            if plan.refuse is not None:
                self._post(self._deeds.refuses(name, plan.refuse))
                self._follow()
                return
            if plan.created or plan.items:
                self._post(self._deeds.begins(name, announced=plan.created))
                await self._generate(name, answer)
        if plan.end == "never":
            await self._while(answer, lambda: self._state(name, answer) in ("waits", "runs"))
        await self._trail(name, answer)
        state = self._state(name, answer)
        if state != "over":
            end = None if state == "stopped" or plan.end == "never" else plan.end
            self._post(self._deeds.finishes(name, end))
            self._follow()

    async def _generate(self, name: str, answer: _Answer) -> None:
        plan, deeds = answer.plan, self._deeds
        due = anyio.current_time() + plan.first_delta_after_ms / 1000

        def runs() -> bool:
            return self._state(name, answer) == "runs"

        for item in plan.items:
            if not await self._while(answer, runs, due):
                return
            said, spoken = deeds.opens(name, item)
            self._post(said)
            for ms, words in _deltas(item, plan.delta_ms, deeds.whole_words) if spoken else ():
                self._post(deeds.speaks(name, ms, words))
                self._played = max(self._played, anyio.current_time()) + ms / 1000
                due += ms / 1000 / plan.speed
                if not await self._while(answer, runs, due):
                    self._played = anyio.current_time()
                    return
            await self._while(answer, lambda: runs() and deeds.waits_for_client(name))
            due = max(due, anyio.current_time())

    async def _trail(self, name: str, answer: _Answer) -> None:
        """What still comes of a response that was told to stop."""
        plan, deeds = answer.plan, self._deeds

        def stopped() -> bool:
            return self._state(name, answer) == "stopped"

        if not stopped():
            return
        for _ in range(plan.trailing_deltas if deeds.can_trail(name) else 0):
            await anyio.sleep(plan.delta_ms / 1000 / plan.speed)
            if not stopped():
                return
            self._post(deeds.trails(name, plan.delta_ms))
        await anyio.sleep(plan.done_after_cancel_ms / 1000)

    async def _drop_after(self, ms: int) -> None:
        await anyio.sleep(ms / 1000)
        self._drop()
        self.close()

    async def _while(
        self, answer: _Answer, holds: Callable[[], bool], due: float = math.inf
    ) -> bool:
        """Wait until `due`, or until it holds no more; returns whether it still holds."""
        with anyio.CancelScope(deadline=due):
            while holds():
                await answer.changed.wait()
        return holds()


def _deltas(
    item: PlannedItem, delta_ms: int, whole_words: bool
) -> Iterator[tuple[int, str | None]]:
    """The pieces of a message's audio with their share of its words; words are made up when it has none."""
    count = max(1, math.ceil(item.ms / delta_ms))
    words = item.text.split()
    for at in range(count):
        share = words[len(words) * at // count : len(words) * (at + 1) // count]
        if whole_words:
            share = [] if at else words
        ms = min(delta_ms, item.ms - at * delta_ms)
        if ms > 0:
            yield ms, "".join(f"{word} " for word in share) if words else None
