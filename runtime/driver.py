"""The driver: a session with a clock, two streams of messages and a journal. The only place where a call awaits.

async def greet(driver: Driver) -> None:
    await driver.ready()
    handle = await driver.request(instructions="Greet the caller.")
    print((await handle.resolved()).verdict)

await Driver(openai, twilio).run(carrier_stream, connect_to_provider, greet)
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import anyio
import msgspec
from anyio.abc import TaskGroup

from .actions import Action, Problem, Side, StreamOpened
from .adapter import ProviderAdapter, TransportAdapter
from .ending import LOST, EndCode, Ended, Limits
from .errors import BargeinError, ProviderError, TransportError, UsageError
from .handles import Handle
from .journal import Journal
from .routing import Cause
from .session import Session, Settings
from .steps import Steps
from .streams import MessageStream, Outbox
from .view import CallView

__all__ = ["Driver", "Ended", "Limits", "Source"]

Source: TypeAlias = MessageStream | Callable[[], Awaitable[MessageStream]]
"""An open stream, or what opens one and raises a `BargeinError` if it cannot."""


class Driver:
    """Runs one call. Build it, then await `run`; everything else may be awaited meanwhile from any task.

    `settings` and `engine` are the session's. `on_action` is called with every action meant for the application, in
    order, from the task that caused it: be quick, and do not raise. `call` names the call in logs and journal.

    :raises UsageError: as `Session` does.
    """

    def __init__(
        self,
        provider: ProviderAdapter,
        transport: TransportAdapter,
        settings: Settings | None = None,
        *,
        engine: str = "table",
        journal: Journal | None = None,
        call: str = "call",
        on_action: Callable[[Action], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.ended: Ended | None = None
        """How the call ended; None before."""
        self._user = on_action
        self._steps = Steps(
            provider,
            transport,
            settings,
            engine=engine,
            journal=journal,
            call=call,
            on_action=self._note,
            outbox_bytes=self.limits.outbox_bytes,
        )
        self._streams: dict[Side, MessageStream] = {}
        self._over = anyio.Event()
        self._connected = anyio.Event()
        self._stream_opened = anyio.Event()
        self._earlier = anyio.Event()
        self._due_ms: int | None = None
        self._cause: Ended | None = None
        self._patience_ms: int | None = None

    # -- the application ----------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The call's session, to look at; what changes it goes through the driver."""
        return self._steps.session

    @property
    def view(self) -> CallView:
        """The call as it looks from outside."""
        return self._steps.view

    @property
    def call(self) -> str:
        """The call's name."""
        return self._steps.call

    @property
    def journal(self) -> Journal | None:
        """Where the call is written down."""
        return self._steps.journal

    @property
    def now_ms(self) -> int:
        """Milliseconds since the driver was made: the session's clock."""
        return self._steps.now_ms

    @property
    def received(self) -> dict[Side, int]:
        """How many messages have arrived from each side."""
        return self._steps.received

    async def connected(self) -> MessageStream:
        """Wait until the provider is connected; its stream."""
        await self._connected.wait()
        return self._streams["provider"]

    async def ready(self) -> None:
        """Wait until the provider is connected and the carrier has opened its stream."""
        await self._connected.wait()
        await self._stream_opened.wait()

    async def request(
        self,
        *,
        instructions: str | None = None,
        input: Any = None,  # noqa: A002, ANN401  the provider's own word and shape
        tools: Any = None,  # noqa: ANN401
        beside: bool = False,
    ) -> Handle:
        """Ask the model for a response. See `Session.request`.

        :raises UsageError: if the call is over, a value is no JSON, or `beside` cannot be had.
        """
        _must_be_json((instructions, input, tools))
        handle: Handle = await self._do(
            "request", instructions=instructions, input=input, tools=tools, beside=beside
        )
        return handle

    async def interrupt(self, scope: str | None = None, *, cause: Cause = "api") -> dict[str, Any]:
        """Silence the agent; answers what was really done. See `Session.interrupt` and `view.report`.

        :raises UsageError: if the call is over.
        """
        done: dict[str, Any] = await self._do("interrupt", scope=scope, cause=cause)
        return done

    async def tell(self, message: bytes) -> None:
        """Send the provider a message of your own, in order with ours.

        :raises UsageError: if the call is over.
        """
        await self._do("tell", message=message)

    async def configure(self, settings: Any) -> None:  # noqa: ANN401
        """Send the provider its session settings, in its own shape. Before `run` they are its first message.

        :raises UsageError: if the call is over, or the settings are no JSON.
        """
        _must_be_json(settings)
        await self._do("configure", settings=settings)

    def close(self, reason: str = "closed by us") -> None:
        """End the call as if the caller had hung up; `run` returns when all is tidied away."""
        self._end("closed", reason)

    # -- the call -----------------------------------------------------------------------------------

    async def run(
        self,
        transport: Source,
        provider: Source,
        script: Callable[["Driver"], Awaitable[None]] | None = None,
    ) -> Ended:
        """Run the call to its end, and tidy up: every handle resolved, both streams and the journal closed.

        What one side says before the other is there waits, in order. `script` runs beside the call and is cancelled
        with it. Losing the provider ends the call when the speech it had sent in full is over.

        :raises Exception: what the session or the script raised, if one of them broke.
        """
        try:
            async with anyio.create_task_group() as tasks:
                for side, source in (("transport", transport), ("provider", provider)):
                    tasks.start_soon(self._guard, self._serve, side, source, tasks)
                tasks.start_soon(self._guard, self._keep_time)
                if script is not None:
                    tasks.start_soon(self._guard, script, self)
                self._settle()
                await self._over.wait()
                tasks.cancel_scope.cancel()
        finally:
            self._end("closed", "cancelled")
            with anyio.CancelScope(shield=True):
                await self._tidy_up()
        if self._steps.crash is not None:
            raise self._steps.crash
        assert self.ended is not None, "just ended"
        return self.ended

    async def _guard(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:  # noqa: ANN401
        """Whatever breaks ends the call, and is raised once from `run`, in no group."""
        try:
            await work(*args)
        except Exception as bug:
            if self.ended is None or not _is_usage(bug):  # Being told that it is over is no bug.
                self._crashed(bug)

    async def _serve(self, side: Side, source: Source, tasks: TaskGroup) -> None:
        """Open one side, listen to it to its end, and tell the session."""
        if callable(source):
            try:
                stream = await source()
            except BargeinError as refused:
                self._lost(side, "refused", str(refused), refused)
                await self._push()
                return
        else:
            stream = source
        self._streams[side] = stream
        tasks.start_soon(self._guard, self._box(side).run, stream)
        if side == "provider":
            self._connected.set()
        await self._listen(side, stream)
        await self._push()

    async def _listen(self, side: Side, stream: MessageStream) -> None:
        steps, session = self._steps, self._steps.session
        while session.connected if side == "provider" else not session.hung_up:
            message = await stream.receive()
            if message is None:
                self._lost(side, LOST[side], stream.why)
                return
            if steps.message(side, message):
                self._settle()
            if steps.to_transport.queue or steps.to_provider.queue:
                await self._push()

    async def _keep_time(self) -> None:
        """Let the session's deadlines fire. They may move back unnoticed; then there is nothing to fire."""
        while True:
            wait_ms = None if self._due_ms is None else max(1, self._due_ms - self.now_ms)
            with anyio.move_on_after(None if wait_ms is None else wait_ms / 1000):
                await self._earlier.wait()
                self._earlier = anyio.Event()
            if self._due_ms is not None and self.now_ms >= self._due_ms:
                if not self._stream_opened.is_set() and self.now_ms >= self.limits.start_ms:
                    self._lost("transport", "carrier_lost", "the carrier never started a stream")
                else:
                    self._steps.verb("advance")
                    self._settle()
                await self._push()

    # -- shared -------------------------------------------------------------------------------------

    async def _do(self, verb: str, **arguments: Any) -> Any:  # noqa: ANN401
        if self.ended is not None:
            raise UsageError(f"the call is over: {self.ended.reason}")
        try:
            gave = self._steps.verb(verb, **arguments)
        except UsageError:
            raise
        except Exception as bug:
            self._crashed(bug)
            raise
        self._settle()
        await self._push()
        return gave

    def _lost(
        self, side: Side, code: EndCode, reason: str, error: BargeinError | None = None
    ) -> None:
        kind = ProviderError if side == "provider" else TransportError
        self._because(code, reason, error or kind(reason))
        self._steps.verb(f"{side}_lost", reason=reason)
        self._settle()

    def _settle(self) -> None:
        """After a step: is the call over, and if not, when must time be told?"""
        session, due_ms = self._steps.session, self._steps.session.next_deadline_ms
        if session.hung_up:
            self._because("hung_up", "the caller hung up")
            self._patience_ms = self._patience_ms or self.now_ms + int(1000 * self.limits.goodbye_s)
            if not (session.connected and session.owed) or self.now_ms >= self._patience_ms:
                self._end("hung_up", "the caller hung up")
            due_ms = min(due_ms or self._patience_ms, self._patience_ms)
        elif not session.connected and not (session.playout.open and session.playout.queue):
            self._end("provider_lost", "the provider is gone")
        if not self._stream_opened.is_set():
            start_ms = self.limits.start_ms
            due_ms = start_ms if due_ms is None else min(start_ms, due_ms)
        if due_ms is not None and (self._due_ms is None or due_ms < self._due_ms):
            self._earlier.set()
        self._due_ms = due_ms

    async def _push(self) -> None:
        """Write what can be written at once, the carrier's first: silence is what is waited for."""
        box = self._steps.to_transport
        if box.queue and await box.push():
            self._overflow("transport", box)
        box = self._steps.to_provider
        if box.queue and await box.push():
            self._overflow("provider", box)
            await self._push()

    def _overflow(self, side: Side, box: Outbox) -> None:
        waiting = f"it takes too little: {box.waiting_bytes} bytes wait"
        box.give_up()
        self._lost(side, "overflow", waiting)

    def _box(self, side: Side) -> Outbox:
        return self._steps.to_provider if side == "provider" else self._steps.to_transport

    def _note(self, action: Action) -> None:
        if isinstance(action, StreamOpened):
            self._stream_opened.set()
        elif isinstance(action, Problem) and action.fatal:
            self._because("refused", action.message, ProviderError(action.message))
            self._end("refused", action.message)
        if self._user is not None:
            self._user(action)

    def _because(self, code: EndCode, reason: str, error: BargeinError | None = None) -> None:
        """Why the call is going to end. What happened first is the cause."""
        self._cause = self._cause or Ended(code, reason, error)

    def _end(self, code: EndCode, reason: str) -> None:
        self._because(code, reason)
        self.ended = self._cause
        self._over.set()

    def _crashed(self, bug: Exception) -> None:
        self._steps.crash = self._steps.crash or bug
        self._end("crashed", f"{type(bug).__name__}: {bug}")

    async def _tidy_up(self) -> None:
        """Silence and resolve what is left, write it, close both sides, and end the journal."""
        steps, ended = self._steps, self.ended
        session = steps.session
        try:
            if any(response.verdict is None for response in session.responses.values()):
                steps.verb("interrupt", scope=None, cause="hangup")
            if session.connected and session.owed:
                steps.verb("provider_lost", reason="the call ended before the server had answered")
        except Exception as bug:
            self._crashed(bug)
        for handle in steps.handles.values():
            handle.abandon("call_over")
        steps.handles.clear()
        failed = steps.crash is not None or (ended is not None and ended.error is not None)
        async with anyio.create_task_group() as tasks:
            for side, stream in self._streams.items():
                tasks.start_soon(self._guard, self._say_goodbye, self._box(side), stream, failed)
        code, reason = ("closed", "") if ended is None else (ended.code, ended.reason)
        level = logging.WARNING if failed else logging.INFO
        steps.log(logging.ERROR if steps.crash is not None else level, f"ended.{code}", reason)
        if steps.journal is not None:
            steps.journal.close(self.now_ms, f"{code}: {reason}")

    async def _say_goodbye(self, box: Outbox, stream: MessageStream, failed: bool) -> None:
        with anyio.move_on_after(self.limits.goodbye_s):
            await box.finish()
        with anyio.move_on_after(self.limits.goodbye_s):
            await stream.aclose(failed)


def _is_usage(bug: BaseException) -> bool:
    if isinstance(bug, BaseExceptionGroup):
        return all(map(_is_usage, bug.exceptions))
    return isinstance(bug, UsageError)


def _must_be_json(value: object) -> None:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"it cannot be said in JSON: {error}") from error
