"""What a table says it can do (`can:`), held against what the rest of it really says and hears."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product
from typing import Any, Final, Literal

from .diagnostics import closest
from .findings import Findings
from .model import Hook, Provider, Transport
from .vocabulary import (
    HOOK_GUARDS,
    PROVIDER_EVENTS,
    PROVIDER_SESSION_HOOKS,
    PROVIDER_VARIABLES,
    TRANSPORT_EVENTS,
    TRANSPORT_SESSION_HOOKS,
    TRANSPORT_VARIABLES,
)

Need = Literal["speaks", "silent", "either"]

_VERBS: Final[dict[str, tuple[str, dict[str, Need]]]] = {
    "response.cancel": (
        "cancel",
        {"by_id": "speaks", "anonymous": "speaks", "by_new_input": "either", "none": "silent"},
    ),
    "playback.truncate": (
        "truncate",
        {"item_ms": "speaks", "server": "silent", "none": "silent"},
    ),
    "playback.forget": ("delete", {"item": "speaks", "none": "silent"}),
    "response.clear": ("clear", {"whole_buffer": "speaks", "none": "silent"}),
    "session.mark": ("marks", {"echoed": "speaks", "none": "silent"}),
    "session.hush": ("playback", {"server": "speaks", "client": "silent"}),
}
"""By hook: the capability that decides whether it sends something."""

_CARRIES: Final[tuple[tuple[str, str, tuple[str, ...], str | None, str], ...]] = (
    ("response.cancel", "$response", ("by_id",), "cancel", "it would hit whatever runs"),
    ("playback.truncate", "$item", ("item_ms",), "truncate", "it would cut nothing"),
    ("playback.truncate", "$heard_ms", ("item_ms",), "truncate", "it would cut anywhere"),
    ("playback.forget", "$item", ("item",), "delete", "it would delete nothing"),
    (
        "session.request",
        "$request",
        ("metadata", "assumed"),
        "correlates",
        "no answer could name it",
    ),
    (
        "session.request",
        "$conversation",
        ("out_of_band",),
        "concurrent",
        "no response could run beside another",
    ),
    ("session.mark", "$mark", ("echoed",), "marks", "no echo could name it"),
    ("session.play", "$item", ("report",), "heard", "no report could name it"),
    ("session.configure", "$settings", (), None, "nothing would be configured"),
    ("session.listen", "$audio", (), None, "nobody would be heard"),
    ("session.play", "$audio", (), None, "nothing would be heard"),
)
"""(hook, variable that one of its messages must carry, under which values of which capability, or else)."""


def may_be_silent(peer: Provider | Transport, hook: str) -> bool:
    """True if `hook: []` would be right: the other side has no verb for it, or audio travels as bare frames."""
    if hook in _VERBS:
        return _need(peer, hook) != "speaks"
    if hook in ("session.listen", "session.play"):
        return peer.wire.frames != "text" or server_plays(peer)
    return hook in (
        "session.configure",
        "session.pong",
    )  # some providers are configured by the URL or a call before


def server_plays(peer: Provider | Transport) -> bool:
    """Whether no audio passes through us, because the provider's server plays by itself."""
    return "server" in [peer.can[name].is_ for name in ("playback", "heard") if name in peer.can]


def check_promises(peer: Provider | Transport, find: Findings) -> None:
    """Report every contradiction between `can:` and the hooks, messages and events."""
    _check_silence(peer, find)
    _check_carried(peer, find)
    _check_heard(peer, find)
    can = _values(peer)
    _check_server_plays(peer, can, find)
    if can.get("truncate") == "item_ms" and can.get("identifies") in ("response", "turn"):
        message = (
            f"truncate is item_ms, yet messages name no item: identifies is {can['identifies']}"
        )
        find.value("E057", message, "can", "truncate", "is")
    if can.get("heard") in ("marks", "checked_marks") and can.get("marks") == "none":
        message = "marks cannot tell what was heard: marks is none"
        find.value("E057", message, "can", "heard", "is")
    if isinstance(peer, Transport) and "frames" in can:
        if can["frames"] == "exact" and "frame_ms" not in peer.pace:
            message = "frames is exact, yet `pace` names no frame_ms: how long is a frame?"
            if not find.doubtful("pace"):
                find.value("E057", message, "can", "frames", "is")
        elif can["frames"] == "any" and "frame_ms" in peer.pace:
            message = "every frame is to have one length, yet frames is any"
            find.key("E057", message, "pace", "frame_ms")
    if peer.wire.frames == "mixed" and not find.unsure("wire", "frames"):
        for hook in ("session.listen", "session.play"):
            if peer.hooks.get(hook):
                message = f"'{hook}' sends a message, yet audio travels bare: frames is mixed"
                find.key("E057", message, "hooks", hook, hint=f"`{hook}: []`")
    if can.get("interrupts_itself") == "never":
        for hook, rows in peer.hooks.items():
            for i, row in enumerate(rows):
                for key, guard in (("if", row.if_), ("unless", row.unless)):
                    if guard == "server_cancels":
                        message = "the server never cancels by itself: interrupts_itself is never"
                        find.value("E057", message, "hooks", hook, i, key)


def _check_server_plays(peer: Provider | Transport, can: Mapping[str, str], find: Findings) -> None:
    """What a table may say of a peer and `runtime/` does not carry out: a call would be mute or its memory wrong."""
    if isinstance(peer, Provider):
        if (can.get("playback") == "server") != (can.get("truncate") == "server"):
            message = f"playback is {can.get('playback')} and truncate is {can.get('truncate')}"
            hint = "who plays knows what was heard, so who plays cuts"
            if {"playback", "truncate"} <= can.keys():
                find.value("E059", message, "can", "truncate", "is", hint=hint)
    elif can.get("heard") == "server":
        carries = [name for name in ("clear", "marks") if can.get(name, "none") != "none"]
        carries += [hook for hook in ("session.play",) if peer.hooks.get(hook)]
        if carries:
            message = (
                f"heard is server, yet there is {carries[0]}: then it is the transport that plays"
            )
            find.value("E059", message, "can", "heard", "is")


def _need(peer: Provider | Transport, hook: str) -> Need:
    """What the capabilities ask of a hook; "either" if they cannot be read."""
    capability, needs = _VERBS[hook]
    can = _values(peer)
    if (
        hook == "playback.forget"
        and can.get("delete") == "none"
        and can.get("truncate") == "item_ms"
    ):
        return "either"  # to cut at nothing is a way to forget
    return needs.get(can.get(capability, ""), "either")


def _check_silence(peer: Provider | Transport, find: Findings) -> None:
    can = _values(peer)
    own = PROVIDER_SESSION_HOOKS if isinstance(peer, Provider) else TRANSPORT_SESSION_HOOKS
    for hook, rows in peer.hooks.items():
        if find.doubtful("hooks", hook) or not (hook in own or hook in _VERBS):
            continue
        if not rows and not may_be_silent(peer, hook):
            reason = ""
            if hook in _VERBS:
                capability = _VERBS[hook][0]
                reason = f", yet {capability} is {can[capability]}"
            find.key("E041", f"hook '{hook}' sends nothing{reason}", "hooks", hook)
        elif rows and hook in _VERBS and _need(peer, hook) == "silent":
            capability = _VERBS[hook][0]
            message = f"hook '{hook}' sends something, yet {capability} is {can[capability]}"
            find.key("E057", message, "hooks", hook, hint=f"`{hook}: []`, or correct `can`")


def _check_carried(peer: Provider | Transport, find: Findings) -> None:
    can = _values(peer)
    for hook, variable, values, capability, otherwise in _CARRIES:
        rows = peer.hooks.get(hook, ())
        if capability is not None and can.get(capability) not in values:
            continue
        if any(r.send not in peer.send or find.doubtful("send", r.send) for r in rows):
            continue
        if any(
            not any(_carries(peer.send[name], variable) for name in names)
            for names in _said_together(rows)
        ):
            reason = f", yet {capability} is {can[capability]}" if capability else ""
            message = f"no message of '{hook}' carries {variable}{reason}: {otherwise}"
            if not find.doubtful("hooks", hook):
                find.key("E057", message, "hooks", hook)
    if can.get("cancel") == "anonymous":
        for row in peer.hooks.get("response.cancel", ()):
            if _carries(peer.send.get(row.send, {}), "$response"):
                message = "the cancel names $response, yet cancel is anonymous"
                find.key("E057", message, "hooks", "response.cancel")


def _said_together(rows: tuple[Hook, ...]) -> Iterator[list[str]]:
    """The messages that go out at once, for every way in which the guards of a hook can stand."""
    asked = {guard for row in rows for guard in (row.if_, row.unless)}
    guards = [guard for guard in HOOK_GUARDS if guard in asked]
    for holds in product((True, False), repeat=len(guards)):
        stands = dict(zip(guards, holds, strict=True))
        names = [
            row.send
            for row in rows
            if stands.get(row.if_ or "", True) and not stands.get(row.unless or "", False)
        ]
        if names:
            yield names


def _check_heard(peer: Provider | Transport, find: Findings) -> None:
    """The events without which a promise, or the peer as such, means nothing."""
    can = _values(peer)
    rows = [row for _, rows in peer.received() for row in rows]
    known = PROVIDER_EVENTS if isinstance(peer, Provider) else TRANSPORT_EVENTS
    heard = {_meant(str(row.get("event", "")), known) for row in rows}
    plays = server_plays(peer)
    needed: Iterable[tuple[str, bool, str]]
    if isinstance(peer, Provider):
        needed = (
            ("audio", peer.wire.frames == "text" and not plays, "nothing would be heard"),
            ("playback_started", plays, "playback is server"),
            ("playback_stopped", plays, "playback is server"),
            ("playback_cleared", plays, "playback is server"),
            ("truncated", can.get("truncate") == "server", "truncate is server"),
            ("created", can.get("announces") == "created", "announces is created"),
            ("ready", can.get("opens") == "when_ready", "opens is when_ready"),
            (
                "finished",
                can.get("finishes") in ("always", "usually"),
                f"finishes is {can.get('finishes')}",
            ),
            ("ping", bool(peer.hooks.get("session.pong")), "hook 'session.pong' answers it"),
        )
        echoes = any(
            row.get("event") in ("created", "finished") and "request" in row for row in rows
        )
        if (
            can.get("correlates") in ("metadata", "assumed")
            and not echoes
            and not find.doubtful("receive")
        ):
            message = f"correlates is {can['correlates']}, yet neither 'created' nor 'finished' reads `request`"
            find.value("E057", message, "can", "correlates", "is")
        cuts = [row for row in rows if row.get("event") == "truncated"]
        if can.get("truncate") == "server" and cuts and not any("heard_ms" in row for row in cuts):
            message = (
                "truncate is server, yet 'truncated' does not read `heard_ms`: where was it cut?"
            )
            find.value("E057", message, "can", "truncate", "is")
    else:
        stream = any(_carries(message, "$stream") for message in peer.send.values())
        needed = (
            ("caller_audio", peer.wire.frames == "text" and not plays, "nobody would be heard"),
            ("started", stream, "messages carry $stream, which it names"),
            ("marked", can.get("marks") == "echoed", "marks is echoed"),
            ("played", can.get("heard") == "report", "heard is report"),
            ("cleared", can.get("clear_ack") == "anonymous", "clear_ack is anonymous"),
        )
    for event, is_needed, reason in needed:
        if is_needed and event not in heard:
            find.missing("E058", f"no message becomes '{event}': {reason}", "receive")


def _values(peer: Provider | Transport) -> Mapping[str, str]:
    return {name: capability.is_ for name, capability in peer.can.items()}


def _carries(value: Any, variable: str) -> bool:  # noqa: ANN401 - any JSON
    match value:
        case dict():
            return any(_carries(inner, variable) for inner in value.values())
        case list() | tuple():
            return any(_carries(inner, variable) for inner in value)
        case str() if value.startswith("$"):
            said = value[1:].partition(".")[0]
            return _meant(said, {**PROVIDER_VARIABLES, **TRANSPORT_VARIABLES}) == variable[1:]
    return False


def _meant(word: str, known: Collection[str]) -> str | None:
    """The word itself or, since a misspelled one is reported already, the one that was meant."""
    return word if word in known else closest(word, known)
