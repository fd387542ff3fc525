"""Where each provider's client puts the caller's audio, and of what kind it is."""

import base64
from typing import Any, Final

import msgspec

from . import assemblyai_wire, deepgram_wire, elevenlabs_wire, gemini_wire, phonic_wire
from .emulator_deeds import PCM, Heard, Hears
from .openai import OpenAIServer
from .openai_wire import BYTES_PER_MS, decode_audio
from .turns import TurnServer

_ENCODINGS: Final = {"mulaw": "audio/pcmu", "ulaw": "audio/pcmu", "alaw": "audio/pcma"}
"""Those of one byte a sample; all others are 16 bit PCM."""


QWEN_BYTES_PER_MS: Final = 32
"""Of the caller's PCM, which is 16 kHz there though the agent's is 24 kHz. facts/transports.md 22."""


class _Append(msgspec.Struct):
    type: str = ""
    audio: str = ""


def openai(model: OpenAIServer, pcm_bytes_per_ms: int = BYTES_PER_MS[PCM]) -> Hears:
    """`input_audio_buffer.append`, in the session's input format."""
    per_ms = {**BYTES_PER_MS, PCM: pcm_bytes_per_ms}

    def hears(message: str | bytes) -> Heard | None:
        try:
            said = msgspec.json.decode(message, type=_Append)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if said.type != "input_audio_buffer.append":
            return None
        form = model.input_format
        return Heard(decode_audio(said.audio), form, per_ms[form])

    return hears


def gemini(model: TurnServer) -> Hears:
    """`realtimeInput.audio`, or the older `mediaChunks`; the MIME type says the rate, else it is 16 kHz."""

    def hears(message: str | bytes) -> Heard | None:
        heard = gemini_wire.decode(message).realtime_input
        if heard is None:
            return None
        blobs = [blob for blob in (heard.audio, *(heard.media_chunks or ())) if blob is not None]
        spoken = [blob for blob in blobs if blob.mime_type.startswith("audio/pcm")]
        if not spoken:
            return None
        rate = spoken[0].mime_type.rpartition("rate=")[2]
        rate_hz = int(rate) if rate.isdecimal() else 16_000
        audio = b"".join(base64.b64decode(blob.data) for blob in spoken)
        return Heard(audio, PCM, _pcm_bytes_per_ms(rate_hz))

    return hears


def binary_pcm(rate_hz: int) -> Hears:
    """Every binary frame, 16 bit PCM."""

    def hears(message: str | bytes) -> Heard | None:
        if isinstance(message, str):
            return None
        return Heard(message, PCM, _pcm_bytes_per_ms(rate_hz))

    return hears


def elevenlabs(model: TurnServer) -> Hears:
    """`user_audio_chunk`, in the format the server speaks too."""

    def hears(message: str | bytes) -> Heard | None:
        said = elevenlabs_wire.decode(message)
        if not isinstance(said, elevenlabs_wire.UserAudio):
            return None
        form = _ENCODINGS["ulaw"] if model.bytes_per_ms == 8 else PCM
        return Heard(base64.b64decode(said.user_audio_chunk), form, model.bytes_per_ms)

    return hears


class _Told:
    """What was said last of the caller's audio."""

    def __init__(self, name: str, rate_hz: int) -> None:
        self.set(name, rate_hz)

    def set(self, name: str, rate_hz: int) -> None:
        self.encoding = _ENCODINGS.get(name, PCM)
        per_sample = 2 if self.encoding == PCM else 1
        self.bytes_per_ms = max(1, rate_hz * per_sample // 1000)

    def heard(self, audio: bytes) -> Heard:
        return Heard(audio, self.encoding, self.bytes_per_ms)


def phonic(model: TurnServer) -> Hears:
    """`audio_chunk`, in the `input_format` of the last `config` or `reset`."""
    told = _Told("pcm", 44_100)

    def hears(message: str | bytes) -> Heard | None:
        said = phonic_wire.decode(message)
        if isinstance(said, phonic_wire.AudioChunk):
            return told.heard(base64.b64decode(said.audio))
        given: Any = said.config if isinstance(said, phonic_wire.Reset) else said
        if isinstance(given, phonic_wire.Options):
            name, rate = given.input_format.split("_")
            told.set(name, int(rate))
        return None

    return hears


def deepgram(model: TurnServer) -> Hears:
    """Every binary frame, as `Settings` says: by default 16 bit PCM at 24 kHz."""
    told = _Told("linear16", 24_000)

    def hears(message: str | bytes) -> Heard | None:
        if isinstance(message, bytes):
            return told.heard(message)
        said = deepgram_wire.decode(message)
        if isinstance(said, deepgram_wire.Settings) and said.audio.input is not None:
            form = said.audio.input
            told.set(form.encoding or "linear16", form.sample_rate or 24_000)
        return None

    return hears


def assemblyai(model: TurnServer) -> Hears:
    """`input.audio`, as the last `session.update` that says it: by default 16 bit PCM at 24 kHz."""
    told = assemblyai_wire.Format()

    def hears(message: str | bytes) -> Heard | None:
        nonlocal told
        said = assemblyai_wire.decode(message)
        if isinstance(said, assemblyai_wire.Audio):
            per_ms = assemblyai_wire.BYTES_PER_MS[told.encoding]
            return Heard(base64.b64decode(said.audio), told.encoding, per_ms)
        if isinstance(said, assemblyai_wire.Update) and said.session.input is not None:
            told = said.session.input.format or told
        return None

    return hears


def _pcm_bytes_per_ms(rate_hz: int) -> int:
    return max(1, rate_hz * 2 // 1000)
