"""What peers say, and that nothing of it is missed or taken for broken.

`test_adapters.py` has the pages of `wire/` decoded word for word; here is what holds beyond them.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from azure.ai.voicelive.models import ServerEvent

from bargein.runtime import events as ev
from bargein.statemachines.model import Provider, Transport

from .essentials import ESSENTIAL
from .filling import GEMINI_SAYS, OPENAI_SAYS, PHONIC_SAYS, PREVIEW_SAYS, by_schema, filled
from .fuzzing import EXAMPLES, PEERS, TABLES, Example, Side, adapter_of
from .official import DEEPGRAM_SAYS, ELEVENLABS_SAYS, Json

TIMES = 30
"""How often each official type is filled, each time with other fields left out and other choices made."""


def table_of(name: str) -> Provider | Transport:
    return TABLES.providers[name] if name in TABLES.providers else TABLES.transports[name]


def side_of(name: str) -> Side:
    return "provider" if name in TABLES.providers else "transport"


def meaning(name: str, message: Json) -> list[ev.Event]:
    """What a message means, what has no meaning left out."""
    decoded = adapter_of(side_of(name), name).decode(json.dumps(message))
    return [event for event in decoded if type(event) is not ev.Unknown]


# -- Pages ------------------------------------------------------------------------------------------

TEXTS = [each for each in EXAMPLES if each.binary is None]


def named(example: Example) -> str:
    return f"{example.peer}: {example.about}"


@pytest.mark.parametrize("example", TEXTS, ids=named)
def test_fields_that_nobody_knows_change_nothing(example: Example) -> None:
    """A server of tomorrow says more in each object; what it says today it still means."""
    more = deepcopy(example.message)
    for found in list(_objects(more)):
        found["from_tomorrow"] = {"deep": [1, None, {"id": "x"}]}
    assert meaning(example.peer, more) == meaning(example.peer, example.message)


def _objects(value: Any) -> Iterator[Json]:  # noqa: ANN401  any JSON
    """The server's own; the arguments of a call are the model's."""
    if isinstance(value, dict):
        yield value
        for name, inner in value.items():
            if name not in ("args", "arguments", "parameters"):
                yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


HEIRS = [
    (name, parent)
    for _, name in PEERS
    if (parent := table_of(name).extends) is not None and table_of(name).wire.tag is not None
]


@pytest.mark.parametrize(("heir", "parent"), HEIRS)
def test_what_a_table_does_not_change_it_hears_as_the_table_it_extends(
    heir: str, parent: str
) -> None:
    """So the pages of the parent are the heir's too; a kind that it gave up means nothing."""
    ours, theirs = dict(table_of(heir).received()), dict(table_of(parent).received())
    adapter = adapter_of(side_of(heir), heir)
    heard = [each for each in TEXTS if each.peer == parent]
    assert heard
    for example in heard:
        kind = adapter.kind(example.wire)
        assert kind is not None
        if kind not in ours:
            assert adapter.decode(example.wire) == (ev.Unknown(kind=kind),)
        elif ours[kind] == theirs.get(kind):
            assert adapter.decode(example.wire) == example.meaning


# -- What matters when somebody interrupts ----------------------------------------------------------


@pytest.mark.parametrize("name", [name for _, name in PEERS])
def test_nothing_is_missed_that_an_interruption_hangs_on(name: str) -> None:
    _, essential = ESSENTIAL[name]
    heard = {kind: {row["event"] for row in rows} for kind, rows in table_of(name).received()}
    for kind, events in essential.items():
        assert heard.get(kind, set()) >= set(events.split()), kind


# -- What official packages write -------------------------------------------------------------------

GA = [
    "openai",
    "azure",
    "openai_webrtc",
    "xai",
    "localai",
    "inworld",
    "vllm_omni",
    "hf_speech_to_speech",
]
BETA = ["azure_preview", "speaches", "qwen", "voicelive"]
OFFICIAL: list[tuple[str, Any]] = [
    *((name, kind) for name in GA for kind in OPENAI_SAYS),
    *((name, kind) for name in BETA for kind in PREVIEW_SAYS),
    ("gemini", GEMINI_SAYS),
    *(("phonic", kind) for kind in PHONIC_SAYS),
    *(("deepgram", kind) for kind in DEEPGRAM_SAYS.values()),
]


@pytest.mark.parametrize(("name", "kind"), OFFICIAL, ids=lambda x: getattr(x, "__name__", x))
def test_what_an_official_package_writes_is_never_malformed(
    name: str,
    kind: Any,  # noqa: ANN401  a model of any package
) -> None:
    """Whatever may be missing is missing now and then, or null; what names something is always there."""
    adapter, dice = adapter_of("provider", name), Random(0)
    for _ in range(TIMES):
        model = filled(dice, kind)
        for text in (
            model.model_dump_json(by_alias=True),
            model.model_dump_json(by_alias=True, exclude_none=True),
        ):
            for event in adapter.decode(text):
                assert type(event) is not ev.Malformed, (event, text)


@pytest.mark.parametrize("name", sorted({name for name, _ in OFFICIAL}))
def test_what_official_packages_write_says_all_that_matters(name: str) -> None:
    """Or little would follow from its never being malformed."""
    adapter, dice, said = adapter_of("provider", name), Random(0), set[str]()
    for kind in [kind for whose, kind in OFFICIAL if whose == name]:
        for _ in range(TIMES * 3):
            text = filled(dice, kind).model_dump_json(by_alias=True)
            said |= {ev.event_name(type(event), "provider") for event in adapter.decode(text)}
    essential = {word for events in ESSENTIAL[name][1].values() for word in events.split()}
    assert said >= essential - {"ping"}  # OpenAI's package, which judges Inworld, has none.


AZURE = [each for each in TEXTS if each.peer in ("voicelive", "azure_preview", "openai")]


def test_what_azures_package_reads_and_writes_means_the_same() -> None:
    """Each example that it knows, once through its own types."""
    read: Callable[[Json, list[str]], Any] = ServerEvent._deserialize
    known = 0
    for example in AZURE:
        parsed = read(deepcopy(example.message), [])
        if type(parsed) is not ServerEvent:
            known += 1
            again: Json = parsed.as_dict()
            assert meaning("voicelive", again) == meaning("voicelive", example.message)
    assert known > len(AZURE) // 2


@pytest.mark.parametrize("kind", ELEVENLABS_SAYS)
def test_what_the_schema_of_elevenlabs_allows_is_never_malformed(kind: str) -> None:
    adapter, dice = adapter_of("provider", "elevenlabs"), Random(0)
    for _ in range(TIMES):
        text = json.dumps(by_schema(dice, ELEVENLABS_SAYS[kind]))
        assert type(adapter.decode(text)[0]) is not ev.Malformed, text
