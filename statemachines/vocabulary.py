"""The closed vocabulary of provider and transport tables: events, their fields, variables, capabilities.

A machine file declares its own events, actions and guards. What a wire message can become, and what a message
we send may be filled with, is fixed here, because `runtime/` implements it. A test holds the two together.
"""

from typing import Final, Literal

FieldType = Literal["str", "str?", "bytes", "int", "int?", "bool?", "any?", "json"]
"""The type of a field; with `?` it may be missing or null. `json` is text, or whatever becomes JSON text."""

VariableType = Literal["str", "str?", "bytes", "int", "any", "any?"]
"""The type of a `$variable`; with `?` its field is left out of the message when unknown."""

PROVIDER_EVENTS: Final[dict[str, dict[str, FieldType]]] = {
    # A response's life on the wire.
    "created": {"response": "str", "request": "str?", "conversation": "str?"},
    "announced": {"response": "str", "item": "str", "kind": "str?"},
    "audio": {"response": "str", "item": "str", "part": "int?", "audio": "bytes"},
    "transcript": {"response": "str", "item": "str", "part": "int?", "text": "str"},
    "text": {"response": "str", "item": "str", "part": "int?", "text": "str"},
    "call": {"response": "str", "item": "str", "call": "str", "name": "str?", "arguments": "json"},
    "ended": {"response": "str", "item": "str"},
    "finished": {
        "response": "str",
        "status": "str?",
        "reason": "str?",
        "code": "str?",
        "request": "str?",
        "conversation": "str?",
        "item": "str?",
    },
    # What the server says of the caller, of itself, and of what we asked.
    "ready": {},
    "speech_started": {},
    "speech_stopped": {},
    "interrupted": {"response": "str?"},
    "corrected": {"text": "str", "response": "str?"},
    "configured": {"interrupts_itself": "bool?", "vad": "str?", "manual": "bool?"},
    "closing": {"left": "str?"},
    "ping": {"ping": "any?"},
    "truncated": {"item": "str", "heard_ms": "int?"},
    "deleted": {"item": "str"},
    "error": {"code": "str?", "message": "str?", "param": "str?", "op": "str?"},
    # What the server plays by itself.
    "playback_started": {"response": "str"},
    "playback_stopped": {"response": "str"},
    "playback_cleared": {"response": "str?"},
}

TRANSPORT_EVENTS: Final[dict[str, dict[str, FieldType]]] = {
    "connected": {},
    "started": {"stream": "str?", "call": "str?"},
    "caller_audio": {"audio": "bytes", "track": "str?"},
    "marked": {"mark": "str"},
    "mark_cleared": {"mark": "str"},
    "cleared": {},
    "played": {"item": "str", "played_ms": "int", "generation": "int?"},
    "dtmf": {"digit": "str"},
    "error": {"code": "str?", "message": "str?"},
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
    "text": "str",
    "input": "any?",
    "tools": "any?",
    "settings": "any",
    "ping": "any?",
}

TRANSPORT_VARIABLES: Final[dict[str, VariableType]] = {
    "stream": "str",
    "audio": "bytes",
    "mark": "str",
    "item": "str",
    "generation": "int",
}

HOOK_VARIABLES: Final[dict[str, frozenset[str]]] = {
    "session.configure": frozenset({"op", "settings"}),
    "session.listen": frozenset({"audio"}),
    "session.request": frozenset(
        {"request", "conversation", "instructions", "text", "input", "tools"}
    ),
    "session.pong": frozenset({"ping"}),
    "session.hush": frozenset({"op", "response"}),
    "session.play": frozenset({"stream", "audio", "item", "generation"}),
    "session.mark": frozenset({"stream", "mark", "item", "generation"}),
    "response.cancel": frozenset({"op", "response"}),
    "response.clear": frozenset({"stream", "generation"}),
    "playback.truncate": frozenset({"op", "response", "item", "part", "heard_ms"}),
    "playback.forget": frozenset({"op", "response", "item", "part"}),
}
"""Every hook there is, with the variables its messages may use."""

PROVIDER_SESSION_HOOKS: Final = frozenset(
    {"session.configure", "session.listen", "session.request", "session.pong", "session.hush"}
)
TRANSPORT_SESSION_HOOKS: Final = frozenset({"session.play", "session.mark"})

OPTIONAL_HOOKS: Final = frozenset({"session.pong", "session.hush"})
"""What a table may leave out: most peers never ask for it, and only few play by themselves."""

HOOK_GUARDS: Final[dict[str, str]] = {
    "server_cancels": "The server cancels this response by itself, because it heard the caller speak.",
    "manual_turns": "The session was told that we say when the caller speaks; the server does not listen for it.",
    "instructed": "The application said what the response should be about.",
    "has_audio": "The server has sent audio of the item.",
    "text_only": "Text of the item was handed to the application, and it has no audio.",
}

GUARDS_OF: Final[dict[str, frozenset[str]]] = {
    "session.request": frozenset({"instructed"}),
    "response.cancel": frozenset({"server_cancels", "manual_turns"}),
    "session.hush": frozenset({"server_cancels"}),
    "playback.truncate": frozenset({"has_audio", "text_only"}),
    "playback.forget": frozenset({"has_audio", "text_only"}),
}
"""By hook: the guards its rows may ask. A hook that is not here asks none."""

WAITING_HOOKS: Final = frozenset({"playback.forget"})
"""The hooks that may stand `after: finished`: the others are about what cannot wait."""

PROVIDER_CAPABILITIES: Final[dict[str, tuple[str, ...]]] = {
    "cancel": ("by_id", "anonymous", "by_new_input", "none"),
    "truncate": ("item_ms", "server", "none"),
    "delete": ("item", "none"),
    "concurrent": ("none", "out_of_band", "any"),
    "interrupts_itself": ("on_vad", "never", "unknown"),
    "correlates": ("metadata", "assumed", "order"),
    "announces": ("created", "content"),
    "identifies": ("item", "response", "turn"),
    "finishes": ("always", "usually", "never"),
    "playback": ("client", "server"),
    "supersedes": ("never", "silently"),
    "answers_cancel": ("never", "unknown", "always"),
    "remembers": ("generated", "sent", "reckoned", "unknown"),
    "opens": ("at_once", "when_ready"),
}
OPTIONAL_CAPABILITIES: Final[dict[str, str]] = {
    "supersedes": "never",
    "answers_cancel": "never",
    "remembers": "generated",
    "opens": "at_once",
}
"""What a table need not say, and what holds then."""

CAPABILITY_MEANINGS: Final[dict[str, str]] = {
    "cancel": "How a response is told to stop: by its id, without one, by new input of the caller, or not at all.",
    "truncate": "Who cuts an item where the caller stopped hearing: we by milliseconds, the server, or nobody.",
    "delete": "Whether an item can be taken out of the server's memory.",
    "concurrent": "Whether responses may run beside each other.",
    "interrupts_itself": "Whether the server stops its response when it hears the caller.",
    "correlates": "How a response is known as the answer to a request: by what the server echoes, by that if it "
    "echoes anything at all (assumed), or by order.",
    "announces": "What the first sign of a response is: an event of its own, or its content.",
    "identifies": "What messages name: items, only responses, or nothing but the turn they belong to.",
    "finishes": "Whether every response gets a last word.",
    "playback": "Who plays, and so knows what was heard: the client or the server.",
    "supersedes": "Whether a new response silently ends the one before, which then has no last word.",
    "answers_cancel": "Whether the input that stops a response is answered with another that nobody asked for.",
    "remembers": "What the server remembers of a response cut short if nobody corrects it.",
    "opens": "From when on it takes requests and the caller's voice: at once, or when it has said that it is ready.",
    "clear": "Whether what the carrier has buffered can be thrown away.",
    "clear_ack": "Whether a clear is confirmed.",
    "marks": "Whether the carrier tells when it has played up to a point.",
    "marks_on_clear": "What becomes of the marks still out at a clear.",
    "heard": "How we learn what was heard: by marks, by marks as far as the clock allows, reports of the player, "
    "the clock alone, or from the provider.",
    "frames": "Whether audio may come in pieces of any size.",
}
"""What each capability means to the user, in a sentence."""

TRANSPORT_CAPABILITIES: Final[dict[str, tuple[str, ...]]] = {
    "clear": ("whole_buffer", "none"),
    "clear_ack": ("none", "anonymous"),
    "marks": ("echoed", "none"),
    "marks_on_clear": ("returned_unflagged", "returned_flagged", "dropped", "unknown", "none"),
    "heard": ("marks", "checked_marks", "report", "clock", "server"),
    "frames": ("any", "exact"),
}

PROVIDER_TIMEOUTS: Final = ("created_ms", "stalled_ms", "settled_ms", "answer_ms")
TRANSPORT_TIMEOUTS: Final = ("mark_every_ms", "overdue_ms")
PACES: Final[dict[str, str]] = {
    "frame_ms": "The length every binary or JSON frame of audio must have.",
    "least_ms": "How long a binary or JSON piece of audio must be at least, but for the rest of an item.",
    "ahead_ms": "How much speech the carrier may hold that it has not played yet.",
}
"""Limits of what a carrier takes; where one is missing, there is none."""
