"""Real messages of every peer in the registry, and mutants of them.

No code here knows a provider: real messages are the examples of `wire/` and what the simulator's models
say, and `says` finds among them the one that means what is wanted and exchanges its ids. A peer that joins the
registry is covered as soon as its messages have examples.

How much is tried is decided by the environment: `BARGEIN_FUZZ=100` tries a hundred times as much as CI, other cases
every time; without it the same cases are tried every time.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec
from hypothesis import HealthCheck, Phase, settings
from msgspec import Struct

from bargein import adapters
from bargein.runtime import events as ev
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError
from bargein.runtime.formats import agreed
from bargein.simulator.openai import Bounds, OpenAIServer
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.voice import caller_speech
from bargein.statemachines.loader import load_all

Adapter = ProviderAdapter | TransportAdapter
Message = str | bytes
Side = Literal["provider", "transport"]
Ids = Mapping[str, Sequence[str]]
"""Names by the field of an event they may stand in."""

TABLES = load_all()

TIMES = int(os.environ.get("BARGEIN_FUZZ", "1"))
"""How many times as much is tried as in CI."""


def effort(examples: int, **more: Any) -> settings:  # noqa: ANN401  whatever hypothesis can be told
    """`examples` of them, the same ones every time; `TIMES` as many, new ones each time, when asked for."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        print_blob=TIMES > 1,
        suppress_health_check=list(HealthCheck),
        **more,
    )


# -- Real messages ----------------------------------------------------------------------------------


@cache
def adapter_of(side: Side, name: str) -> Adapter:
    """One of the registry's."""
    return adapters.provider(name) if side == "provider" else adapters.transport(name)


PEERS: list[tuple[Side, str]] = [
    *(("provider", name) for name in adapters.PROVIDERS),
    *(("transport", name) for name in adapters.TRANSPORTS),
]


def common_format(provider: str, transport: str) -> str | None:
    """An audio format both speak, if there is one."""
    try:
        return agreed(adapters.provider(provider), adapters.transport(transport)).name
    except UsageError:
        return None


class Example(Struct, forbid_unknown_fields=True):
    """A documented message of a peer, what it is in words, and what it means: names of events and their fields."""

    about: str = msgspec.field(name="is")
    events: list[tuple[str, dict[str, Any]]]
    message: Any = None
    binary: bytes | None = None
    peer: str = ""

    @property
    def wire(self) -> Message:
        """As it comes from the socket."""
        return json.dumps(self.message) if self.binary is None else self.binary

    @property
    def meaning(self) -> tuple[ev.Event, ...]:
        """As a decoder should have it."""
        return tuple(msgspec.convert(fields, getattr(ev, name)) for name, fields in self.events)


EXAMPLES = [
    msgspec.structs.replace(msgspec.json.decode(line, type=Example), peer=page.stem)
    for page in sorted((Path(__file__).parent / "wire").glob("*.jsonl"))
    for line in page.read_bytes().splitlines()
]
"""A page for each peer: what facts/providers.md and facts/transports.md show of its messages, and variants with
fields that are null, missing, or said at once with others."""


@cache
def seeds(side: Side, name: str) -> tuple[str, ...]:
    """Messages this peer really sends: the documented examples, and of what a model says one of each kind.

    Where its table extends another, the messages of that one too.
    """
    kind = adapter_of(side, name).kind
    found = [each.message for each in EXAMPLES if each.peer == name and each.binary is None]
    by_kind = {kind(message): message for message in _MODELS.get(name, list)()}
    parent = (TABLES.providers if side == "provider" else TABLES.transports)[name].extends
    inherited = seeds(side, parent) if parent is not None else ()
    return (*map(json.dumps, found), *by_kind.values(), *inherited)


@cache
def telling(side: Side, name: str) -> tuple[str, ...]:
    """Of the seeds those that mean something, and one that means nothing."""
    adapter = adapter_of(side, name)
    by_kind = {type(adapter.decode(seed)[0]): seed for seed in seeds(side, name)}
    unknown = by_kind.pop(ev.Unknown, None)
    known = (s for s in seeds(side, name) if type(adapter.decode(s)[0]) in by_kind)
    return (*known, *([unknown] if unknown else []))


def _openai_says() -> list[str]:
    server = OpenAIServer(
        bounds=Bounds(
            items=3,
            kinds=("message", "text", "function_call"),
            ends=("completed", "failed", "incomplete"),
            separate_ends=True,
            refusals=True,
            speech_turns=9,
        )
    )
    said, dice = server.connects(), Random(1)
    for step in range(600):
        if step % 20 == 0:
            said += server.receive('{"type": "response.create"}', step)
            item = server.conversation.order[-1] if server.conversation.order else "item_0"
            cut = {"type": "conversation.item.truncate", "content_index": 0, "audio_end_ms": 1}
            for asked in (cut, {"type": "conversation.item.delete"}):
                said += server.receive(json.dumps({**asked, "item_id": item}), step)
        if choices := server.choices():
            said += server.take(dice.choice(choices), step)
    return said


def _twilio_says() -> list[str]:
    carrier = TwilioCarrier()
    said = carrier.start(0) + carrier.caller_says(caller_speech(20), 0)
    mark = {"event": "mark", "streamSid": carrier.stream_sid, "mark": {"name": "m"}}
    return said + carrier.receive(json.dumps(mark), 0) + carrier.stop(20)


_MODELS: Mapping[str, Callable[[], list[str]]] = {"openai": _openai_says, "twilio": _twilio_says}


FIRST = ("openai", "twilio")


def _pairs() -> list[tuple[str, str]]:
    """Each provider with one carrier and each carrier with one provider, the first of ours where it can be."""
    able = [
        (p, t)
        for p in adapters.PROVIDERS
        for t in adapters.TRANSPORTS
        if common_format(p, t) and seeds("provider", p) and seeds("transport", t)
    ]
    able.sort(key=lambda pair: (pair != FIRST, FIRST[1] != pair[1], FIRST[0] != pair[0]))
    chosen: list[tuple[str, str]] = []
    for pair in able:
        if not all(any(name in other for other in chosen) for name in pair):
            chosen.append(pair)
    return chosen


PAIRS = _pairs()


def says(adapter: Adapter, event: type[ev.Event], **fields: object) -> Message:
    """A real message of this peer that means `event` with these fields, those left out that it has no words for.

    :raises LookupError: if none of its messages means that.
    """
    side: Side = "provider" if isinstance(adapter, ProviderAdapter) else "transport"
    if adapter.bare_audio and event in (ev.Audio, ev.CallerAudio):
        audio = fields["audio"]
        assert isinstance(audio, bytes)
        return audio
    best: tuple[int, str] | None = None
    for seed in seeds(side, adapter.name):
        meant = adapter.decode(seed)
        if len(meant) != 1 or type(meant[0]) is not event:
            continue
        has = [name for name in fields if getattr(meant[0], name) is not None]
        if best is None or len(has) > best[0]:
            news = {_on_wire(getattr(meant[0], name)): _on_wire(fields[name]) for name in has}
            best = len(has), json.dumps(_exchanged(json.loads(seed), news))
    if best is None:
        raise LookupError(f"no example of {adapter.name} means {event.__name__}")
    return best[1]


def _on_wire(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _exchanged(value: Any, news: Mapping[object, object]) -> Any:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        return {key: _exchanged(inner, news) for key, inner in value.items()}
    if isinstance(value, list):
        return [_exchanged(inner, news) for inner in value]
    if type(value) is int and isinstance(name := news.get(str(value)), str):
        return int(
            "".join(filter(str.isdecimal, name)) or "0"
        )  # A name that is a number on the wire.
    return news.get(value, value)


# -- Mutants ----------------------------------------------------------------------------------------

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 2**31, 2**63, 2**64, -(2**63) - 1, 10**40, 0.5, -1e308, float("nan"), float("inf"),
    "", "\ud800", "\x00", "é", "\U0001f399", "x" * 2_000, "not base64!", "AAA", "AAAA", "f39/" * 600,
    [], {}, [[]], {"": None}, [{"id": "x"}], {"id": {"id": {}}}, "completed", "cancelled", "failed", "message",
    "@deep list@", "@deep object@", "@huge float@", "@huge integer@", "@leading zero@", "@half a surrogate@",
)  # fmt: skip
"""Values for where others belong. What is between @ is written by `_RAW`: no encoder would."""

_RAW = {
    "@deep list@": "[" * 3_000 + "]" * 3_000,
    "@deep object@": '{"x":' * 3_000 + "0" + "}" * 3_000,
    "@huge float@": "1e999",
    "@huge integer@": "9" * 5_000,
    "@leading zero@": "007",
    "@half a surrogate@": '"\\udc00"',
}


def mutant(dice: Random, side: Side, name: str, ids: Ids, message: str) -> Message:
    """A message of a peer gone wrong: with other ids, and often of another shape or other bytes."""
    fields = json.loads(message)
    if ids and dice.random() < 0.9:
        fields = _renamed(dice, side, name, fields, ids)
    return gone_wrong(dice, fields, seeds(side, name), ids)


def gone_wrong(dice: Random, fields: Any, others: Sequence[str], ids: Ids) -> Message:  # noqa: ANN401  any JSON
    """A message as it is, of another shape or of other bytes, some of them of `others`."""
    if dice.random() < 0.5:
        return json.dumps(fields)
    for _ in range(dice.randrange(4)):
        _bend(dice, fields, ids)
    text = json.dumps(fields, ensure_ascii=dice.random() < 0.5)
    for word, raw in _RAW.items():
        text = text.replace(f'"{word}"', raw)
    if dice.random() < 0.1:
        text = _doubled_key(dice, text)
    if dice.random() < 0.8:
        return text if dice.random() < 0.8 else text.encode(errors="surrogatepass")
    data = _broken(dice, text.encode(errors="surrogatepass"), dice.choice(others))
    return data if dice.random() < 0.5 else data.decode(errors="surrogateescape")


def _renamed(dice: Random, side: Side, name: str, message: Any, ids: Ids) -> Any:  # noqa: ANN401  any JSON
    """The same message about somebody else; now and then about what is no such thing at all."""
    news: dict[object, object] = {}
    for event in adapter_of(side, name).decode(json.dumps(message)):
        for field in type(event).__struct_fields__:
            value = getattr(event, field)
            if isinstance(value, str) and field in ids and dice.random() < 0.9:
                role = field if dice.random() < 0.95 else dice.choice(list(ids))
                news[value] = dice.choice(ids[role])
    return _exchanged(message, news)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401  any JSON
    """Everything in `value`, as what it is in and where."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _bend(dice: Random, message: Any, ids: Ids) -> None:  # noqa: ANN401  any JSON
    places = list(_places(message))
    if not places:
        return
    within, key = dice.choice(places)
    match dice.randrange(8):
        case 0:
            del within[key]
        case 1 if isinstance(within, dict):
            within[dice.choice(["", "id", "type", f"{key}_", str(key).upper()])] = within.pop(key)
        case 2:
            within[key] = [within[key]] if dice.random() < 0.5 else {str(key): within[key]}
        case 3:
            other, there = dice.choice(places)
            within[key] = deepcopy(other[there])
        case 4:
            within[key] = dice.choice([name for names in ids.values() for name in names] or [key])
        case 5 if isinstance(within, dict):
            within[dice.choice(["id", "type", "event", "extra"])] = deepcopy(dice.choice(JUNK))
        case _:
            within[key] = deepcopy(dice.choice(JUNK))


def _doubled_key(dice: Random, text: str) -> str:
    """A key said twice, first or last; parsers differ in which they believe."""
    key = dice.choice(["type", "event", "response_id", "item_id", "id"])
    pair = f"{json.dumps(key)}: {json.dumps(dice.choice(['', 'x', None, 7]))}"
    return "{" + pair + ", " + text[1:] if dice.random() < 0.5 else text[:-1] + ", " + pair + "}"


def _broken(dice: Random, data: bytes, other: str) -> bytes:
    at, to = sorted((dice.randint(0, len(data)), dice.randint(0, len(data))))
    noise = bytes(dice.randrange(256) for _ in range(dice.randrange(5)))
    match dice.randrange(7):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + other.encode()[at:]
        case 2:
            return data[:at] + noise + data[to:]
        case 3 if at < len(data):
            return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
        case 4:
            no_utf8 = dice.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\x00"])
            return data[:at] + no_utf8 + data[at:]
        case 5:
            return dice.choice([b"\xef\xbb\xbf", b" \n", b"[", b"null"]) + data + noise
        case _:
            return noise
