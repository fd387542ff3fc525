"""The commands that hold calls or read them back: bridge, emulate, demo, replay."""

import logging
import os
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
import yaml
from rich.console import Console
from rich.logging import RichHandler

from bargein.runtime.adapter import ProviderAdapter
from bargein.runtime.routing import BargeIn

from .cli import FINDING, INTERRUPTED, RUN, Json, fail, print_json, say

Listen = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0: any free one.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every message as well.")]
TOKEN_VARIABLE = "BARGEIN_CONTROL_TOKEN"


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    for command in (demo, bridge, emulate, replay):
        app.command(rich_help_panel=RUN)(command)


def demo(
    json: Json = False,
    journal: Annotated[
        Path, typer.Option(help="The folder the call's journal is written to.")
    ] = Path("journals"),
    engine: Annotated[
        str, typer.Option(help="table or transitions: two engines with one meaning.")
    ] = "table",
) -> None:
    """An interrupted phone call, end to end, on local sockets, against an emulated server.

    The agent speaks two items and the caller barges in during the first; a later request times out and its late
    answer must stay unheard; another is interrupted before it is created. Exit 1 if the law was violated.
    """
    from bargein.runtime.errors import BargeinError
    from bargein.simulator.demo import render, run_demo

    console = Console(stderr=json, highlight=False)
    try:
        result = _run(run_demo, lambda text: console.print(text, soft_wrap=True), journal, engine)
    except (BargeinError, OSError) as error:
        raise fail(str(error)) from None
    if json:
        print_json(result)
    else:
        render(result, console)
    if result.violations:
        raise typer.Exit(FINDING)


def bridge(
    provider: Annotated[str, typer.Option(help="Whose model speaks, for instance openai.")],
    carrier: Annotated[str, typer.Option(help="Whose calls they are, for instance twilio.")],
    provider_url: Annotated[
        str | None,
        typer.Option(
            help="The provider's websocket, ws:// or wss://, if not as its table says; "
            "$key in it stands for the key."
        ),
    ] = None,
    listen: Listen = "127.0.0.1:8080",
    control: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The control API; `none` for none.")
    ] = "127.0.0.1:8081",
    greet: Annotated[str | None, typer.Option(help="What the agent says first.")] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            help="YAML or JSON: the provider's own session settings (instructions, voice, tools)."
        ),
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            help="The environment variable that holds the provider's key, if not as its table says."
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(help="How carriers reach this bridge, if a proxy hides it: https://HOST."),
    ] = None,
    created_timeout_ms: Annotated[
        int | None, typer.Option(min=1, help="How long a request may wait to be created.")
    ] = None,
    mark_every_ms: Annotated[
        int | None, typer.Option(min=20, help="The resolution of what was heard.")
    ] = None,
    audio: Annotated[
        str | None,
        typer.Option(
            help="The audio format, by the tables' names: pcm16. Default: the first that both sides speak.",
            show_default=False,
        ),
    ] = None,
    barge_in: Annotated[
        BargeIn,
        typer.Option(
            help="What the provider's VAD does: auto (as the session says), always, never."
        ),
    ] = "auto",
    max_calls: Annotated[
        int | None, typer.Option(min=1, help="More calls are answered 503.")
    ] = None,
    journal: Annotated[
        str, typer.Option(help="The folder of the calls' journals; `none` for none.")
    ] = "journals",
    journal_audio: Annotated[
        bool, typer.Option("--journal-audio", help="Keep the sound in journals too.")
    ] = False,
    engine: Annotated[str, typer.Option(help="table or transitions.")] = "table",
    verbose: Verbose = False,
) -> None:
    """Answer phone calls: carrier on one side, speech-to-speech model on the other.

    The carrier's websocket is /CARRIER, its webhook /answer (or /twiml). The provider's key comes from the
    environment variable its table names, OPENAI_API_KEY for openai, unless --key-env names another; off loopback the
    control API needs a token in BARGEIN_CONTROL_TOKEN.
    """
    from bargein import adapters
    from bargein.runtime.bridge import Bridge
    from bargein.runtime.control import Control
    from bargein.runtime.errors import BargeinError
    from bargein.runtime.session import Settings

    _log(verbose)
    host, port = _address(listen, "--listen")
    try:
        its, ours = adapters.provider(provider), adapters.transport(carrier)
    except BargeinError as error:
        raise fail(str(error)) from None
    key = _key(its, key_env, needed=provider_url is None)
    session = _settings(settings)
    at_control = None if control == "none" else _address(control, "--control")

    async def serve() -> None:
        async with (
            Bridge(
                its,
                ours,
                provider_url=provider_url,
                api_key=key,
                host=host,
                port=port,
                session=session,
                greet=greet,
                settings=Settings(
                    audio=audio,
                    created_ms=created_timeout_ms,
                    mark_every_ms=mark_every_ms,
                    barge_in=barge_in,
                ),
                engine=engine,
                journals=None if journal == "none" else Path(journal),
                journal_audio=journal_audio,
                public_url=public_url,
                max_calls=max_calls,
            ) as running,
            AsyncExitStack() as stack,
        ):
            webhook = "" if running.webhook is None else f"   webhook: {running.webhook}"
            where = [f"calls:   {running.url}{webhook}"]
            if at_control is not None:
                (at, on), token = at_control, os.environ.get(TOKEN_VARIABLE)
                api = Control(running.calls, host=at, port=on, token=token)
                await stack.enter_async_context(api)
                where.append(f"control: {api.url}/calls")
            say("\n".join(where))
            await anyio.sleep_forever()

    _serve(serve, BargeinError)


def emulate(
    provider: Annotated[
        str | None,
        typer.Argument(metavar="P", help="The provider to be. Without one: list them, and stop."),
    ] = None,
    listen: Listen = "127.0.0.1:9000",
    plans: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON: what each response does, in order; the last repeats."),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="A certificate (PEM): listen with TLS, which some clients insist on."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Its key, if it is not in the same file.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Be a provider's server on a local socket, for stock clients and your own.

    A plan says what one response does. All keys have defaults: created_after_ms, created, refuse,
    first_delta_after_ms, items ([{ms, kind: message|text|function_call, text, name}]), delta_ms, speed,
    trailing_deltas, done_after_cancel_ms, end (completed|failed|incomplete|cancelled|never),
    drop_connection_after_ms. What a provider's wire cannot say is left unsaid. The caller speaks wherever their
    audio is not silence.
    """
    from bargein.simulator.emulator import EMULATED, NO_WEBSOCKET, Emulator, load_plans, serve
    from bargein.statemachines.diagnostics import did_you_mean

    if provider is None:
        for name, each in EMULATED.items():
            say(f"{name:<14} {each.client}")
        for name, why in NO_WEBSOCKET.items():
            say(f"{name:<14} cannot be emulated: {why}")
        return
    if provider in NO_WEBSOCKET:
        raise fail(f"no emulator of {provider!r}: {NO_WEBSOCKET[provider]}")
    if provider not in EMULATED:
        hint = did_you_mean(provider, list(EMULATED))
        raise fail(f"no emulator of {provider!r}{hint or '; `bargein emulate` lists them'}")
    host, port = _address(listen, "--listen")
    try:
        loaded = [] if plans is None else load_plans(plans)
    except (OSError, ValueError) as error:
        raise fail(f"{plans}: {error}") from None
    tls = _tls(tls_cert, tls_key)

    def ready(emulator: Emulator) -> None:
        say(f"{provider}: {emulator.url}   (base URL for clients: {emulator.base_url})")

    def log(connection: int, direction: str, message: str | bytes) -> None:
        arrow = "<-" if direction == "received" else "->"
        if isinstance(message, bytes):
            shown = f"{len(message)} bytes"
        else:
            shown = message if len(message) <= 200 else f"{message[:200]} … {len(message)}"
        say(f"[{connection}] {arrow} {shown}")

    async def run() -> None:
        shown = log if verbose else None
        await serve(host, port, loaded, provider=provider, tls=tls, on_event=shown, on_ready=ready)

    _serve(run, OSError)


def replay(
    journals: Annotated[list[Path], typer.Argument(metavar="J...", help="Journals of calls.")],
    json: Json = False,
    engine: Annotated[str, typer.Option(help="table or transitions.")] = "table",
) -> None:
    """Run journals again: the same outputs byte for byte, or the first difference by name. Exit 1 on a difference."""
    from bargein import adapters
    from bargein.runtime.errors import BargeinError
    from bargein.runtime.replay import replay as run_again

    providers = {name: adapters.provider(name) for name in adapters.PROVIDERS}
    transports = {name: adapters.transport(name) for name in adapters.TRANSPORTS}
    results = []
    for path in journals:
        try:
            results.append((path, run_again(path, providers, transports, engine)))
        except BargeinError as error:
            raise fail(str(error)) from None
    if json:
        print_json([{"journal": str(path), "same": r.same, "result": r} for path, r in results])
    else:
        for path, result in results:
            for warning in result.warnings:
                say(f"{path}: warning: {warning}")
            if result.difference is None:
                say(f"{path}: {result.inputs} inputs gave the same {result.outputs} outputs")
            else:
                difference = result.difference
                say(f"{path}:{difference.line}: the first difference")
                say(f"  journal: {difference.expected or 'nothing'}")
                say(f"  replay:  {difference.got or 'nothing'}")
    if any(not result.same for _, result in results):
        raise typer.Exit(FINDING)


# -- helpers ----------------------------------------------------------------------------------------


def _run(work: Callable[..., Awaitable[Any]], *args: Any) -> Any:  # noqa: ANN401
    """Run to the end; Ctrl-C ends it cleanly, with the status a shell expects."""
    try:
        return anyio.run(work, *args)
    except KeyboardInterrupt:
        sys.stdout.flush()
        raise typer.Exit(INTERRUPTED) from None


def _serve(work: Callable[[], Awaitable[None]], error: type[Exception]) -> None:
    """Serve until Ctrl-C or a polite kill, which is how a server is meant to end."""

    async def until_told() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_when_killed, tasks.cancel_scope)
            await work()

    try:
        anyio.run(until_told)
    except KeyboardInterrupt:
        pass
    except BaseExceptionGroup as group:
        ours, others = group.split((error, OSError))
        if others is not None or ours is None:
            raise
        problem: BaseException = ours
        while isinstance(problem, BaseExceptionGroup):
            problem = problem.exceptions[0]
        raise fail(str(problem)) from None
    say("bye")


async def _end_when_killed(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _key(provider: ProviderAdapter, named: str | None, *, needed: bool) -> str | None:
    """The provider's key, from the variable that was `named` or else the one its table names."""
    variable = named or (provider.connect and provider.connect.key)
    key = os.environ.get(variable) if variable else None
    if variable and not key:
        if needed:
            raise fail(f"{variable} is not set: it holds the key of {provider.name}")
        typer.echo(f"bargein: {variable} is not set: the provider is asked without a key", err=True)
    return key or None


def _address(text: str, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise fail(f"{option} {text!r}: expected HOST:PORT, like 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise fail("--tls-key needs --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise fail(f"--tls-cert {certificate}: {error}") from None
    return context


def _settings(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise fail(f"--settings {path}: {error}") from None
    if not isinstance(loaded, dict):
        raise fail(f"--settings {path}: expected a mapping of session settings")
    return loaded


def _log(verbose: bool) -> None:
    handler = RichHandler(console=Console(stderr=True), show_path=False, rich_tracebacks=False)
    logger = logging.getLogger("bargein")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
