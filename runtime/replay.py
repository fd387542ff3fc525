"""A journal run again: do the same inputs still give the same outputs, byte for byte?

Replay is a function of the file and the adapters alone. Times come from the journal; audio that was left out is
replaced by as many bytes of silence, and outputs are compared as the journal masks them.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import msgspec

from .adapter import ProviderAdapter, TransportAdapter
from .errors import UsageError
from .journal import VERSION, AdapterNote, Header, JournalError
from .lines import Line, Lines
from .session import Session, Settings
from .view import split

_VERBS: Final = frozenset(
    {
        "request",
        "interrupt",
        "tell",
        "configure",
        "advance",
        "provider_lost",
        "transport_lost",
    }
)
_OUTPUTS: Final = (b'{"to":', b'{"app":', b'{"gave":', b'{"raised":')


class Difference(msgspec.Struct, frozen=True):
    """The first place where the replay departs. None stands for: nothing more was said about that input."""

    line: int
    expected: str | None
    got: str | None


class ReplayResult(msgspec.Struct, frozen=True):
    """What a replay found. `inputs` and `outputs` count what was replayed and equal."""

    header: Header
    inputs: int
    outputs: int
    duration_ms: int
    difference: Difference | None
    warnings: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether every output was reproduced."""
        return self.difference is None


def replay(
    path: str | Path,
    providers: Mapping[str, ProviderAdapter],
    transports: Mapping[str, TransportAdapter],
    engine: str = "table",
) -> ReplayResult:
    """Run the journal at `path` through a fresh session, up to the first difference.

    Other tables than those that made it are a warning; what they do differently is the difference that is found.

    :raises JournalError: if the file is no journal, of another version, or damaged; it names the line.
    :raises UsageError: if the journal's provider or transport is not among those given, or the engine is unknown.
    """
    lines = read_lines(path)
    first = read_header(path, lines)
    provider = _adapter(first.provider, providers, "provider")
    transport = _adapter(first.transport, transports, "transport")
    warnings = [
        f"the tables of {adapter.name} have changed: the journal was made with {note.digest}, "
        f"these are {adapter.digest}"
        for note, adapter in ((first.provider, provider), (first.transport, transport))
        if note.digest != adapter.digest
    ]
    player = _Player(path, first, provider, transport, engine)
    difference = player.play(lines)
    if not player.ended and difference is None:
        warnings.append("the journal has no end: the process was stopped, or the call still runs")
    return ReplayResult(
        first, player.inputs, player.outputs, player.now_ms, difference, tuple(warnings)
    )


def read_lines(path: str | Path) -> list[bytes]:
    """The lines of a file.

    :raises JournalError: if it cannot be read, or its last line is cut off.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise JournalError(path, f"cannot be read: {error.strerror or error}") from error
    lines = data.split(b"\n")
    if lines.pop():
        raise JournalError(path, "the last line is cut off", len(lines) + 1)
    return lines


def read_header(path: str | Path, lines: Sequence[bytes]) -> Header:
    """The header, of the version this bargein writes.

    :raises JournalError: if it is missing or of another version.
    """
    if not lines:
        raise JournalError(path, "the file is empty; a journal starts with a header", 1)
    try:
        found = msgspec.json.decode(lines[0])
    except (ValueError, RecursionError) as error:
        raise JournalError(path, f"no journal: {error}", 1) from error
    if not isinstance(found, dict) or "journal" not in found:
        raise JournalError(path, "the header is missing", 1)
    if found["journal"] != VERSION:
        raise JournalError(
            path, f"a journal of version {found['journal']}; this bargein reads {VERSION}", 1
        )
    try:
        return msgspec.convert(found, Header)
    except msgspec.ValidationError as error:
        raise JournalError(path, f"the header is damaged: {error}", 1) from error


def _adapter(note: AdapterNote, adapters: Mapping[str, Any], side: str) -> Any:  # noqa: ANN401
    if note.name not in adapters:
        known = ", ".join(sorted(adapters)) or "none"
        raise UsageError(f"the journal's {side} is {note.name!r}; there are: {known}")
    return adapters[note.name]


class _Player:
    """Feeds a session with the inputs of a journal."""

    def __init__(
        self,
        path: str | Path,
        first: Header,
        provider: ProviderAdapter,
        transport: TransportAdapter,
        engine: str,
    ) -> None:
        self._path = path
        try:
            settings = Settings(**first.settings)
        except TypeError as error:
            raise JournalError(path, f"settings that are unknown here: {error}", 1) from error
        self._session = Session(provider, transport, settings, engine=engine)
        self._lines = Lines(audio=first.audio)
        self._lines.learn(provider, transport)
        self.now_ms = self.inputs = self.outputs = 0
        self.ended = False

    def play(self, lines: Sequence[bytes]) -> Difference | None:
        """Replay; the first difference, or None."""
        for number, line, expected in self._steps(lines):
            self.now_ms = line.at or 0
            self._feed(line, number)
            self.inputs += 1
            got = [text.encode() for text in self._lines.out]
            self._lines.out.clear()
            for at, (wanted, given) in enumerate(zip_longest(expected, got), number + 1):
                if wanted != given:
                    return Difference(at, _text(wanted), _text(given))
                self.outputs += 1
        return None

    def _steps(self, lines: Sequence[bytes]) -> Iterator[tuple[int, Line, list[bytes]]]:
        """Each input with its line number and the outputs that follow it."""
        at = 1
        while at < len(lines):
            number, line = at + 1, self._input(lines[at], at + 1)
            at += 1
            outputs: list[bytes] = []
            while at < len(lines) and lines[at].startswith(_OUTPUTS):
                self._check_json(lines[at], at + 1)
                outputs.append(lines[at])
                at += 1
            if line.note is None and line.end is None:
                yield number, line, outputs
            elif outputs:
                raise JournalError(self._path, "an output without an input", number + 1)
            self.ended = self.ended or line.end is not None

    def _input(self, raw: bytes, number: int) -> Line:
        if raw.startswith(_OUTPUTS):
            raise JournalError(self._path, "an output without an input", number)
        try:
            line = _decode(raw)
        except (ValueError, RecursionError) as error:
            raise JournalError(self._path, f"no line of a journal: {error}", number) from error
        if line.at is None or (line.do is not None and line.do not in _VERBS):
            what = "no line of a journal" if line.at is None else f"unknown verb {line.do!r}"
            raise JournalError(self._path, what, number)
        return line

    def _check_json(self, raw: bytes, number: int) -> None:
        try:
            msgspec.json.decode(raw, type=msgspec.Raw)
        except (ValueError, RecursionError) as error:
            raise JournalError(self._path, f"no line of a journal: {error}", number) from error

    def _feed(self, line: Line, number: int) -> None:
        """Let the session have one input, and write down what it answers."""
        verb, arguments = self._call(line, number)
        try:
            gave, actions = split(getattr(self._session, verb)(now_ms=self.now_ms, **arguments))
        except Exception as bug:  # What broke then must break now.
            self._lines.raised(bug)
            return
        if gave is not None:
            self._lines.gave(gave)
        self._lines.actions(actions, arguments.get("message"))

    def _call(self, line: Line, number: int) -> tuple[str, dict[str, Any]]:
        """The session's method an input went to, and its arguments."""
        try:
            if line.from_ is not None:
                return f"{line.from_}_received", {"message": line.message()}
            if line.do is not None:
                return line.do, line.arguments
        except (ValueError, RecursionError) as error:
            raise JournalError(self._path, f"no line of a journal: {error}", number) from error
        raise JournalError(self._path, "neither a message nor a verb", number)


_decode = msgspec.json.Decoder(Line).decode


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="replace")
