"""Every element of the table grammar, by an invented peer that uses it: what it reads and says, and that nothing hurts."""

# ruff: noqa: E501 - what messages mean is a table, one to a line

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bargein.codegen.generate import generate
from bargein.runtime import events as e
from bargein.runtime.adapter import Answer, Connect, RequestFields, Voice
from bargein.statemachines import schema
from bargein.statemachines.checks import check_paths

from .fuzzing import effort, gone_wrong
from .invented import module_of, table
from .soundness import misshapen

ROOT = Path(__file__).parent.parent
Meaning = tuple[e.Event, ...]


@dataclass(frozen=True)
class Peer:
    """A table that uses an element of the grammar, and what its messages mean."""

    what: str
    text: str
    says: tuple[tuple[str | bytes, Meaning], ...]

    @property
    def side(self) -> str:
        return "provider" if "\nprovider: " in self.text else "transport"


def wire(message: object) -> str:
    return json.dumps(message)


def unknown(kind: str) -> Meaning:
    return (e.Unknown(kind=kind),)


NO_TAG = table(
    "provider",
    provider="notag",
    wire="{frames: text, format: json}",
    receive="""
  out.parts[].sound: {event: audio, audio: "out.parts[].sound.data"}
  out.words: {event: transcript, text: out.words}
  calls[]: {event: call, call: "calls[].id", name: "calls[].name", arguments: "calls[].args"}
  over: {event: finished, status: {is: completed}}
  bye.left: {event: closing, left: bye.left}
""",
)

CONDITIONS = table(
    "provider",
    provider="conditions",
    receive="""
  sound: {event: audio, audio: sound}
  state:
    - {event: speech_started, if: {who: caller, state: [talks, sings]}}
    - {event: speech_stopped, if: {who: caller}, unless: {state: [talks, sings]}}
    - {event: finished, if: {who: agent, state: quiet}}
  words:
    - {event: transcript, text: text, unless: {text: [null, ""], whole: true}}
    - {event: corrected, text: text, if: {whole: true}}
  count:
    - {event: speech_started, if: {n: 1}}
    - {event: speech_stopped, if: {n: [0, 2.5, true]}}
    - {event: finished, unless: {n: 1, m: [0, 7]}}
""",
)

LISTS = table(
    "provider",
    provider="lists",
    receive="""
  sound: {event: audio, audio: sound}
  gone: {event: deleted, item: "ids[]"}
  batch:
    - {event: call, call: "all[].id", arguments: "all[].args", if: {"all[].kind": tool}}
    - {event: transcript, text: "all[].say.text", if: {"all[].kind": words}, unless: {quiet: true}}
    - {event: speech_started, if: {"all[].kind": ear}}
""",
)

UNTAGGED = table(
    "transport",
    transport="untagged",
    receive="""
  _: {event: started, stream: id, call: call, if: {version: [1, 2]}}
  mark:
    - {event: marked, mark: name, if: {how: played}}
    - {event: mark_cleared, mark: name, if: {how: cleared}}
  sound: {event: caller_audio, audio: sound}
""",
)

UNTAGGED_SOUND = table(
    "transport",
    transport="bare",
    receive="\n  _: {event: caller_audio, audio: a}\n  x: {event: ended}\n",
)

MIXED = table(
    "provider",
    ("  hear: {type: hear, sound: $audio}\n", ""),
    ("  session.listen: [{send: hear}]", "  session.listen: []"),
    provider="mixed",
    wire="{frames: mixed, format: json, tag: type, subprotocol: acme.v1}",
    receive="\n  over: {event: finished}\n",
)

MIXED_CARRIER = table(
    "transport",
    ("  sound: {event: sound, sound: $audio}\n", ""),
    ("  session.play: [{send: sound}]", "  session.play: []"),
    ("frames: {is: any}", "frames: {is: exact}"),
    transport="mixedcarrier",
    wire="{frames: mixed, format: json, tag: event}",
    receive="\n  stop: {event: ended}\n",
    pace="{frame_ms: {is: 20}, ahead_ms: {is: 500, why: It is small.}}",
    answer='{type: application/json, body: \'[{"url": "$url"}]\'}',
)

NUMBERS = table(
    "provider",
    ("  cancel: {is: none}", "  cancel: {is: by_id}"),
    ("  response.cancel: []", "  response.cancel: [{send: stop}]"),
    provider="numbers",
    wire="{frames: text, format: json, tag: type, ids: number}",
    send="""
  hear: {type: hear, sound: $audio}
  ask: {type: ask}
  stop: {type: stop, turn: $response, why: {about: $response}}
""",
    receive="""
  sound: {event: audio, audio: sound, response: turn}
  cut: {event: interrupted, response: turn}
  over:
    - {event: finished, response: turn, if: {whole: true}}
""",
)

EVERYTHING_ELSE = table(
    "provider",
    provider="others",
    connect="{url: 'wss://acme.example/v1?key=$key', key: ACME_KEY, headers: {X-Key: Token $key}}",
    audio="""
  mulaw: {is: mu-law., rate_hz: 8000, bytes_per_ms: 8, silence: 255}
  pcm16: {is: Sixteen bits., rate_hz: 24000, bytes_per_ms: 48, caller: {rate_hz: 16000, bytes_per_ms: 32}, asks: {voice: {rate: 24000}}}
""",
    receive="""
  sound: {event: audio, audio: sound}
  ping: {event: ping, ping: n}
  tool: {event: call, call: id, arguments: args}
  set: {event: configured, manual: {is: true}, interrupts_itself: {is: false}, vad: vad}
  oops: {event: error, code: {is: oops}, message: text}
""",
    send="""
  open: $settings
  voice: {type: voice, voice: $settings.voice}
  hear: {type: hear, sound: $audio}
  ask: {type: ask, text: $text}
  go_on: {type: go_on}
  pong: {type: pong, n: $ping}
""",
    hooks="""
  session.configure: [{send: open}, {send: voice}]
  session.listen: [{send: hear}]
  session.request: [{if: instructed, send: ask}, {unless: instructed, send: go_on}]
  session.pong: [{send: pong}]
  response.cancel: []
  playback.truncate: []
  playback.forget: []
""",
)

NAMES_OF_PYTHON = table(
    "provider",
    provider="hostile",
    receive="""
  TypeVar: {event: speech_started}
  Json: {event: speech_stopped}
  a.b: {event: truncated, item: list}
  a_b: {event: deleted, item: dict}
  "???": {event: interrupted}
  _read: {event: finished, status: found}
  lists: {event: call, call: "list[].id", arguments: "list[].its_call.m", name: "list[].kind", if: {each: 1}}
  sound: {event: audio, audio: sound}
""",
)

PEERS = (
    Peer(
        "messages without a kind become the events of every path they have, in the order of the table",
        NO_TAG,
        (
            (wire({"over": True, "out": {"words": "Hi", "parts": [{"sound": {"data": "AAAA"}}, {"sound": {"data": "//8="}}]}}),
             (e.Audio(b"\0\0\0"), e.Audio(b"\xff\xff"), e.Transcript("Hi"), e.Finished(status="completed"))),
            (wire({"calls": [{"id": "1", "name": "f", "args": {"a": [1]}}, {"id": "2", "args": "{}"}]}),
             (e.Call("1", '{"a":[1]}', "f"), e.Call("2", "{}"))),
            (wire({"calls": [{"id": "1"}]}), (e.Malformed("no `calls[].id or calls[].args`", "calls"),)),
            (wire({"calls": [None], "over": 1}),
             (e.Malformed("no `calls[].id or calls[].args`", "calls"), e.Finished(status="completed"))),
            (wire({"out": {"parts": [{"text": "thought"}, 7, {"sound": "no object"}]}}), unknown("out.parts")),
            (wire({"out": {"parts": {"0": {}}}, "over": 0}), (e.Finished(status="completed"),)),
            (wire({"out": "x", "over": False, "bye": None}), unknown("out")),
            (wire({"bye": {"left": "50s"}}), (e.Closing("50s"),)),
            (wire({"bye": {"left": 50}}), (e.Closing(None),)),
            (wire({"news": {}}), unknown("news")),
            (wire({}), unknown("")),
            (wire({"out": {"words": 7}}), (e.Malformed("no `out.words`", "out.words"),)),
            (b"[]", (e.Malformed("Expected `object`, got `array`"),)),
        ),
    ),
    Peer(
        "conditions decide which events a message is",
        CONDITIONS,
        (
            (wire({"type": "state", "who": "caller", "state": "talks"}), (e.SpeechStarted(),)),
            (wire({"type": "state", "who": "caller", "state": "waits"}), (e.SpeechStopped(),)),
            (wire({"type": "state", "who": "caller"}), (e.SpeechStopped(),)),
            (wire({"type": "state", "who": "agent", "state": "quiet"}), (e.Finished(),)),
            (wire({"type": "state", "who": {"state": []}, "state": ["talks"]}), unknown("state")),
            (wire({"type": "words", "text": "Hi"}), (e.Transcript("Hi"),)),
            (wire({"type": "words", "text": ""}), unknown("words")),
            (wire({"type": "words"}), unknown("words")),
            (wire({"type": "words", "text": 7}), (e.Malformed("no `text`", "words"),)),
            (wire({"type": "words", "text": "Hi", "whole": True}), (e.Corrected("Hi"),)),
            (wire({"type": "words", "text": None, "whole": True}), (e.Malformed("no `text`", "words"),)),
            (wire({"type": "count", "n": 1, "m": 0}), (e.SpeechStarted(),)),
            (wire({"type": "count", "n": True}), (e.SpeechStopped(), e.Finished())),
            (wire({"type": "count", "n": False, "m": False}), (e.Finished(),)),
            (wire({"type": "count", "n": 2.5, "m": 7}), (e.SpeechStopped(),)),
            (wire({"type": "other"}), unknown("other")),
        ),
    ),
    Peer(
        "each element of a list is an event",
        LISTS,
        (
            (wire({"type": "gone", "ids": ["a", "b"]}), (e.Deleted("a"), e.Deleted("b"))),
            (wire({"type": "gone", "ids": ["a", 7]}), (e.Deleted("a"), e.Malformed("no `ids[]`", "gone"))),
            (wire({"type": "gone", "ids": "a"}), unknown("gone")),
            (wire({"type": "gone", "ids": {"a": 1}}), unknown("gone")),
            (wire({"type": "gone"}), unknown("gone")),
            (wire({"type": "batch", "all": [{"kind": "words", "say": {"text": "Hi"}}, {"kind": "tool", "id": "1", "args": []}]}),
             (e.Call("1", "[]"), e.Transcript("Hi"))),
            (wire({"type": "batch", "quiet": True, "all": [{"kind": "words"}, {"kind": "ear"}]}), (e.SpeechStarted(),)),
            (wire({"type": "batch", "all": [{"kind": "words", "say": "Hi"}]}), (e.Malformed("no `all[].say.text`", "batch"),)),
            (wire({"type": "batch", "all": []}), unknown("batch")),
        ),
    ),
    Peer(
        "messages without a kind where others have one",
        UNTAGGED,
        (
            (wire({"version": 1, "id": "s", "call": 7}), (e.StreamStarted("s"),)),
            (wire({"version": 3, "id": "s"}), unknown("_")),
            (wire({"event": None, "version": 2}), (e.StreamStarted(),)),
            (wire({"event": "mark", "how": "played", "name": "m"}), (e.Marked("m"),)),
            (wire({"event": "mark", "how": "cleared", "name": "m"}), (e.MarkCleared("m"),)),
            (wire({"event": "mark", "how": "played"}), (e.Malformed("no `name`", "mark"),)),
            (wire({"event": "mark", "how": "eaten", "name": "m"}), unknown("mark")),
            (wire({"event": "sound", "sound": "AAAA"}), (e.CallerAudio(b"\0\0\0"),)),
            (wire({"event": "sound"}), (e.Malformed("Object missing required field `sound`", "sound"),)),
            ("[]", (e.Malformed("Expected `object`, got `array`"),)),
        ),
    ),
    Peer(
        "audio may come without a kind",
        UNTAGGED_SOUND,
        (
            (wire({"a": "AAAA"}), (e.CallerAudio(b"\0\0\0"),)),
            (wire({"b": "AAAA"}), (e.Malformed("Object missing required field `a`"),)),
            (wire({"event": "x"}), (e.StreamEnded(),)),
            (wire({"event": ""}), unknown("")),
        ),
    ),
    Peer(
        "audio comes bare in binary frames, and all else as text",
        MIXED,
        (
            (b"\x01\x02", (e.Audio(b"\x01\x02"),)),
            (b'{"type":"over"}', (e.Audio(b'{"type":"over"}'),)),
            ('{"type":"over"}', (e.Finished(),)),
            (wire({"type": "news"}), unknown("news")),
            ("\x01", (e.Malformed("JSON is malformed: invalid character (byte 0)"),)),
        ),
    ),
    Peer(
        "the same of a carrier",
        MIXED_CARRIER,
        ((b"\x01", (e.CallerAudio(b"\x01"),)), ('{"event":"stop"}', (e.StreamEnded(),)), (wire({"event": "x"}), unknown("x"))),
    ),
    Peer(
        "names may be numbers",
        NUMBERS,
        (
            (wire({"type": "sound", "sound": "", "turn": 7}), (e.Audio(b"", "7"),)),
            (wire({"type": "sound", "sound": "", "turn": "7"}),
             (e.Malformed("Expected `int`, got `str` - at `$.turn`", "sound"),)),
            (wire({"type": "cut", "turn": 7}), (e.Interrupted("7"),)),
            (wire({"type": "cut", "turn": True}), (e.Interrupted(None),)),
            (wire({"type": "over", "turn": 8, "whole": True}), (e.Finished("8"),)),
            (wire({"type": "over", "turn": [], "whole": True}), (e.Malformed("no `turn`", "over"),)),
            (wire({"type": "over", "turn": 8}), unknown("over")),
        ),
    ),
    Peer(
        "constants, pings and arguments that are no text",
        EVERYTHING_ELSE,
        (
            (wire({"type": "ping", "n": 7}), (e.Ping(7),)),
            (wire({"type": "ping"}), (e.Ping(None),)),
            (wire({"type": "tool", "id": "1", "args": {"a": None}}), (e.Call("1", '{"a":null}'),)),
            (wire({"type": "tool", "id": "1", "args": "{}"}), (e.Call("1", "{}"),)),
            (wire({"type": "tool", "id": "1", "args": 7}),
             (e.Malformed("Expected `str | object | array`, got `int` - at `$.args`", "tool"),)),
            (wire({"type": "set", "vad": "x"}), (e.Configured(False, "x", True),)),
            (wire({"type": "oops", "text": "No."}), (e.Error("oops", "No."),)),
            (wire({"type": "sound", "sound": ""}), (e.Audio(b""),)),
            (wire({"type": "quiet"}), unknown("quiet")),
        ),
    ),
    Peer(
        "names of Python and of the module itself",
        NAMES_OF_PYTHON,
        (
            (wire({"type": "TypeVar"}), (e.SpeechStarted(),)),
            (wire({"type": "Json"}), (e.SpeechStopped(),)),
            (wire({"type": "a.b", "list": "i"}), (e.Truncated("i"),)),
            (wire({"type": "a_b", "dict": "j"}), (e.Deleted("j"),)),
            (wire({"type": "???"}), (e.Interrupted(),)),
            (wire({"type": "_read", "found": "x"}), (e.Finished(status="x"),)),
            (wire({"type": "lists", "each": 1, "list": [{"id": "1", "its_call": {"m": "{}"}}]}), (e.Call("1", "{}"),)),
            (wire({"type": "lists", "list": []}), unknown("lists")),
            (wire({"type": "sound", "sound": ""}), (e.Audio(b""),)),
        ),
    ),
)  # fmt: skip

every_peer = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.what)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all the tables of this page, as somebody outside the repository would have it."""
    root = tmp_path_factory.mktemp("tables")
    shutil.copytree(ROOT / "statemachines" / "schema", root / "schema")
    for peer in PEERS:
        module_of(peer.side, peer.text, root)
    return root


def adapter(peer: Peer, tmp_path: Path) -> Any:  # noqa: ANN401  a ProviderAdapter or a TransportAdapter
    return module_of(peer.side, peer.text, tmp_path).ADAPTER


# -- What they read ---------------------------------------------------------------------------------


@every_peer
def test_a_message_means_what_the_table_says(peer: Peer, tmp_path: Path) -> None:
    """`Unknown` when no row applies, `Malformed` when one applies and lacks what it needs."""
    decode = adapter(peer, tmp_path).decode
    for message, meaning in peer.says:
        assert decode(message) == meaning, message


@every_peer
def test_nothing_it_can_be_told_makes_its_decoder_raise(peer: Peer, tmp_path: Path) -> None:
    """And every field of what comes out has its declared type."""
    made = adapter(peer, tmp_path)
    real = [message for message, _ in peer.says if isinstance(message, str)]

    @effort(400)
    @given(st.sampled_from(real), st.integers(0, 2**16))
    def holds(message: str, number: int) -> None:
        try:
            fields = json.loads(message)
        except ValueError:
            return
        wrong = gone_wrong(Random(number), fields, real, {})
        events = made.decode(wrong)
        assert events
        for event in events:
            assert type(event) in e.Event.__subclasses__()
            assert not misshapen(event)
        kind = made.kind(wrong)
        assert kind is None or type(kind) is str

    holds()


@every_peer
def test_no_depth_is_too_deep(peer: Peer, tmp_path: Path) -> None:
    """Just below where the parser gives up too, when what was read is still to be written again."""
    made = adapter(peer, tmp_path)
    for depth in range(1, sys.getrecursionlimit() + 60, 7):
        deep = "[" * depth + "]" * depth
        for text in (
            f'{{"type":"tool","id":"1","args":{deep}}}',
            f'{{"calls":[{{"id":"1","args":{deep}}}]}}',
            f'{{"out":{deep}}}',
        ):
            assert made.decode(text)


# -- What they say ----------------------------------------------------------------------------------


def test_names_go_back_as_the_numbers_they_were(tmp_path: Path) -> None:
    """A name that we made up for a response without one is no number, and is said as it is."""
    made = module_of("provider", NUMBERS, tmp_path).ADAPTER

    class Response:
        server_cancels = manual_turns = False

        def __init__(self, server_id: str | None) -> None:
            self.server_id = server_id

    assert made.cancel("op", Response("7")) == (b'{"type":"stop","turn":7,"why":{"about":7}}',)
    assert made.cancel("op", Response("turn_1")) == (
        b'{"type":"stop","turn":"turn_1","why":{"about":"turn_1"}}',
    )
    assert made.cancel("op", Response(None)) == ()


def test_settings_are_a_message_of_their_own_or_fill_parts_of_one(tmp_path: Path) -> None:
    made = module_of("provider", EVERYTHING_ELSE, tmp_path).ADAPTER
    settings = {"voice": {"rate": 24000}}
    assert made.configure("op", settings) == (
        b'{"voice":{"rate":24000}}',
        b'{"type":"voice","voice":{"rate":24000}}',
    )
    assert made.configure("op", {})[1] == b'{"type":"voice"}'


def test_guards_choose_between_messages(tmp_path: Path) -> None:
    made = module_of("provider", EVERYTHING_ELSE, tmp_path).ADAPTER
    assert made.request("q", RequestFields(instructions="Hi.")) == (b'{"type":"ask","text":"Hi."}',)
    assert made.request("q", RequestFields()) == (b'{"type":"go_on"}',)
    assert made.pong(7) == (b'{"type":"pong","n":7}',)
    assert made.pong(None) == (b'{"type":"pong"}',)


def test_what_a_peer_is_reached_by_and_sounds_like_is_handed_on(tmp_path: Path) -> None:
    others = module_of("provider", EVERYTHING_ELSE, tmp_path).ADAPTER
    assert others.connect == Connect(
        "wss://acme.example/v1?key=$key", "ACME_KEY", {"X-Key": "Token $key"}
    )
    assert others.audio["mulaw"].silence == 255
    assert others.audio["mulaw"].heard == Voice(8000, 8)
    assert others.audio["pcm16"].heard == Voice(16000, 32)
    assert others.audio["pcm16"].asks == {"voice": {"rate": 24000}}
    assert (others.can["supersedes"], others.can["remembers"]) == ("never", "generated")
    mixed = module_of("provider", MIXED, tmp_path).ADAPTER
    assert (mixed.bare_audio, mixed.subprotocol) == (True, "acme.v1")
    assert mixed.listen(b"\x01") == (b"\x01",)
    carrier = module_of("transport", MIXED_CARRIER, tmp_path).ADAPTER
    assert carrier.pace_ms == {"frame_ms": 20, "ahead_ms": 500}
    assert carrier.answer == Answer("application/json", '[{"url": "$url"}]')
    assert carrier.play(None, b"\x01", "item", 0) == (b"\x01",)


# -- What they are ----------------------------------------------------------------------------------


def test_the_tables_of_this_page_are_without_fault(folder: Path) -> None:
    """The checks and an independent judge of the schema agree."""
    assert check_paths([folder]) == []
    for peer in PEERS:
        judge = Draft202012Validator(json.loads(schema.render()[f"{peer.side}.schema.json"]))
        assert list(judge.iter_errors(yaml.safe_load(peer.text))) == []


def test_their_modules_pass_the_linter_and_the_type_checker(folder: Path, tmp_path: Path) -> None:
    """As files in a package of somebody's own, as `bargein generate` writes them."""
    generate(tables=folder, out=tmp_path / "made")
    assert len(list((tmp_path / "made").glob("*.py"))) == len(PEERS) + 1
    for command in (
        ["ruff", "check", "--no-cache", f"--config={ROOT / 'pyproject.toml'}", "made"],
        ["ruff", "format", "--check", "--no-cache", f"--config={ROOT / 'pyproject.toml'}", "made"],
        [
            "mypy",
            f"--config-file={ROOT / 'pyproject.toml'}",
            "--follow-imports=silent",
            f"--cache-dir={tmp_path}",
            "-p",
            "made",
        ],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
