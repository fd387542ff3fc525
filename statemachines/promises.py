"""What a table says it can do (`can:`), held against what the rest of it really says and hears."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal

from .diagnostics import closest
from .findings import Findings
from .model import Provider, Transport
from .vocabulary import (
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
}
"""By hook: the capability that decides whether it sends something."""

_CARRIES: Final[tuple[tuple[str, str, tuple[str, ...], str | None, str], ...]] = (
    ("response.cancel", "$response", ("by_id",), "cancel", "it would hit whatever runs"),
    ("playback.truncate", "$item", ("item_ms",), "truncate", "it would cut nothing"),
    ("playback.truncate", "$heard_ms", ("item_ms",), "truncate", "it would cut anywhere"),
    ("playback.forget", "$item", ("item",), "delete", "it would delete nothing"),
    ("session.request", "$request", ("metadata",), "correlates", "no answer could name it"),
    (
        "session.request",
        "$conversation",
        ("out_of_band",),
        "concurrent",
        "no response could run beside another",
    ),
    ("session.mark", "$mark", ("echoed",), "marks", "no echo could name it"),
    ("session.configure", "$settings", (), None, "nothing would be configured"),
    ("session.listen", "$audio", (), None, "nobody would be heard"),
    ("session.play", "$audio", (), None, "nothing would be heard"),
)
"""(hook, variable that one of its messages must carry, under which values of which capability, or else)."""


_NOT_YET: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("wire", "frames"): ("binary", "mixed"),
    ("can", "truncate", "is"): ("server",),
    ("can", "playback", "is"): ("server",),
    ("can", "clear", "is"): ("none",),
    ("can", "marks", "is"): ("none",),
    ("can", "heard", "is"): ("clock", "report", "server"),
    ("can", "frames", "is"): ("paced",),
}
"""What a table may say of a peer and `runtime/` does not carry out: a call would be mute or its memory wrong."""


def may_be_silent(peer: Provider | Transport, hook: str) -> bool:
    """True if `hook: []` would be right: the other side has no verb for it, or audio travels as bare frames."""
    if hook in _VERBS:
        return _need(peer, hook) != "speaks"
    if hook in ("session.listen", "session.play"):
        return peer.wire.frames != "text"
    return hook == "session.configure"  # some providers are configured by the URL or a call before


def check_promises(peer: Provider | Transport, find: Findings) -> None:
    """Report every contradiction between `can:` and the hooks, messages and events."""
    _check_silence(peer, find)
    _check_carried(peer, find)
    _check_heard(peer, find)
    can = _values(peer)
    for place, values in _NOT_YET.items():
        value = peer.wire.frames if place[0] == "wire" else can.get(place[1])
        if value in values:
            find.value("E059", f"'{value}' is not carried out yet", *place)
    if can.get("truncate") == "item_ms" and can.get("identifies") in ("response", "turn"):
        message = (
            f"truncate is item_ms, yet messages name no item: identifies is {can['identifies']}"
        )
        find.value("E057", message, "can", "truncate", "is")
    if can.get("heard") == "marks" and can.get("marks") == "none":
        message = "marks cannot tell what was heard: marks is none"
        find.value("E057", message, "can", "heard", "is")
    if can.get("interrupts_itself") == "never":
        for hook, rows in peer.hooks.items():
            for i, row in enumerate(rows):
                for key, guard in (("if", row.if_), ("unless", row.unless)):
                    if guard == "server_cancels":
                        message = "the server never cancels by itself: interrupts_itself is never"
                        find.value("E057", message, "hooks", hook, i, key)


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
        names = [row.send for row in peer.hooks.get(hook, ())]
        if capability is not None and can.get(capability) not in values:
            continue
        if not names or any(n not in peer.send or find.doubtful("send", n) for n in names):
            continue
        if not any(_carries(peer.send[name], variable) for name in names):
            reason = f", yet {capability} is {can[capability]}" if capability else ""
            message = f"no message of '{hook}' carries {variable}{reason}: {otherwise}"
            if not find.doubtful("hooks", hook):
                find.key("E057", message, "hooks", hook)
    if can.get("cancel") == "anonymous":
        for row in peer.hooks.get("response.cancel", ()):
            if _carries(peer.send.get(row.send, {}), "$response"):
                message = "the cancel names $response, yet cancel is anonymous"
                find.key("E057", message, "hooks", "response.cancel")


def _check_heard(peer: Provider | Transport, find: Findings) -> None:
    """The events without which a promise, or the peer as such, means nothing."""
    can = _values(peer)
    rows = [row for _, rows in peer.received() for row in rows]
    known = PROVIDER_EVENTS if isinstance(peer, Provider) else TRANSPORT_EVENTS
    heard = {_meant(row.get("event", ""), known) for row in rows}
    needed: Iterable[tuple[str, bool, str]]
    if isinstance(peer, Provider):
        needed = (
            ("audio", peer.wire.frames == "text", "nothing would be heard"),
            ("created", can.get("announces") == "created", "announces is created"),
            (
                "finished",
                can.get("finishes") in ("always", "usually"),
                f"finishes is {can.get('finishes')}",
            ),
        )
        echoes = any(
            row.get("event") in ("created", "finished") and "request" in row for row in rows
        )
        if can.get("correlates") == "metadata" and not echoes and not find.doubtful("receive"):
            message = "correlates is metadata, yet neither 'created' nor 'finished' reads `request`"
            find.value("E057", message, "can", "correlates", "is")
    else:
        stream = any(_carries(message, "$stream") for message in peer.send.values())
        needed = (
            ("caller_audio", peer.wire.frames == "text", "nobody would be heard"),
            ("started", stream, "messages carry $stream, which it names"),
            ("marked", can.get("marks") == "echoed", "marks is echoed"),
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
            return _meant(value[1:], {**PROVIDER_VARIABLES, **TRANSPORT_VARIABLES}) == variable[1:]
    return False


def _meant(word: str, known: Collection[str]) -> str | None:
    """The word itself or, since a misspelled one is reported already, the one that was meant."""
    return word if word in known else closest(word, known)
