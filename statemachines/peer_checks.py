"""What a provider or transport table must be: words of the closed vocabulary, and no promise it cannot keep."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .convert import Keys
from .diagnostics import Diagnostic, closest, did_you_mean, listed
from .findings import Findings
from .machine_checks import PRESCRIBED
from .model import AudioFormat, Provider, Transport, Voice
from .promises import check_promises, may_be_silent
from .row_checks import check_rows
from .tables import Tables
from .vocabulary import (
    GUARDS_OF,
    HOOK_GUARDS,
    HOOK_VARIABLES,
    OPTIONAL_CAPABILITIES,
    OPTIONAL_HOOKS,
    PACES,
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
    WAITING_HOOKS,
)

_VARIABLE = re.compile(r"\$(\w+)(\.\w+)?")
_WORD = re.compile(r"\$(\w+)")


@dataclass(frozen=True)
class _Side:
    """The vocabulary of one side."""

    name: str
    events: Mapping[str, Mapping[str, str]]
    variables: Mapping[str, str]
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
        self._audio()
        self._capabilities()
        self._find.names("timeout", ("E055", "E056"), peer.timeouts, side.timeouts, ("timeouts",))
        if isinstance(peer, Transport):
            self._find.names("limit", ("E062", "E062"), peer.pace, PACES, ("pace",), ())
        check_rows(peer, side.events, self._find)
        self._hooks()
        self._messages()
        self._reach()

    def _audio(self) -> None:
        if not self._peer.audio:
            self._find.missing("E014", "no audio format is declared", "audio")
        for name, audio in self._peer.audio.items():
            self._voice(audio, ("audio", name))
            if audio.caller is not None:
                self._voice(audio.caller, ("audio", name, "caller"))
            if not 0 <= audio.silence <= 255:
                message = f"{audio.silence} is no byte; it must be from 0 to 255"
                self._find.value("E014", message, "audio", name, "silence")

    def _voice(self, voice: AudioFormat | Voice, keys: Keys) -> None:
        for key, number in (("rate_hz", voice.rate_hz), ("bytes_per_ms", voice.bytes_per_ms)):
            if number <= 0:
                message = f"{number} is too small; it must be above 0"
                self._find.value("E014", message, *keys, key)
        if voice.rate_hz > 0 and voice.bytes_per_ms * 1000 % voice.rate_hz:
            message = f"at {voice.rate_hz} Hz this is no whole number of bytes per sample"
            if not self._find.doubtful(*keys):
                self._find.value("E014", message, *keys, "bytes_per_ms")

    def _capabilities(self) -> None:
        can, known = self._peer.can, self._side.capabilities
        required = [name for name in known if name not in OPTIONAL_CAPABILITIES]
        self._find.names("capability", ("E052", "E054"), can, known, ("can",), required)
        for name, capability in can.items():
            if name in known and capability.is_ not in known[name]:
                ending = did_you_mean(capability.is_, known[name])
                message = f"'{name}' cannot be '{capability.is_}'{ending}"
                self._find.value("E053", message, "can", name, "is")

    def _hooks(self) -> None:
        owners = self._owners()
        mine = [hook for hook, by in owners.items() if by == self._side.name]
        absent = [
            hook
            for hook in mine
            if hook not in self._peer.hooks
            and (hook not in OPTIONAL_HOOKS or not may_be_silent(self._peer, hook))
        ]
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
                self._hook_guards(hook, row.if_, row.unless, ("hooks", hook, i))
                if row.after is not None and hook in HOOK_VARIABLES and hook not in WAITING_HOOKS:
                    message = f"'{hook}' is said at once; it waits for nothing"
                    hint = f"only {listed(sorted(WAITING_HOOKS))} can wait"
                    self._find.key("E065", message, "hooks", hook, i, "after", hint=hint)
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

    def _hook_guards(self, hook: str, if_: str | None, unless: str | None, keys: Keys) -> None:
        if if_ is not None and unless is not None:
            self._find.key("E047", "`if` and `unless` stand together", *keys, "unless")
        for key, guard in (("if", if_), ("unless", unless)):
            if guard is not None and guard not in HOOK_GUARDS:
                message = f"unknown guard '{guard}'{did_you_mean(guard, HOOK_GUARDS)}"
                self._find.value("E022", message, *keys, key)
            elif guard is not None and hook in HOOK_VARIABLES:
                known = sorted(GUARDS_OF.get(hook, ()))
                if guard not in known:
                    message = f"'{guard}' says nothing of what '{hook}' is about"
                    hint = f"it can ask {listed(known)}" if known else "it is always said"
                    self._find.value("E061", message, *keys, key, hint=hint)

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
            if isinstance(message, str) and not message.startswith("$"):
                hint = "a message is a mapping, or a $variable that is the whole of it"
                self._find.value("E045", f"'{message}' is no message", "send", name, hint=hint)
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
        if whole[2] is not None and known.get(name) not in ("any", "any?"):
            self._find.value("E045", f"'${name}' has no parts", *keys)
            return
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

    def _reach(self) -> None:
        """How the other side is reached, and where a call is sent: `$key` and `$url` are all there is to fill in."""
        peer = self._peer
        if isinstance(peer, Transport):
            if peer.answer is not None and "$url" not in peer.answer.body:
                message = "the answer does not say $url, so the call would come to nobody"
                self._find.value("E057", message, "answer", "body")
            return
        if peer.connect is None:
            return
        texts: dict[Keys, str] = {("connect", "url"): peer.connect.url}
        texts |= {("connect", "headers", n): text for n, text in peer.connect.headers.items()}
        for keys, text in texts.items():
            for name in _WORD.findall(text):
                if name != "key":
                    message = f"unknown variable '${name}'; only '$key' is filled in here"
                    self._find.value("E045", message, *keys)
                elif peer.connect.key is None and not self._find.doubtful("connect"):
                    message = "`$key` stands here, and no `key` says which environment variable"
                    self._find.value("E057", message, *keys, hint="key: ACME_API_KEY")


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
