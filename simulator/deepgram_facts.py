"""How the Deepgram Voice Agent's model reads its own wire for the explorer's properties."""

from functools import lru_cache
from typing import Any

import msgspec

from .deepgram_wire import InjectAgentMessage, InjectUserMessage, decode
from .facts import Asked, Told
from .turns_facts import tells, tells_audio, tells_done, truth
from .turns_state import Refused


@lru_cache(maxsize=4096)
def told_all(message: str | bytes, bytes_per_ms: int = 8) -> tuple[Told, ...]:
    """Everything a message of the server says: at most one thing. That the caller begins to speak is how a turn is
    stopped; that it is over then is told by the caller's words, if by nothing else."""
    if isinstance(message, bytes):
        return (tells_audio(message, bytes_per_ms),)
    m: dict[str, Any] = msgspec.json.decode(message)
    match m["type"]:
        case "UserStartedSpeaking":
            found = [Told("speech_started")]
        case "AgentThinking":
            found = [tells("created", m)]
        case "ConversationText" if m["role"] == "assistant":
            found = [tells("text", m)._replace(status="message")]
        case "ConversationText":
            found = [tells_done(m, "cancelled")] if truth(m).response else []
        case "FunctionCallRequest":
            found = [tells("call", m) for _ in m["functions"]]
        case "AgentAudioDone":
            found = [tells_done(m)]
        case "InjectionRefused":
            found = [tells("error", m)]
        case _:
            found = []
    return tuple(found)


def told(message: str | bytes) -> Told | None:
    """What a message of the server says, of mu-law audio; None if it says nothing that the properties speak of."""
    found = told_all(message)
    return found[-1] if found else None


@lru_cache(maxsize=4096)
def asked(message: str | bytes) -> Asked:
    """What a message of the client asks for. What the agent is told to say is its next turn."""
    if isinstance(message, bytes):
        return Asked("other")
    try:
        m = decode(message)
    except Refused:
        return Asked("other")
    match m:
        case InjectUserMessage(content=words) | InjectAgentMessage(message=words):
            return Asked("create", request=words)
    return Asked("other")
