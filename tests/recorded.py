"""Recordings of the wire, replayed through the models of `simulator/`.

None is a capture of ours. Each puts in order what a document, a client's code or a bug report says of the
wire, and says how good the evidence is; what leads up to it is ours. Where sources differ or nobody knows,
its first line sets the `rules` under which the model may do what was reported: such a recording shows that
the model can, not that it does by default.

A recording is a file of `tests/recorded/`, one JSON object a line. The first line says where it comes from
(`source`), what it shows (`says`) and how the model is to be built. Then, in order, who does what:

* `client` (OpenAI) or `app` (Twilio): a message given to the model. `audio` fills in its audio. `app_hex` is a
  binary frame.
* `choice`: what the server decides by itself. The model's `choices` must offer it, once. `cannot`: must not.
* `does`: a method of the model, for what lies outside `choices`. `plays_ms`, `caller_says_ms`: the carrier's.
* `server` or `carrier`: what the model says next. What was recorded must be equal, what was not is free;
  `…` within a text stands for what was left out. `audio_ms` is the length of its audio; `exactly` means
  that there are no other fields.
* `never`: from here on no such message. `heard`: what the ear heard, in ms per item. `debugger`: the
  warnings in the carrier's debugger so far.

Nothing else may be said, except types of message that `leaves_out` names. Ids are the recording's own: they
stand for the model's, one for one. `now_ms` on a line sets the clock.
"""

# ruff: noqa: ANN401  any JSON

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from bargein.simulator.openai import Bounds, Choice, OpenAIServer, Rules
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.voice import caller_speech, silence, speech

Json = dict[str, Any]
_Settings = TypeVar("_Settings", Rules, Bounds)

FOLDER: Final = Path(__file__).parent / "recorded"

_REFERENCES: Final = {
    "response_id",
    "item_id",
    "previous_item_id",
    "conversation_id",
    "call_id",
    "streamSid",
    "callSid",
    "accountSid",
}
_OWNERS: Final = {"response", "item", "conversation", "output"}
"""Whose `id` is an id."""

_ELLIPSIS: Final = "…"


class Difference(AssertionError):
    """The model does not do what was recorded; the text says where."""


@dataclass(frozen=True)
class Recording:
    """One file: its first line and the others."""

    name: str
    head: Json
    lines: tuple[Json, ...]


def recordings(model: Literal["openai", "twilio"] | None = None) -> list[Recording]:
    """All of them, or those of one model, by name."""
    found = []
    for path in sorted(FOLDER.glob("*.jsonl")):
        head, *lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if model in (None, head["model"]):
            found.append(Recording(path.stem, head, tuple(lines)))
    return found


def replay(
    recording: Recording,
    *,
    openai: type[OpenAIServer] = OpenAIServer,
    twilio: type[TwilioCarrier] = TwilioCarrier,
) -> None:
    """Replay it through the models, or what is given in their place. Raises `Difference`."""
    player = (
        _OpenAIPlayer(recording, openai)
        if recording.head["model"] == "openai"
        else _TwilioPlayer(recording, twilio)
    )
    player.play()


class _Ids:
    """The recording's ids and the model's, one for one."""

    def __init__(self) -> None:
        self.of_model: dict[str, str] = {}
        self._of_recording: dict[str, str] = {}

    def copy(self) -> "_Ids":
        twin = _Ids()
        twin.of_model = self.of_model.copy()
        twin._of_recording = self._of_recording.copy()
        return twin

    def join(self, recorded: str, said: str) -> bool:
        """Whether the two may be one; from now on they are."""
        known = self.of_model.setdefault(recorded, said) == said
        return known and self._of_recording.setdefault(said, recorded) == recorded

    def given(self, recorded: str) -> str:
        """The model's id; one that the client made up is the same on both sides."""
        if recorded not in self.of_model:
            assert self.join(recorded, recorded), f"{recorded!r} is the model's name for another"
        return self.of_model[recorded]

    def translated(self, value: Any, key: str = "", owner: str = "") -> Any:
        """A client's message, or the fields of a line, in the model's ids."""
        if isinstance(value, dict):
            return {k: self.translated(v, k, key) for k, v in value.items()}
        if isinstance(value, list):
            return [self.translated(each, "", key) for each in value]
        if isinstance(value, str) and _is_id(key, owner):
            return self.given(value)
        return value

    def words(self, text: str) -> str:
        """A text in which ids may occur."""
        return re.sub(r"[\w-]+", lambda word: self.of_model.get(word[0], word[0]), text)


def _is_id(key: str, owner: str) -> bool:
    return key in _REFERENCES or (key == "id" and owner in _OWNERS)


class _Matcher:
    """Compares what was recorded with what is said. `unknown` is for ids nobody has named yet."""

    def __init__(self, ids: _Ids, *, unknown: Literal["join", "differ"]) -> None:
        self.ids = ids
        self.unknown = unknown
        self.exactly = False

    def difference(self, recorded: Any, said: Any, path: str = "", owner: str = "") -> str | None:
        """Where they differ, or None."""
        key = path.rpartition(".")[2]
        if isinstance(recorded, dict) and isinstance(said, dict):
            if self.exactly and recorded.keys() != said.keys():
                return f"{path or 'its'} fields are {sorted(said)}"
            for name, value in recorded.items():
                if name not in said:
                    return f"{path}.{name} is missing"
                found = self.difference(value, said[name], f"{path}.{name}", key or owner)
                if found:
                    return found
            return None
        if isinstance(recorded, list) and isinstance(said, list):
            if len(recorded) != len(said):
                return f"{path} has {len(said)} entries"
            pairs = zip(recorded, said, strict=True)
            found_in = (self.difference(a, b, path, key) for a, b in pairs)
            return next((found for found in found_in if found), None)
        return None if self._equal(recorded, said, key, owner) else f"{path} is {said!r}"

    def _equal(self, recorded: Any, said: Any, key: str, owner: str) -> bool:
        if isinstance(recorded, str) and isinstance(said, str):
            if _is_id(key, owner):
                if self.unknown == "differ" and recorded not in self.ids.of_model:
                    return False
                return self.ids.join(recorded, said)
            parts = map(re.escape, self.ids.words(recorded).split(_ELLIPSIS))
            return re.fullmatch(".*".join(parts), said, re.DOTALL) is not None
        return type(recorded) is type(said) and bool(recorded == said)


class _Player:
    """Goes through the lines; what is particular to a model is in the two below."""

    kind = "type"
    """The field that says what kind of message it is."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.ids = _Ids()
        self.said: list[Json] = []
        self.never: list[Json] = []
        self.now_ms = 0
        self.at = 1

    def play(self) -> None:
        for line in self.recording.lines:
            self.at += 1
            self.now_ms = line.get("now_ms", self.now_ms)
            if "never" in line:
                self.never.append(line["never"])
            elif "server" in line or "carrier" in line:
                self.expect(line, line.get("server") or line["carrier"])
            else:
                self.nothing_more()
                try:
                    self.act(line)
                except (LookupError, ValueError, RuntimeError) as problem:
                    raise self.wrong(f"the model cannot: {problem!r}") from problem
        self.at += 1
        self.nothing_more()

    def act(self, line: Json) -> None:
        raise NotImplementedError

    def audio_ms(self, said: Json) -> float:
        raise NotImplementedError

    def hear(self, messages: list[str]) -> None:
        """The model says these."""
        for message in messages:
            said = json.loads(message)
            for pattern in self.never:
                matcher = _Matcher(self.ids.copy(), unknown="differ")
                if matcher.difference(pattern, said) is None:
                    raise self.wrong(f"was never said: {message[:400]}")
            if said[self.kind] not in self.recording.head.get("leaves_out", ()):
                self.said.append(said)

    def expect(self, line: Json, recorded: Json) -> None:
        if not self.said:
            raise self.wrong(f"the model says nothing; recorded is {recorded}")
        said = self.said.pop(0)
        matcher = _Matcher(self.ids, unknown="join")
        matcher.exactly = bool(line.get("exactly"))
        found = matcher.difference(recorded, said)
        if found is None and "audio_ms" in line and self.audio_ms(said) != line["audio_ms"]:
            found = f"it holds {self.audio_ms(said)} ms of audio"
        if found is not None:
            raise self.wrong(f"{found}; recorded is {recorded}, said is {json.dumps(said)[:400]}")

    def nothing_more(self) -> None:
        if self.said:
            raise self.wrong(f"nobody recorded {json.dumps(self.said[0])[:400]}")

    def wrong(self, what: str) -> Difference:
        return Difference(f"{self.recording.name}.jsonl:{self.at}: {what}")


class _OpenAIPlayer(_Player):
    def __init__(self, recording: Recording, model: type[OpenAIServer]) -> None:
        super().__init__(recording)
        head = recording.head
        self.model = model(
            session=head.get("session"),
            rules=_checked(Rules, head.get("rules", {})),
            bounds=_checked(Bounds, head.get("bounds", {})),
        )
        self.event_ids: set[str] = set()

    def act(self, line: Json) -> None:
        if "client" in line:
            message = self.ids.translated(line["client"])
            if "audio" in line:
                length = line["audio"]["silence_ms"] * 48
                message["audio"] = base64.b64encode(bytes(length)).decode()
            self.event_ids.add(message.get("event_id", ""))
            self.hear(self.model.receive(json.dumps(message), self.now_ms))
        elif "choice" in line:
            found = list(self.offered(line, line["choice"]))
            if len(found) != 1:
                offered = [tuple(choice) for choice in self.model.choices()]
                raise self.wrong(f"{len(found)} choices are {line}; offered are {offered}")
            self.hear(self.model.take(found[0], self.now_ms))
        elif "cannot" in line:
            for choice in self.offered(line, line["cannot"]):
                raise self.wrong(f"the model may {tuple(choice)}")
        else:
            method = getattr(self.model, line["does"])
            if line["does"].startswith("hears_"):
                method = _at(method, self.now_ms)
            fields = {k: v for k, v in line.items() if k not in ("does", "now_ms")}
            self.hear(method(**self.ids.translated(fields)))

    def offered(self, line: Json, act: str) -> Iterator[Choice]:
        """The choices the line may mean."""
        for choice in self.model.choices():
            response = self.model.responses.get(choice.response)
            facts = {
                "response": choice.response,
                "item": choice.item,
                "how": choice.how,
                "request": response.request if response else None,
            }
            wanted = {key: line[key] for key in facts if key in line}
            for key in ("response", "item"):
                if key in wanted:
                    wanted[key] = self.ids.given(wanted[key])
            if choice.act == act and wanted.items() <= facts.items():
                yield choice

    def hear(self, messages: list[str]) -> None:
        super().hear(messages)
        for message in messages:
            event_id = json.loads(message)["event_id"]
            if event_id in self.event_ids:
                # Its own, never one of the client's: facts/providers.md 2.2 [D].
                raise self.wrong(f"the event id {event_id!r} is taken")
            self.event_ids.add(event_id)

    def audio_ms(self, said: Json) -> float:
        audio = said.get("delta")
        if audio is None:
            audio = said["item"]["content"][0]["audio"]
        output = self.model.session["audio"]["output"]["format"]["type"]
        return len(base64.b64decode(audio)) / (48 if output == "audio/pcm" else 8)


class _TwilioPlayer(_Player):
    kind = "event"

    def __init__(self, recording: Recording, model: type[TwilioCarrier]) -> None:
        super().__init__(recording)
        head = recording.head
        options = {key: head[key] for key in ("marks_on_clear", "marks_echoed") if key in head}
        self.model = model(**options)

    def act(self, line: Json) -> None:
        if "app" in line:
            message = self.ids.translated(line["app"])
            if "audio" in line:
                audio = _audio(line["audio"])
                message["media"] = {"payload": base64.b64encode(audio).decode()}
            self.hear(self.model.receive(json.dumps(message), self.now_ms))
        elif "app_hex" in line:
            self.hear(self.model.receive(bytes.fromhex(line["app_hex"]), self.now_ms))
        elif "plays_ms" in line:
            self.hear(self.model.plays(line["plays_ms"]))
        elif "caller_says_ms" in line:
            audio = caller_speech(line["caller_says_ms"])
            self.hear(self.model.caller_says(audio, self.now_ms))
        elif "heard" in line:
            ear = self.model.ear
            heard = {str(item): ear.heard_ms(item) for item in ear.items}
            if heard != line["heard"] or ear.foreign_ms:
                raise self.wrong(f"heard was {heard} and {ear.foreign_ms} ms of something else")
        elif "debugger" in line:
            codes = [warning.code for warning in self.model.warnings]
            if codes != line["debugger"]:
                raise self.wrong(f"the debugger holds {codes}")
        else:
            method = getattr(self.model, line["does"])
            if line["does"] in ("start", "stop"):
                method = _at(method, self.now_ms)
            self.hear(method(**{k: v for k, v in line.items() if k not in ("does", "now_ms")}))

    def audio_ms(self, said: Json) -> float:
        return len(base64.b64decode(said["media"]["payload"])) / 8


def _at(method: Callable[..., list[str]], now_ms: int) -> Callable[..., list[str]]:
    return lambda **fields: method(now_ms=now_ms, **fields)


def _audio(how: Mapping[str, int]) -> bytes:
    if "silence_ms" in how:
        return silence(how["silence_ms"])
    return speech(how["item"], how["from_ms"], how["ms"])


def _checked(kind: type[_Settings], fields: Json) -> _Settings:
    """What the first line sets; a misspelt name is an error."""
    unknown = fields.keys() - set(kind.__struct_fields__)
    assert not unknown, f"{kind.__name__} has no {sorted(unknown)}"
    return msgspec.convert(fields, kind)
