"""What we write: every hook of every adapter, word for word, and judged by those who read it.

The pages `wire/told/` hold what a peer is told in each situation. A page is laid over that of the table it extends;
of a situation without a line nothing is said.
"""

import base64
import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from bargein.runtime.adapter import ProviderAdapter, RequestFields, TransportAdapter, Wire

from .fuzzing import PEERS, TABLES, Adapter, Side, adapter_of
from .official import TAKES, Json

PAGES = Path(__file__).parent / "wire" / "told"


class Response(Struct):
    """A response as a hook sees it."""

    server_id: str | None = "resp_1"
    server_cancels: bool = False
    manual_turns: bool = False


class Item(Struct):
    """An item as a hook sees it."""

    item_id: str = "item_1"
    response_id: str | None = "resp_1"
    part: int = 0
    cut_ms: int = 850
    has_audio: bool = True
    text_only: bool = False


# -- Situations -------------------------------------------------------------------------------------

SAYS = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
VOICE = b"\xff\x00"

_REQUESTS: dict[str, RequestFields] = {
    "a response is wanted": RequestFields(),
    "a response to instructions is wanted": RequestFields(instructions="Be brief."),
    "a response with all that can be said of it": RequestFields(
        instructions="Be brief.", input=[SAYS], tools=[TOOL]
    ),
    "a response beside the conversation": RequestFields(conversation="none", input=[]),
}
_CANCELS: dict[str, Response] = {
    "a response is unwanted": Response(),
    "a response is unwanted whose name is not known": Response(server_id=None),
    "a response is unwanted that the server cancels by itself": Response(server_cancels=True),
    "a response is unwanted where we say when the caller speaks": Response(manual_turns=True),
}
_TRUNCATES: dict[str, Item] = {
    "an item was heard in part": Item(),
    "a later part was heard in part": Item(part=2, cut_ms=1),
    "an item has no audio to cut": Item(has_audio=False),
}
_FORGETS: dict[str, Item] = {
    "an item was not heard": Item(),
    "an item was read": Item(text_only=True),
}
_HUSHES: dict[str, Response] = {
    "the server shall play no more": Response(),
    "the server plays no more by itself": Response(server_cancels=True),
}


def situations(adapter: Adapter) -> dict[str, tuple[str, Callable[[], Wire]]]:
    """All that can make an adapter speak: in words, the hook, and how it is asked."""
    if isinstance(adapter, TransportAdapter):
        at_once = " before the stream has begun"
        streams = {"": "s1", at_once: None}
        carried: dict[str, tuple[str, Callable[[], Wire]]] = {}
        for when, stream in streams.items():
            carried |= {
                f"speech{when}": ("play", partial(adapter.play, stream, VOICE, "item_1", 3)),
                f"a mark{when}": ("mark", partial(adapter.mark, stream, "m.1", "item_1", 3)),
                f"silence{when}": ("clear", partial(adapter.clear, stream, 3)),
            }
        return carried
    return {
        **{
            f"the session begins, in {name}": ("configure", partial(adapter.configure, "op_1", form.asks))
            for name, form in adapter.audio.items()
        },
        "the caller's voice": ("listen", partial(adapter.listen, VOICE)),
        **{k: ("request", partial(adapter.request, "req_1", v)) for k, v in _REQUESTS.items()},
        **{k: ("cancel", partial(adapter.cancel, "op_1", v)) for k, v in _CANCELS.items()},
        **{k: ("truncate", partial(adapter.truncate, "op_1", v)) for k, v in _TRUNCATES.items()},
        **{k: ("forget", partial(adapter.forget, "op_1", v)) for k, v in _FORGETS.items()},
        **{k: ("hush", partial(adapter.hush, "op_1", v)) for k, v in _HUSHES.items()},
        "a ping": ("pong", partial(adapter.pong, 9)),
    }  # fmt: skip


# -- Pages ------------------------------------------------------------------------------------------


class Line(Struct, forbid_unknown_fields=True):
    """What is written in a situation: messages, or bare audio."""

    about: str = msgspec.field(name="is")
    messages: list[Json] = []
    binary: bytes | None = None


def _parent(side: Side, name: str) -> str | None:
    return (TABLES.providers if side == "provider" else TABLES.transports)[name].extends


@cache
def page(side: Side, name: str) -> Mapping[str, Line]:
    """What a peer is told, by situation."""
    parent, path = _parent(side, name), PAGES / f"{name}.jsonl"
    inherited = page(side, parent) if parent is not None else {}
    written = path.read_bytes().splitlines() if path.exists() else []
    lines = [msgspec.json.decode(line, type=Line) for line in written]
    return {**inherited, **{line.about: line for line in lines}}


CASES = [
    (side, name, about)
    for side, name in PEERS
    for about in situations(adapter_of(side, name))
]  # fmt: skip


@pytest.mark.parametrize(("side", "name", "about"), CASES)
def test_what_is_written_is_what_the_page_says(side: Side, name: str, about: str) -> None:
    """Field for field and in this order: a carrier warns of a field too many, and Nova reads its events in order."""
    _, asks = situations(adapter_of(side, name))[about]
    line = page(side, name).get(about, Line(about))
    if line.binary is not None:
        assert asks() == (line.binary,)
    else:
        assert [json.dumps(json.loads(each)) for each in asks()] == [
            json.dumps(each) for each in line.messages
        ]


@pytest.mark.parametrize(("side", "name"), PEERS)
def test_a_page_speaks_only_of_what_can_be(side: Side, name: str) -> None:
    """And no line repeats what the page under it says."""
    path = PAGES / f"{name}.jsonl"
    written = path.read_bytes().splitlines() if path.exists() else []
    lines = [msgspec.json.decode(line, type=Line) for line in written]
    parent = _parent(side, name)
    below = page(side, parent) if parent is not None else {}
    assert {line.about for line in lines} <= set(situations(adapter_of(side, name)))
    assert len({line.about for line in lines}) == len(lines)
    assert [line for line in lines if line == below.get(line.about, Line(line.about))] == []


@pytest.mark.parametrize(("side", "name"), PEERS)
def test_a_hook_speaks_if_its_table_has_a_row_for_it_and_only_then(side: Side, name: str) -> None:
    tables: Mapping[str, Any] = TABLES.providers if side == "provider" else TABLES.transports
    rows = {key.partition(".")[2]: rows for key, rows in tables[name].hooks.items()}
    spoke: dict[str, bool] = {}
    adapter = adapter_of(side, name)
    for hook, asks in situations(adapter).values():
        spoke[hook] = spoke.get(hook, False) or bool(asks())
    bare = {"listen", "play"} if adapter.bare_audio else set()
    assert spoke == {hook: bool(rows.get(hook)) or hook in bare for hook in spoke}


# -- Judges -----------------------------------------------------------------------------------------


def judge_of(name: str) -> Callable[[Json], None]:
    """Who reads what a provider is told: its own vendor, or the one whose words it uses."""
    at: str | None = name
    while at is not None and at not in TAKES:
        at = TABLES.providers[at].extends
    return TAKES[at or name]


def written_to(name: str) -> list[Json]:
    """Every message that a provider is told in any situation."""
    adapter = adapter_of("provider", name)
    assert isinstance(adapter, ProviderAdapter)
    wires = (asks() for hook, asks in situations(adapter).values())
    bare = {base64.b64encode(VOICE)} if adapter.bare_audio else set()
    found = [each for wire in wires for each in wire if base64.b64encode(each) not in bare]
    return [json.loads(each) for each in found]


every_provider = pytest.mark.parametrize("name", TABLES.providers)


@every_provider
def test_all_that_is_written_to_a_provider_is_of_its_own_words(name: str) -> None:
    messages = written_to(name)
    assert messages
    for message in messages:
        judge_of(name)(message)


@every_provider
def test_the_judge_knows_a_field_too_many(name: str) -> None:
    """Or it would let a misspelt one pass."""
    for message in written_to(name):
        with pytest.raises((AssertionError, ValueError, KeyError)):
            judge_of(name)({**message, "nobody_knows_this": 1})
