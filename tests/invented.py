"""Providers and transports that do not exist: small tables that are right, to be varied and to be broken."""

from pathlib import Path
from types import ModuleType

from bargein.codegen.loaded import adapters

SECTIONS = {
    "provider": {
        "provider": "acme",
        "is": "A provider that does not exist.",
        "wire": "{frames: text, format: json, tag: type}",
        "audio": "{pcm16: {is: Sixteen bits., rate_hz: 24000, bytes_per_ms: 48}}",
        "can": "\n".join(
            (
                "",
                "  cancel: {is: none}",
                "  truncate: {is: none}",
                "  delete: {is: none}",
                "  concurrent: {is: none}",
                "  interrupts_itself: {is: on_vad}",
                "  correlates: {is: order}",
                "  announces: {is: content}",
                "  identifies: {is: turn}",
                "  finishes: {is: never}",
                "  playback: {is: client}",
            )
        ),
        "timeouts": "{created_ms: {is: 1}, stalled_ms: {is: 1}, settled_ms: {is: 1}, answer_ms: {is: 1}}",
        "receive": "\n  sound: {event: audio, audio: sound}",
        "send": "\n  hear: {type: hear, sound: $audio}\n  ask: {type: ask}",
        "hooks": "\n".join(
            (
                "",
                "  session.configure: []",
                "  session.listen: [{send: hear}]",
                "  session.request: [{send: ask}]",
                "  response.cancel: []",
                "  playback.truncate: []",
                "  playback.forget: []",
            )
        ),
    },
    "transport": {
        "transport": "pigeon",
        "is": "A carrier that does not exist.",
        "wire": "{frames: text, format: json, tag: event}",
        "audio": "{mulaw: {is: mu-law., rate_hz: 8000, bytes_per_ms: 8}}",
        "can": "\n".join(
            (
                "",
                "  clear: {is: whole_buffer}",
                "  clear_ack: {is: none}",
                "  marks: {is: none}",
                "  marks_on_clear: {is: none}",
                "  heard: {is: clock}",
                "  frames: {is: any}",
            )
        ),
        "timeouts": "{mark_every_ms: {is: 1}, overdue_ms: {is: 1}}",
        "receive": "\n  sound: {event: caller_audio, audio: sound}",
        "send": "\n  sound: {event: sound, sound: $audio}\n  hush: {event: hush}",
        "hooks": "\n".join(
            (
                "",
                "  session.play: [{send: sound}]",
                "  session.mark: []",
                "  response.clear: [{send: hush}]",
            )
        ),
    },
}


def table(side: str, *changes: tuple[str, str], **sections: str) -> str:
    """The text of a whole table. `sections` stand in place of others, then each change (old, new) is made once.

    An underscore at the end of a section's name is not part of it: `is_`, `pass_`.
    """
    given = {name.rstrip("_"): text.rstrip() for name, text in sections.items()}
    whole = SECTIONS[side] | given
    text = f"# yaml-language-server: $schema=../schema/{side}.schema.json\n"
    text += "".join(f"{key}: {value}\n" for key, value in whole.items())
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def module_of(side: str, text: str, folder: Path) -> ModuleType:
    """The module that a table becomes. It is written into `folder`, which may hold others that stay as they are.

    :raises TableError: if anything is wrong with it.
    """
    place = folder / f"{side}s"
    place.mkdir(parents=True, exist_ok=True)
    name = next(line for line in text.splitlines() if line.startswith(f"{side}:")).split()[1]
    (place / f"{name}.yaml").write_text(text, encoding="utf-8")
    if side == "provider":
        return adapters(folder, name, "twilio")[0]
    return adapters(folder, "openai", name)[1]
