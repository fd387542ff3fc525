"""How servers of the OpenAI family spell what the model says and hears: GA names inside, their own on the wire.

One class per spelling, each only what differs from the one it extends; those with beta names are in `openai_beta.py`,
further ones in `openai_further.py`.
Sources: facts/providers.md 4.1 and 4.2 (xAI), facts/transports.md 26.2 (LocalAI).
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, TypeAlias

from .openai_memory import Item
from .openai_wire import Json, Refusal

Path: TypeAlias = tuple[str, ...]
"""Where a field is, level by level."""


class Spelling:
    """The names and shapes of general availability, and what the others may differ in."""

    names: ClassVar[Mapping[str, str]] = {}
    """GA name of a server event: the name it has here, where they differ."""
    doubles: ClassVar[Mapping[str, str]] = {}
    """GA name of a server event: the second name under which it is said once more."""
    tells_conversation: bool = True
    """Whether `conversation.created` is sent when the connection opens."""
    tells_idle: bool = True
    """Whether there is `input_audio_buffer.timeout_triggered`."""

    def joins(self, verb: Literal["added", "done"], item: Item) -> str | None:
        """What is said when an item has joined the conversation, or is whole; None for nothing."""
        return f"conversation.item.{verb}"

    def says(self, event: str, fields: Json) -> tuple[str, Json]:
        """A server event in this spelling; `fields` may be changed."""
        return self.names.get(event, event), fields

    def hears(self, raw: Json) -> Json:
        """A client message in GA spelling.

        :raises Refusal: for what this server does not know.
        """
        return raw

    def reads(self, message: Json) -> Json:
        """A server message of this spelling under its GA name, as `openai_facts.read` wants it."""
        return message

    def keeps_previous(self, raw: Json) -> bool:
        """Whether a `response.create` asks not to end the response before it."""
        return False


class XAI(Spelling):
    """xAI: GA names, `voice` and `turn_detection` at the top of the session, text said under both names."""

    doubles: ClassVar[Mapping[str, str]] = {"response.output_text.delta": "response.text.delta"}

    def joins(self, verb: Literal["added", "done"], item: Item) -> str | None:
        """`Spelling.joins`."""
        return "conversation.item.added" if verb == "added" else None

    def says(self, event: str, fields: Json) -> tuple[str, Json]:
        """`Spelling.says`."""
        if "session" in fields:
            fields["session"] = self._session(fields["session"])
        if event == "response.done":
            fields["usage"] = {}
        return super().says(event, fields)

    def _session(self, session: Json) -> Json:
        audio = dict(session.get("audio") or {})
        heard, spoken = dict(audio.get("input") or {}), dict(audio.get("output") or {})
        turns = heard.pop("turn_detection", None)
        voice = spoken.pop("voice", None)
        said = session | {"audio": audio | {"input": heard, "output": spoken}}
        return said | {"voice": voice, "turn_detection": turns and _without_flags(turns)}

    def hears(self, raw: Json) -> Json:
        """`Spelling.hears`."""
        if raw["type"] == "conversation.item.retrieve":
            raise Refusal("Invalid value: 'conversation.item.retrieve'.", param="type")
        session = raw.get("session")
        if raw["type"] != "session.update" or not isinstance(session, dict):
            return raw
        heard: Json = {"type": "realtime"} | session
        if "voice" in heard:
            put(heard, ("audio", "output", "voice"), heard.pop("voice"))
        if "turn_detection" in heard:
            put(heard, ("audio", "input", "turn_detection"), heard.pop("turn_detection"))
        if "audio" in heard:
            heard["audio"] = _xai_audio(heard["audio"])
        return raw | {"session": heard}

    def reads(self, message: Json) -> Json:
        """`Spelling.reads`."""
        ga_names = {double: ga for ga, double in self.doubles.items()}
        return message | {"type": ga_names.get(message["type"], message["type"])}


class LocalAI(Spelling):
    """LocalAI: GA names; it says less of the conversation and nothing of why a response ended."""

    tells_conversation = False

    def joins(self, verb: Literal["added", "done"], item: Item) -> str | None:
        """`Spelling.joins`."""
        return "conversation.item.added" if verb == "added" and item.response is None else None

    def says(self, event: str, fields: Json) -> tuple[str, Json]:
        """`Spelling.says`."""
        if "response" in fields:
            fields["response"] = {
                k: v for k, v in fields["response"].items() if k != "status_details"
            }
        return super().says(event, fields)


GA: Final = Spelling()
XAI_GROK: Final = XAI()
LOCALAI: Final = LocalAI()


def put(into: Json, path: Path, value: object) -> None:
    """Set a field some levels down; what is on the way is copied, and made where it is missing."""
    for key in path[:-1]:
        known = into.get(key)
        deeper = dict(known) if isinstance(known, dict) else {}
        into[key] = deeper
        into = deeper
    into[path[-1]] = value


def _without_flags(turns: Json) -> Json:
    """xAI's turn detection has no switches: facts/providers.md 4.1."""
    return {k: v for k, v in turns.items() if k not in ("create_response", "interrupt_response")}


def _xai_audio(audio: object) -> object:
    if not isinstance(audio, dict):
        return audio
    heard: Json = {}
    for leg, given in audio.items():
        settings = dict(given) if isinstance(given, dict) else given
        if isinstance(settings, dict):
            form = settings.get("format")
            if isinstance(form, dict) and form.get("type") != "audio/pcm":
                # Here G.711 may name its only rate. PCM is modelled at 24 kHz alone.
                said_rate = form.get("rate") == 8000
                settings["format"] = {k: v for k, v in form.items() if k != "rate" or not said_rate}
            turns = settings.get("turn_detection")
            if isinstance(turns, dict):
                settings["turn_detection"] = _without_flags(turns)
        heard[leg] = settings
    return heard
