"""The generated adapters: what messages mean, that no input can hurt them, and what the modules are."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bargein import adapters
from bargein.runtime import events as e
from bargein.runtime.adapter import ABI, ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError
from bargein.runtime.events import Unknown, event_name
from bargein.statemachines.loader import load_all
from bargein.statemachines.model import UNTAGGED

from . import fuzzing
from .fuzzing import EXAMPLES, Example, adapter_of, seeds

ROOT = Path(__file__).parent.parent
OPENAI = adapters.provider("openai")
TABLES = load_all()
PEERS: dict[str, ProviderAdapter | TransportAdapter] = {
    name: adapter_of(side, name) for side, name in fuzzing.PEERS
}


# -- What messages mean -----------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda x: f"{x.peer}: {x.about}")
def test_a_documented_message_becomes_its_events(example: Example) -> None:
    """As text and as the bytes of the text: a socket library may hand over either, unless bytes are audio."""
    adapter = PEERS[example.peer]
    assert adapter.decode(example.wire) == example.meaning
    if isinstance(example.wire, str) and not adapter.bare_audio:
        assert adapter.decode(example.wire.encode()) == example.meaning


@pytest.mark.parametrize(("side", "name"), fuzzing.PEERS)
def test_every_row_of_a_table_has_an_example(side: fuzzing.Side, name: str) -> None:
    """A row without an example would be a row nobody has looked at."""
    peer = (TABLES.providers if side == "provider" else TABLES.transports)[name]
    adapter = PEERS[name]
    heard = {
        (kind, event_name(type(event), side))
        for message in seeds(side, name)
        for event in adapter.decode(message)
        for kind in (adapter.kind(message) or UNTAGGED, None)
    }
    for key, rows in peer.received():
        for row in rows:
            kind = None if peer.wire.tag is None else key
            assert (kind, row["event"]) in heard, (key, row["event"])


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('{"type":"response.created"}', "response.created"),
        ('{"type":"response.created","response":{}}', "response.created"),
        ('{"type":"response.created","response":{"id":7}}', "response.created"),
        ('{"type":"response.created","response":null}', "response.created"),
        ('{"type":"response.output_audio.delta","response_id":"r","item_id":"i"}', "response.output_audio.delta"),
        (
            '{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"not base64"}',
            "response.output_audio.delta",
        ),
        ('{"type":"conversation.item.deleted","item_id":null}', "conversation.item.deleted"),
        ('{"response":{"id":"r"}}', None),
        ('{"type":7}', None),
        ('{"type":null}', None),
        ('["response.created"]', None),
        ('"response.created"', None),
        ("null", None),
        ("", None),
        ("hello", None),
        ('{"type":"response.created","response":{"id":"r"}', None),
        ('{"type":"error","error":"\ud800"}', None),
        (b"\xff\xfe\x00\x01", None),
        (b"\x80", None),
        ("[" * 100_000, None),
        ('{"type":"error","error":' + "[" * 100_000, None),
        ('{"type":"error","x":' + '{"x":' * 100_000, None),
    ],
)  # fmt: skip
def test_a_message_that_breaks_the_protocol_is_malformed_and_says_why(
    message: str | bytes, kind: str | None
) -> None:
    (event,) = OPENAI.decode(message)
    assert isinstance(event, e.Malformed)
    assert event.kind == kind
    assert event.reason


def test_the_reason_names_the_place_in_the_message() -> None:
    (event,) = OPENAI.decode('{"type":"response.created","response":{"id":7}}')
    assert event == e.Malformed(
        reason="Expected `str`, got `int` - at `$.response.id`", kind="response.created"
    )


OTHER_TYPES = ["null", "true", "-1", "1.5", '"text"', "[]", '[{"client_event_id":"x"}]', "[[]]"]


@pytest.mark.parametrize("other", [*OTHER_TYPES, '{"code":{}, "reason":[], "error":[1]}'])
def test_what_may_be_missing_may_also_be_of_another_type(other: str) -> None:
    """Some compatible servers send `status_details` as a string and `metadata` as a list."""
    message = (
        '{"type":"response.done","response":{"id":"r","status":"completed",'
        f'"status_details":{other},"metadata":{other},"conversation_id":null}}}}'
    )
    assert OPENAI.decode(message) == (e.Finished(response="r", status="completed"),)


@pytest.mark.parametrize("other", [*OTHER_TYPES, "{}"])
@pytest.mark.parametrize("depth", range(5))
def test_a_session_may_lack_any_part_of_the_way_to_its_turn_detection(
    depth: int, other: str
) -> None:
    way = ["session", "audio", "input", "turn_detection", "interrupt_response"][: depth + 1]
    text = f'"{way[-1]}":{other}'
    for key in reversed(way[:-1]):
        text = f'"{key}":{{{text}}}'
    expected = True if (depth == 4 and other == "true") else None
    assert OPENAI.decode(f'{{"type":"session.updated",{text}}}') == (
        e.Configured(interrupts_itself=expected),
    )


@pytest.mark.parametrize("value", ["true", "0.5", '"0"', "null", "[0]"])
def test_a_part_that_is_no_integer_is_not_known(value: str) -> None:
    message = (
        '{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"",'
        f'"content_index":{value}}}'
    )
    assert OPENAI.decode(message) == (e.Audio(audio=b"", response="r", item="i"),)


def test_a_message_in_any_order_of_its_keys_means_the_same() -> None:
    """JSON objects have no order; only some servers send the kind first."""
    for example in EXAMPLES:
        if example.binary is None:
            turned = json.dumps(dict(reversed(example.message.items())))
            heard = PEERS[example.peer].decode(turned)
            assert [e for e in heard if type(e) is not Unknown] == [
                e for e in example.meaning if type(e) is not Unknown
            ]


# -- No input can hurt ------------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=[]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """(peer, message): a documented message with some values exchanged, some keys missing."""
    example = draw(st.sampled_from([each for each in EXAMPLES if each.binary is None]))
    peer, message = example.peer, deepcopy(example.message)
    for _ in range(draw(st.integers(1, 3)) if message else 0):
        at = message
        key = draw(st.sampled_from(sorted(at)))
        while isinstance(at[key], dict) and at[key] and draw(st.booleans()):
            at = at[key]
            key = draw(st.sampled_from(sorted(at)))
        if draw(st.booleans()) and len(at) > 1:
            del at[key]
        else:
            at[key] = draw(json_values)
    text = json.dumps(message, ensure_ascii=draw(st.booleans()))
    return peer, text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


def assert_tolerated(
    decode: Callable[[str | bytes], tuple[e.Event, ...]], message: str | bytes
) -> None:
    decoded = decode(message)
    assert decoded
    for event in decoded:
        for name, annotation in type(event).__annotations__.items():
            assert is_of(getattr(event, name), annotation), (event, name)


def is_of(value: object, annotation: Any) -> bool:  # noqa: ANN401  an annotation
    if annotation is int or int in getattr(annotation, "__args__", ()):
        return value is None or type(value) is int
    return isinstance(value, annotation)


@pytest.mark.parametrize("peer", PEERS)
@settings(deadline=None, max_examples=50)
@given(
    message=st.text(st.characters(codec=None, exclude_categories=[]))
    | st.binary()
    | json_values.map(json.dumps)
)
def test_decode_tolerates_anything(peer: str, message: str | bytes) -> None:
    assert_tolerated(PEERS[peer].decode, message)


@settings(deadline=None, max_examples=400)
@given(mutated())
def test_decode_tolerates_documented_messages_gone_wrong(case: tuple[str, str]) -> None:
    """And every field of what comes out has the type it is declared with, whatever went in."""
    peer, message = case
    assert_tolerated(PEERS[peer].decode, message)


# -- The modules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", PEERS)
def test_an_adapter_fills_the_contract(peer: str) -> None:
    """Hooks have the parameters the session calls them with; names match; the number of the contract is ours."""
    adapter = PEERS[peer]
    module = sys.modules[f"bargein.adapters.{peer}"]
    assert (adapter.name, adapter.abi, len(adapter.digest)) == (peer, ABI, 16)
    parameters = {
        name: list(inspect.signature(getattr(adapter, name)).parameters)
        for name in type(adapter).__struct_fields__
        if callable(getattr(adapter, name))
    }
    if isinstance(adapter, ProviderAdapter):
        assert parameters == {
            "decode": ["message"],
            "kind": ["message"],
            "configure": ["op", "settings"],
            "listen": ["audio"],
            "request": ["request", "fields"],
            "cancel": ["op", "response"],
            "truncate": ["op", "item"],
            "forget": ["op", "item"],
            "pong": ["ping"],
            "hush": ["op", "response"],
        }
    else:
        assert parameters == {
            "decode": ["message"],
            "kind": ["message"],
            "play": ["stream", "audio", "item", "generation"],
            "mark": ["stream", "mark", "item", "generation"],
            "clear": ["stream", "generation"],
        }
    assert all(inspect.getdoc(getattr(module, name)) for name in parameters)


def test_an_unknown_adapter_is_the_users_mistake_and_the_message_helps() -> None:
    with pytest.raises(UsageError, match="unknown provider 'opnai'; did you mean 'openai'"):
        adapters.provider("opnai")
    with pytest.raises(
        UsageError, match=r"unknown transport 'carrier pigeon'; there are: .*twilio"
    ):
        adapters.transport("carrier pigeon")


def test_an_adapter_is_loaded_only_when_it_is_asked_for() -> None:
    script = "import sys; from bargein import adapters; assert 'bargein.adapters.openai' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_the_generated_modules_pass_the_projects_own_linter_and_formatter() -> None:
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "adapters"],
            cwd=ROOT, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_the_generated_modules_are_strictly_typed() -> None:
    """As a user's type checker sees them."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "src/bargein/adapters"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
