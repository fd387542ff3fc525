"""What a provider or transport table must be: words of the closed vocabulary, and no promise it cannot keep."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from .convert import Keys
from .diagnostics import Diagnostic, closest, did_you_mean, listed
from .findings import Findings
from .machine_checks import PRESCRIBED
from .model import Path, Provider, Receive, Transport
from .promises import check_promises, may_be_silent
from .tables import Tables
from .vocabulary import (
    HOOK_GUARDS,
    HOOK_VARIABLES,
    PROVIDER_CAPABILITIES,
    PROVIDER_EVENTS,
    PROVIDER_SESSION_HOOKS,
    PROVIDER_TIMEOUTS,
    PROVIDER_VARIABLES,
    TRANSPORT_CAPABILITIES,
    TRANSPORT_EVENTS,
    TRANSPORT_SESSION_HOOKS,
    TRANSPORT_TIMEOUTS,
    TRANSPORT_VARIABLES,
)

_PATH = re.compile(next(meta.pattern for meta in get_args(Path)[1:]))
_VARIABLE = re.compile(r"\$(\w+)")
_ROW_KEYS = ("event", "why", "see")
_UNIDENTIFIED: Final = {"item": (), "response": ("item",), "turn": ("response", "item")}
"""By `can.identifies`: the fields that messages of such a provider cannot name."""


@dataclass(frozen=True)
class _Side:
    """The vocabulary of one side."""

    name: str
    events: Mapping[str, Mapping[str, str]]
    variables: Collection[str]
    capabilities: Mapping[str, tuple[str, ...]]
    timeouts: Collection[str]
    session_hooks: frozenset[str]


_PROVIDER = _Side(
    "provider",
    PROVIDER_EVENTS,
    PROVIDER_VARIABLES,
    PROVIDER_CAPABILITIES,
    PROVIDER_TIMEOUTS,
    PROVIDER_SESSION_HOOKS,
)
_TRANSPORT = _Side(
    "transport",
    TRANSPORT_EVENTS,
    TRANSPORT_VARIABLES,
    TRANSPORT_CAPABILITIES,
    TRANSPORT_TIMEOUTS,
    TRANSPORT_SESSION_HOOKS,
)


def check_peer(tables: Tables, peer: Provider | Transport) -> list[Diagnostic]:
    """Everything that is wrong with what a provider or transport table says."""
    found: list[Diagnostic] = []
    find = Findings(tables, peer, found)
    _PeerCheck(tables, peer, find).run()
    check_promises(peer, find)
    return found


class _PeerCheck:
    def __init__(self, tables: Tables, peer: Provider | Transport, find: Findings) -> None:
        self._tables = tables
        self._peer = peer
        self._find = find
        self._side = _PROVIDER if isinstance(peer, Provider) else _TRANSPORT

    def run(self) -> None:
        peer, side = self._peer, self._side
        self._path(peer.wire.tag, ("wire", "tag"))
        self._audio()
        self._capabilities()
        self._find.names("timeout", ("E055", "E056"), peer.timeouts, side.timeouts, ("timeouts",))
        for kind, rows in peer.received():
            self._received(kind, rows)
        self._hooks()
        self._messages()

    def _path(self, path: str, keys: Keys) -> None:
        if not _PATH.search(path):
            hint = "names joined by dots: response.id"
            if path.startswith("$"):
                hint = "what is received is read from a path; only what is sent has $variables"
            self._find.value("E048", f"'{path}' is not a path into a message", *keys, hint=hint)

    def _audio(self) -> None:
        if not self._peer.audio:
            self._find.missing("E014", "no audio format is declared", "audio")
        for name, audio in self._peer.audio.items():
            for key, number in (("rate_hz", audio.rate_hz), ("bytes_per_ms", audio.bytes_per_ms)):
                if number <= 0:
                    message = f"{number} is too small; it must be above 0"
                    self._find.value("E014", message, "audio", name, key)
            if audio.rate_hz > 0 and audio.bytes_per_ms * 1000 % audio.rate_hz:
                message = f"at {audio.rate_hz} Hz this is no whole number of bytes per sample"
                if not self._find.doubtful("audio", name):
                    self._find.value("E014", message, "audio", name, "bytes_per_ms")

    def _capabilities(self) -> None:
        can, known = self._peer.can, self._side.capabilities
        self._find.names("capability", ("E052", "E054"), can, known, ("can",))
        for name, capability in can.items():
            if name in known and capability.is_ not in known[name]:
                ending = did_you_mean(capability.is_, known[name])
                message = f"'{name}' cannot be '{capability.is_}'{ending}"
                self._find.value("E053", message, "can", name, "is")

    def _received(self, kind: str, rows: tuple[Receive, ...]) -> None:
        single = isinstance(self._peer.receive[kind], dict)
        if not rows:
            message = f"'{kind}' becomes no event"
            self._find.missing("E051", message, "receive", kind, hint="leave it out")
        seen: set[str] = set()
        for i, row in enumerate(rows):
            keys: Keys = ("receive", kind) if single else ("receive", kind, i)
            if (event := row.get("event")) is None:
                self._find.missing("E011", "key 'event' is missing", *keys)
            elif event not in self._side.events:
                ending = did_you_mean(event, self._side.events)
                self._find.value("E012", f"unknown event '{event}'{ending}", *keys, "event")
            else:
                if event in seen:
                    self._find.value("E051", f"'{kind}' is '{event}' twice", *keys, "event")
                seen.add(event)
                self._fields(event, row, keys)
            for name, path in row.items():
                if name not in _ROW_KEYS:
                    self._path(path, (*keys, name))

    def _fields(self, event: str, row: Receive, keys: Keys) -> None:
        known = self._side.events[event]
        absent = [name for name in known if name not in row]
        for name in row:
            if name not in known and name not in _ROW_KEYS:
                choice = [*known, *_ROW_KEYS[1:]]
                message = f"event '{event}' has no field '{name}'{did_you_mean(name, choice)}"
                self._find.key("E049", message, *keys, name)
                if (near := closest(name, absent)) is not None:
                    absent.remove(near)
        identifies = self._peer.can.get("identifies")
        unidentified = _UNIDENTIFIED.get(identifies.is_, ()) if identifies else ()
        for name in absent:
            if not known[name].endswith("?") and name not in unidentified:
                message = f"event '{event}' needs the field '{name}'"
                self._find.missing("E050", message, *keys)

    def _hooks(self) -> None:
        owners = self._owners()
        mine = [hook for hook, by in owners.items() if by == self._side.name]
        absent = [hook for hook in mine if hook not in self._peer.hooks]
        for hook, rows in self._peer.hooks.items():
            machine, _, _ = hook.partition(".")
            if hook not in owners and (
                machine not in PRESCRIBED or machine in self._tables.machines
            ):
                message = f"unknown hook '{hook}'{did_you_mean(hook, mine)}"
                self._find.key("E040", message, "hooks", hook)
                if (near := closest(hook, absent)) is not None:
                    absent.remove(near)
            elif (owner := owners.get(hook)) is not None and owner != self._side.name:
                message = f"hook '{hook}' belongs to the {owner}, not to a {self._side.name}"
                self._find.key("E042", message, "hooks", hook)
            for i, row in enumerate(rows):
                self._hook_guards(row.if_, row.unless, ("hooks", hook, i))
                if row.send not in self._peer.send and not self._find.unsure("send", row.send):
                    ending = did_you_mean(row.send, self._peer.send)
                    message = f"no message '{row.send}' in `send`{ending}"
                    self._find.value("E043", message, "hooks", hook, i, "send")
        for hook in absent:
            hint = f"say how, or `{hook}: []` if `can` says that there is no verb for it"
            if not may_be_silent(self._peer, hook):
                hint = "say how"
            self._find.missing("E041", f"no hook '{hook}'", "hooks", hint=hint)

    def _owners(self) -> dict[str, str | None]:
        """Who says each hook there is; None if the machine's table cannot be read on this point."""
        owners: dict[str, str | None] = dict.fromkeys(PROVIDER_SESSION_HOOKS, "provider")
        owners |= dict.fromkeys(TRANSPORT_SESSION_HOOKS, "transport")
        for machine in self._tables.machines.values():
            damage = self._tables.source(machine).damage
            for name, intent in machine.actions.items():
                unsure = damage.hides(("actions", name, "by"))
                owners[f"{machine.machine}.{name}"] = None if unsure else intent.by
        return owners

    def _hook_guards(self, if_: str | None, unless: str | None, keys: Keys) -> None:
        if if_ is not None and unless is not None:
            self._find.key("E047", "`if` and `unless` stand together", *keys, "unless")
        for key, guard in (("if", if_), ("unless", unless)):
            if guard is not None and guard not in HOOK_GUARDS:
                message = f"unknown guard '{guard}'{did_you_mean(guard, HOOK_GUARDS)}"
                self._find.value("E022", message, *keys, key)

    def _messages(self) -> None:
        """What is sent: by whom, and filled with what."""
        senders: dict[str, list[str]] = {name: [] for name in self._peer.send}
        for hook, rows in self._peer.hooks.items():
            for name in dict.fromkeys(row.send for row in rows):
                senders.setdefault(name, []).append(hook)
        for name, message in self._peer.send.items():
            if not senders[name] and not self._find.doubtful("hooks"):
                near = [m for m in senders if m not in self._peer.send]
                if closest(name, near) is None:
                    self._find.key("E044", f"no hook sends '{name}'", "send", name)
            for keys, text in _texts(message, ("send", name)):
                self._variables(text, keys, senders[name])

    def _variables(self, text: str, keys: Keys, hooks: list[str]) -> None:
        known = self._side.variables
        if "$" not in text:
            return
        if (whole := _VARIABLE.fullmatch(text)) is None:
            if text.startswith("$") or _VARIABLE.search(text):
                message = f"'{text}' is no $variable; a variable stands alone"
                self._find.value("E045", message, *keys)
            return
        name = whole[1]
        if name not in known:
            near = closest(name, known)
            ending = f"; did you mean '${near}'?" if near else ""
            self._find.value("E045", f"unknown variable '{text}'{ending}", *keys)
            return
        for hook in hooks:
            offered = HOOK_VARIABLES.get(hook)
            if offered is not None and name not in offered:
                choice = listed([f"${v}" for v in sorted(offered)])
                message = f"'{text}' is not known to hook '{hook}', which sends this"
                self._find.value("E046", message, *keys, hint=f"it offers {choice}")


def _texts(value: Any, keys: Keys) -> Iterator[tuple[Keys, str]]:  # noqa: ANN401 - any JSON
    match value:
        case str():
            yield keys, value
        case dict():
            for key, inner in value.items():
                yield from _texts(inner, (*keys, key))
        case list() | tuple():
            for i, inner in enumerate(value):
                yield from _texts(inner, (*keys, i))
