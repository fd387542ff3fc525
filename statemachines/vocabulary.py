"""The closed vocabulary of provider and transport tables: events, their fields, variables, capabilities.

A machine file declares its own events, actions and guards. What a wire message can become, and what a message
we send may be filled with, is fixed here, because `runtime/` implements it. A test holds the two together.
"""

from typing import Final, Literal

FieldType = Literal["str", "str?", "bytes", "int?", "bool?"]
"""The type of a field; with `?` it may be missing or null in the message."""

VariableType = Literal["str", "str?", "bytes", "int", "any", "any?"]
"""The type of a `$variable`; with `?` its field is left out of the message when unknown."""

PROVIDER_EVENTS: Final[dict[str, dict[str, FieldType]]] = {
    # A response's life on the wire.
    "created": {"response": "str", "request": "str?", "conversation": "str?"},
    "announced": {"response": "str", "item": "str", "kind": "str?"},
    "audio": {"response": "str", "item": "str", "part": "int?", "audio": "bytes"},
    "transcript": {"response": "str", "item": "str", "part": "int?", "text": "str"},
    "text": {"response": "str", "item": "str", "part": "int?", "text": "str"},
    "call": {"response": "str", "item": "str", "call": "str", "name": "str?", "arguments": "str"},
    "ended": {"response": "str", "item": "str"},
    "finished": {
        "response": "str",
        "status": "str?",
        "reason": "str?",
        "code": "str?",
        "request": "str?",
        "conversation": "str?",
    },
    # What the server says of the caller, of itself, and of what we asked.
    "speech_started": {},
    "speech_stopped": {},
    "configured": {"interrupts_itself": "bool?", "vad": "str?"},
    "truncated": {"item": "str"},
    "deleted": {"item": "str"},
    "error": {"code": "str?", "message": "str?", "param": "str?", "op": "str?"},
}

TRANSPORT_EVENTS: Final[dict[str, dict[str, FieldType]]] = {
    "connected": {},
    "started": {"stream": "str", "call": "str?"},
    "caller_audio": {"audio": "bytes", "track": "str?"},
    "marked": {"mark": "str"},
    "dtmf": {"digit": "str"},
    "ended": {},
}

PROVIDER_VARIABLES: Final[dict[str, VariableType]] = {
    "op": "str",
    "request": "str",
    "response": "str",
    "item": "str",
    "part": "int",
    "heard_ms": "int",
    "audio": "bytes",
    "conversation": "str?",
    "instructions": "str?",
    "input": "any?",
    "tools": "any?",
    "settings": "any",
}

TRANSPORT_VARIABLES: Final[dict[str, VariableType]] = {
    "stream": "str",
    "audio": "bytes",
    "mark": "str",
}

HOOK_VARIABLES: Final[dict[str, frozenset[str]]] = {
    "session.configure": frozenset({"op", "settings"}),
    "session.listen": frozenset({"audio"}),
    "session.request": frozenset({"request", "conversation", "instructions", "input", "tools"}),
    "session.play": frozenset({"stream", "audio"}),
    "session.mark": frozenset({"stream", "mark"}),
    "response.cancel": frozenset({"op", "response"}),
    "response.clear": frozenset({"stream"}),
    "playback.truncate": frozenset({"op", "response", "item", "part", "heard_ms"}),
    "playback.forget": frozenset({"op", "response", "item", "part"}),
}
"""Every hook there is, with the variables its messages may use."""

PROVIDER_SESSION_HOOKS: Final = frozenset(
    {"session.configure", "session.listen", "session.request"}
)
TRANSPORT_SESSION_HOOKS: Final = frozenset({"session.play", "session.mark"})

HOOK_GUARDS: Final[dict[str, str]] = {
    "server_cancels": "The server cancels this response by itself, because it heard the caller speak.",
    "has_audio": "The server has sent audio of the item.",
    "text_only": "Text of the item was handed to the application, and it has no audio.",
}

PROVIDER_CAPABILITIES: Final[dict[str, tuple[str, ...]]] = {
    "cancel": ("by_id", "anonymous", "by_new_input", "none"),
    "truncate": ("item_ms", "server", "none"),
    "delete": ("item", "none"),
    "concurrent": ("none", "out_of_band", "any"),
    "interrupts_itself": ("on_vad", "never", "unknown"),
    "correlates": ("metadata", "order"),
    "announces": ("created", "content"),
    "identifies": ("item", "response", "turn"),
    "finishes": ("always", "usually", "never"),
    "playback": ("client", "server"),
}

TRANSPORT_CAPABILITIES: Final[dict[str, tuple[str, ...]]] = {
    "clear": ("whole_buffer", "none"),
    "clear_ack": ("none", "anonymous"),
    "marks": ("echoed", "none"),
    "marks_on_clear": ("returned_unflagged", "returned_flagged", "dropped", "unknown"),
    "heard": ("marks", "clock", "report", "server"),
    "frames": ("any", "paced"),
}

PROVIDER_TIMEOUTS: Final = ("created_ms", "stalled_ms", "settled_ms", "answer_ms")
TRANSPORT_TIMEOUTS: Final = ("mark_every_ms", "overdue_ms")
