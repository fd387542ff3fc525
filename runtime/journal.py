"""The journal of one call: a file of JSON lines, complete enough to run the call again.

The first line says what made it; after that come the lines of `lines.py`, inputs and outputs in order.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final

import msgspec

from . import events as ev
from .actions import Action, Side, ToProvider, ToTransport
from .adapter import ProviderAdapter, TransportAdapter
from .errors import BargeinError
from .formats import agreed
from .lines import Lines
from .session import Settings

VERSION: Final = 1
"""Of the journal's format. A reader refuses any other."""

_FLUSH_LINES: Final = 128

log = logging.getLogger("bargein")


class JournalError(BargeinError):
    """A journal cannot be written, or cannot be read; `line` counts from 1."""

    def __init__(self, path: str | Path, problem: str, line: int | None = None) -> None:
        where = f"{path}" if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {problem}")
        self.path = Path(path)
        self.line = line


class AdapterNote(msgspec.Struct, frozen=True):
    """Which tables a call ran on."""

    name: str
    digest: str
    abi: int


class Header(msgspec.Struct, frozen=True):
    """The first line of a journal. `settings` hold every time as it was in force, in milliseconds."""

    journal: int
    bargein: str
    provider: AdapterNote
    transport: AdapterNote
    settings: dict[str, Any]
    engine: str
    audio: bool
    call: str
    started_at: str


def header(
    provider: ProviderAdapter,
    transport: TransportAdapter,
    settings: Settings,
    *,
    engine: str = "table",
    audio: bool = False,
    call: str = "",
) -> Header:
    """The header of a call that starts now."""
    return Header(
        journal=VERSION,
        bargein=_version(),
        provider=AdapterNote(provider.name, provider.digest, provider.abi),
        transport=AdapterNote(transport.name, transport.digest, transport.abi),
        settings=resolved(settings, provider, transport),
        engine=engine,
        audio=audio,
        call=call,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def resolved(
    settings: Settings, provider: ProviderAdapter, transport: TransportAdapter
) -> dict[str, Any]:
    """The settings with the tables' times and format where none was chosen: a call does not change when a table does.

    :raises UsageError: if both sides speak no common audio format.
    """
    values: dict[str, Any] = {}
    for name in Settings.__slots__:
        value = getattr(settings, name)
        if value is None:
            value = provider.timeouts_ms.get(name, transport.timeouts_ms.get(name))
        values[name] = value
    values["audio"] = agreed(provider, transport, settings.audio).name
    return values


def journal_path(folder: str | Path, call: str) -> Path:
    """Where the journal of a call that starts now belongs."""
    return Path(folder) / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{call}.jsonl"


def check_folder(folder: str | Path) -> None:
    """Make the folder, and see that journals can be written there.

    :raises JournalError: if not.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise JournalError(
            folder, f"journals cannot be written: {error.strerror or error}"
        ) from error


class Journal:
    """Writes the journal of one call to `path`; folders are made.

    Lines are gathered and written whenever something other than audio and marks has happened, so that a file is at
    most a second of speech behind. A disk that fills up costs the journal, not the call: it is logged once, and
    `broken` tells. What callers and agents say is in it, so it is readable by its owner alone.

    :raises JournalError: if the file exists already or cannot be written.
    """

    def __init__(self, path: str | Path, *, audio: bool = False) -> None:
        self.path = Path(path)
        self.broken: str | None = None
        self._lines = Lines(audio=audio)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            private = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file: BinaryIO | None = os.fdopen(private, "wb", buffering=0)
        except OSError as error:
            raise JournalError(path, f"cannot be written: {error.strerror or error}") from error

    @property
    def audio(self) -> bool:
        """Whether the sound is kept."""
        return self._lines.audio

    def begin(
        self,
        first: Header,
        provider: ProviderAdapter | None = None,
        transport: TransportAdapter | None = None,
    ) -> None:
        """Write the header. Once, before anything else; the adapters teach what audio looks like on their wires."""
        if provider is not None and transport is not None:
            self._lines.learn(provider, transport)
        self._lines.out.append(msgspec.json.encode(first).decode())
        self.flush()

    def message(
        self,
        now_ms: int,
        side: Side,
        message: str | bytes,
        events: Sequence[ev.Event],
        actions: Sequence[Action],
    ) -> None:
        """A message arrived, was read as `events`, and led to `actions`."""
        lines = self._lines
        lines.message(now_ms, side, message, events)
        if actions:
            lines.actions(actions, message)
            last = type(actions[-1])
            if last is not ToTransport and last is not ToProvider:
                self.flush()
                return
        if len(lines.out) > _FLUSH_LINES:
            self.flush()

    def verb(
        self,
        now_ms: int,
        verb: str,
        arguments: Mapping[str, Any],
        gave: object,
        actions: Sequence[Action],
    ) -> None:
        """The session's method `verb` was called; `gave` is what it returned beside the actions, or None."""
        lines = self._lines
        lines.verb(now_ms, verb, arguments)
        if gave is not None:
            lines.gave(gave)
        lines.actions(actions)
        # Held speech leaves piece by piece, as time advances: that is the flow of audio.
        flows = verb == "advance" and actions
        if not flows or len(lines.out) > _FLUSH_LINES or not all(map(_is_speech, actions)):
            self.flush()

    def broke(self, bug: BaseException, write_input: Callable[[Lines], None]) -> None:
        """The session raised on an input, which `write_input` writes."""
        write_input(self._lines)
        self._lines.raised(bug)
        self.flush()

    def note(self, now_ms: int, text: str) -> None:
        """A remark for readers; it is not replayed."""
        self._lines.note(now_ms, text)

    def flush(self) -> None:
        """Write what was gathered. Never raises."""
        lines = self._lines.out
        if not lines or self._file is None:
            lines.clear()
            return
        data = ("\n".join(lines) + "\n").encode(errors="replace")
        lines.clear()
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            self.broken = str(error.strerror or error)
            log.error("journal %s ends here: %s", self.path, self.broken, extra={"code": "journal"})
            self._shut()

    def close(self, now_ms: int, end: str) -> None:
        """Write the last line and close the file. Never raises; a second call does nothing."""
        if self._file is not None:
            self._lines.end(now_ms, end)
            self.flush()
            self._shut()

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                self.broken = self.broken or str(error.strerror or error)


def _is_speech(action: Action) -> bool:
    return isinstance(action, ToTransport) and action.audio


@lru_cache
def _version() -> str:
    try:
        return version("bargein")
    except PackageNotFoundError:
        return "unknown"
