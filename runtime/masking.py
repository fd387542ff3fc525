"""What a journal must not hold: secrets, always, and audio, unless it was asked for.

Masked audio keeps its length, so that a replay can put as many other bytes in its place. Audio is what an adapter
read as audio; in messages that nobody could read it is any long run of base64.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from . import events as ev

LONG_CHARS: Final = 120
"""Base64 of this length or more is taken for audio where no adapter says what it is. Ids are shorter."""

_SECRET_KEYS: Final = frozenset(
    {
        "accesstoken",
        "apikey",
        "authorization",
        "authtoken",
        "bearer",
        "clientsecret",
        "digit",  # Keys pressed are card numbers and PINs.
        "digits",
        "ephemeralkey",
        "idtoken",
        "password",
        "refreshtoken",
        "secret",
        "token",
        "xapikey",
    }
)
_SECRET_MAPS: Final = frozenset({"customparameters", "headers"})
"""Mappings whose keys are the user's own, so that any of their values may be a secret."""
_HINTS: Final = (
    "secret", "token", "key", "authoriz", "bearer", "password", "customparam", "headers", "digit",
)  # fmt: skip

_SECRET: Final = "@secret"
_BASE64: Final = re.compile(rf"[A-Za-z0-9+/]{{{LONG_CHARS},}}={{0,2}}")
_AUDIO_MARKER: Final = re.compile(r'"@audio:(\d+)"')
_CHARS_MARKER: Final = re.compile(r"@chars:(\d+)")
_KEYS_IN_TEXT: Final = "|".join("[-_]?".join(key) for key in sorted(_SECRET_KEYS))
_SECRET_IN_TEXT: Final = re.compile(
    rf'(?i)("?(?:{_KEYS_IN_TEXT})"?\s*[:=][\s\[{{]*+)("(?:[^"\\]|\\.)*"?|(?:bearer\s+)?[^\s,\]}}"]+)'
)
_BEGINS: Final = re.compile(r"-?[0-9][0-9.eE+-]*|-|null|true|false|[ntf]")
"""By this a parser takes what follows for a number or a word of JSON."""
_CHARACTER: Final = re.compile(r"(\\.?)|.", re.DOTALL)
"""An escape, which may break a string, or any other character."""
_DIGIT: Final = re.compile(r"(?<=[0-9])[0-9]|[1-9]")  # A zero in front stays: it breaks a number.


def base64_chars(size_bytes: int) -> int:
    """How many characters `size_bytes` are in base64, padding included."""
    return (size_bytes + 2) // 3 * 4


def may_hide(text: str, *, audio: bool) -> bool:
    """Whether `text` might hold a secret, or (`audio`) the base64 of sound. Cheap, and never falsely False."""
    lower = text.lower()
    for hint in _HINTS:
        if hint in lower:
            return True
    return (
        audio
        and len(text) >= LONG_CHARS
        and max(map(len, text.split('"'))) >= LONG_CHARS
        and _BASE64.search(text) is not None
    )


def mask_json(message: Any, *, audio: bool, known: Sequence[str] = ()) -> Any:  # noqa: ANN401
    """`message` (decoded JSON) without secrets and, if `audio`, without the base64 of sound.

    `known` is base64 an adapter has read as audio; it is masked however short it is. What needs no mask is returned
    as the same object, so that `is` tells whether anything was hidden.
    """
    if isinstance(message, str):
        if audio and (message in known or _is_audio(message)):
            return f"@audio:{len(message) * 3 // 4 - message[-2:].count('=')}"
        return message
    if isinstance(message, list):
        values = [mask_json(value, audio=audio, known=known) for value in message]
        return message if all(map(_same, values, message)) else values
    if isinstance(message, dict):
        masked = {
            key: _mask_value(_folded(key), value, audio, known) for key, value in message.items()
        }
        return message if all(map(_same, masked.values(), message.values())) else masked
    return message


def _mask_value(key: str, value: Any, audio: bool, known: Sequence[str]) -> Any:  # noqa: ANN401
    if key in _SECRET_KEYS and value is not None:
        return _hidden(value)
    if key in _SECRET_MAPS and isinstance(value, dict) and value:
        return dict.fromkeys(value, _SECRET)
    return mask_json(value, audio=audio, known=known)


def _hidden(value: Any) -> Any:  # noqa: ANN401
    """What stands for a secret: of the same kind, so that a replay reads it as it was read."""
    if isinstance(value, dict):
        return {key: _hidden(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(inner) for inner in value]
    if isinstance(value, int | float):
        return type(value)()
    return None if value is None else _SECRET


def mask_text(text: str, *, audio: bool) -> str:
    """The same for text that is no JSON, by its looks. What is masked keeps its number of characters."""
    text = _SECRET_IN_TEXT.sub(lambda found: found[1] + _stars(found[2]), text)
    if audio:
        text = _BASE64.sub(lambda found: f"@chars:{len(found[0])}", text)
    return text


def expand_json(text: str) -> str:
    """Masked JSON with silence, of the same length, where audio was."""
    return _AUDIO_MARKER.sub(lambda found: f'"{b64encode(bytes(int(found[1]))).decode()}"', text)


def expand_text(text: str) -> str:
    """Masked text with as many characters of base64 where audio was."""
    return _CHARS_MARKER.sub(lambda found: "A" * int(found[1]), text)


def audio_of(events: Sequence[ev.Event]) -> list[str]:
    """The audio an adapter has read, in base64."""
    return [
        b64encode(event.audio).decode()
        for event in events
        if isinstance(event, ev.Audio | ev.CallerAudio)
    ]


def decoded(text: str | bytes) -> Any:  # noqa: ANN401
    """`text` as JSON, or `msgspec.UNSET` if it is none (nested beyond reason counts as none)."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return msgspec.UNSET


def _stars(secret: str) -> str:
    """As long and as broken: a parser must stumble over the mask where it stumbled over the secret."""
    if any(word.startswith(secret) for word in ("null", "true", "false")):
        return secret  # No secret, or the beginning of none.
    begins = _BEGINS.match(secret)
    if begins is not None:
        return _DIGIT.sub("1", begins[0]) + "*" * (len(secret) - len(begins[0]))
    quote = '"' if secret[:1] == '"' else ""
    end = quote if len(secret) > 1 and secret.endswith('"') else ""
    inner = secret[len(quote) : len(secret) - len(end)]
    return quote + _CHARACTER.sub(lambda found: found[1] or "*", inner) + end


def _is_audio(text: str) -> bool:
    return len(text) >= LONG_CHARS and len(text) % 4 == 0 and _BASE64.fullmatch(text) is not None


def _folded(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


def _same(one: object, other: object) -> bool:
    return one is other
