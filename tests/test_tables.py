"""The shipped tables, the loader that reads them, and the schema that editors read them with."""

import copy
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bargein.statemachines import schema
from bargein.statemachines.checks import PRESCRIBED, check, check_paths
from bargein.statemachines.convert import Damage, convert, plain
from bargein.statemachines.diagnostics import Diagnostic, Place, TableError
from bargein.statemachines.loader import (
    ROOM,
    Tables,
    load_all,
    load_machine,
    load_provider,
    load_transport,
)
from bargein.statemachines.model import Machine, Provider, Table, Transport, Wire
from bargein.statemachines.nodes import Entry, Mapping, Node, Scalar, Sequence, read
from bargein.statemachines.tables import KINDS, Kind, kind_and_name
from bargein.statemachines.vocabulary import (
    HOOK_GUARDS,
    HOOK_VARIABLES,
    PACES,
    PROVIDER_CAPABILITIES,
    PROVIDER_EVENTS,
    TRANSPORT_CAPABILITIES,
    TRANSPORT_EVENTS,
)

TABLES = load_all()
HERE = Place("here")


def test_the_shipped_tables_are_without_fault() -> None:
    """Not even a warning: what we ship is the example that others follow."""
    assert check_paths() == []
    assert check(TABLES) == []


def test_the_shared_machines_have_the_prescribed_states() -> None:
    """Reports, docs and the runtime speak of these states by name."""
    assert {name: tuple(m.states) for name, m in TABLES.machines.items()} == PRESCRIBED
    assert {"openai"} <= set(TABLES.providers)
    assert {"twilio"} <= set(TABLES.transports)


def test_every_cell_of_the_shipped_machines_has_an_answer() -> None:
    """Counted without the checks: states × events = cells, none twice."""
    for machine in TABLES.machines.values():
        cells = [(state, event) for state, event, _ in machine.cells()]
        assert sorted(cells) == sorted((s, e) for s in machine.states for e in machine.events)


def test_a_table_loads_the_same_alone_and_with_all_others() -> None:
    """The three loaders and `load_all` are one reader."""
    assert load_machine(ROOM / "response.yaml") == TABLES.machines["response"]
    assert load_provider(ROOM / "providers/openai.yaml") == TABLES.providers["openai"]
    assert load_transport(ROOM / "transports/twilio.yaml") == TABLES.transports["twilio"]


@pytest.mark.parametrize("table", list(TABLES), ids=lambda t: kind_and_name(t)[1])
def test_the_loader_reads_what_any_yaml_reader_reads(table: Table) -> None:
    """PyYAML speaks 1.1 and our reader 1.2; a table means the same in both."""
    if len(TABLES.files(table)) == 1:
        other = yaml.safe_load(TABLES.files(table)[0].read_text("utf-8"))
        assert plain(TABLES.source(table).root) == other
        assert msgspec.convert(other, type(table)) == table


def test_every_row_can_be_located() -> None:
    """`where` answers with the key's place; the text there is the key."""
    for machine in TABLES.machines.values():
        for state in machine.states:
            for event in machine.events:
                place = TABLES.where(machine, "states", state, "when", event)
                assert _text_at(place).partition(":")[0].find(event) >= 0
    openai = TABLES.providers["openai"]
    for section in ("can", "timeouts", "receive", "send", "hooks", "errors"):
        for key in getattr(openai, section):
            assert _text_at(TABLES.where(openai, section, key)).startswith(f"{key}:")


def test_where_finds_list_items_values_and_the_nearest_thing() -> None:
    """What is asked for may be a row of a list, a value, or not there."""
    playback = TABLES.machines["playback"]
    cell = ("states", "playing", "when", "interrupt")
    assert _text_at(TABLES.where(playback, *cell, 1)).startswith("{if: heard")
    assert _text_at(TABLES.where(playback, *cell, 2)).startswith("{go: skipped")
    assert _text_at(TABLES.where(playback, *cell, 2, "do")).startswith("do: [forget")
    assert _text_at(TABLES.where_value(playback, *cell, 2, "go")).startswith("skipped")
    row = TABLES.where(playback, "states", "full", "when", "played")
    assert TABLES.where(playback, "states", "full", "when", "played", 0) == row
    assert TABLES.where(playback, "states", "full", "when", "played", "go", "on") == row
    assert _text_at(TABLES.where(playback)) == "machine: playback"


def test_a_place_below_the_current_directory_is_named_relative_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a terminal can open it; from elsewhere the whole path is given."""
    place = TABLES.where(TABLES.providers["openai"])
    monkeypatch.chdir(ROOM)
    assert str(place).startswith(str(Path("providers/openai.yaml:")))
    monkeypatch.chdir(ROOM / "providers")
    assert str(TABLES.where(TABLES.machines["response"])).startswith(str(ROOM))


def test_loading_raises_everything_that_is_wrong_with_all_files(tmp_path: Path) -> None:
    """Two files, three mistakes, one exception."""
    root = _copy(tmp_path)
    for name, old, new in (
        ("response.yaml", "go: created,", "gone: created,"),
        ("providers/openai.yaml", "means: gone", "means: vanished"),
        ("providers/openai.yaml", "created_ms: {is: 10000,", "created_ms: {is: on,"),
    ):
        text = (root / name).read_text("utf-8")
        assert old in text
        (root / name).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(TableError) as raised:
        load_all(root)
    assert [d.code for d in raised.value.diagnostics] == ["E005", "E015", "E010"]
    assert str(raised.value).count("\n") == 2


# What the loader accepts is what msgspec accepts.


def _paths(value: object, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield keys
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*keys, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _paths(inner, (*keys, i))


PLAIN: dict[tuple[Kind, str], Any] = {
    key: plain(source.root) for key, source in TABLES.sources.items()
}
EVERYWHERE = [(key, keys) for key, value in PLAIN.items() for keys in _paths(value) if keys]
ODD_VALUES: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    7,
    2.5,
    7.0,
    "",
    "x",
    "Two words",
    "done",
    [],
    ["x"],
    [{}],
    {},
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(EVERYWHERE), st.sampled_from((*ODD_VALUES, "delete", "misspell")))
def test_the_loader_accepts_exactly_what_msgspec_accepts(
    where: tuple[tuple[Kind, str], tuple[str | int, ...]], odd: object
) -> None:
    """The walk is one function without knowledge of any type; msgspec is the judge of it."""
    key, keys = where
    data = copy.deepcopy(PLAIN[key])
    around: Any = data
    for step in keys[:-1]:
        around = around[step]
    last: Any = keys[-1]
    if odd == "delete":
        del around[last]
    elif odd == "misspell" and isinstance(around, dict):
        around[f"{last}zz"] = around.pop(last)
    else:
        around[last] = odd
    _same_verdict(data, KINDS[key[0]])


def _same_verdict(data: object, table: type[Table]) -> None:
    found: list[Diagnostic] = []
    node = _node(data)
    assert isinstance(node, Mapping)
    ours = convert(node, table, found, Damage())
    try:
        theirs = msgspec.convert(data, table)
    except msgspec.ValidationError as error:
        assert found, f"msgspec refuses what we accept: {error}"
    else:
        assert not found, f"we refuse what msgspec accepts: {found[0]}"
        assert ours == theirs


def _node(value: object) -> Node:
    if isinstance(value, dict):
        return Mapping({k: Entry(HERE, _node(v)) for k, v in value.items()}, HERE)
    if isinstance(value, list):
        return Sequence(tuple(map(_node, value)), HERE)
    assert value is None or isinstance(value, str | int | float)
    return Scalar(value, str(value), HERE)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("y", "y"),
        ("none", "none"),
        ("'on'", "on"),
        ('"0777"', "0777"),
        ("a: b", {"a": "b"}),
        ("a:\n  b: [1, x]", {"a": {"b": [1, "x"]}}),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found: list[Diagnostic] = []
    node = read(text, "here", found)
    assert node is not None
    assert plain(node) == value
    assert not found


# extends

AZURE = """\
# yaml-language-server: $schema=../schema/provider.schema.json
provider: azure
is: Azure, which differs in three things.
extends: openai
can:
  delete: {is: none}
timeouts:
  created_ms: {is: 20000}
hooks:
  playback.forget: []
send:
  delete: null
  create: {response: {tools: null, instructions: fixed}}
errors:
  invalid_api_key: null
receive:
  response.done: {event: ended, response: response.id, item: response.output}
  response.created: {request: response.metadata.request}
"""


@pytest.fixture
def azure(tmp_path: Path) -> tuple[Tables, Provider]:
    root = _copy(tmp_path)
    (root / "providers/azure.yaml").write_text(AZURE, "utf-8")
    tables = load_all(root)
    return tables, tables.providers["azure"]


def test_an_extending_table_differs_only_in_what_it_says(azure: tuple[Tables, Provider]) -> None:
    _, table = azure
    openai = TABLES.providers["openai"]
    assert table.extends == "openai"
    assert table.see is None  # the source of another table's facts is not this one's
    assert table.wire == openai.wire
    assert table.timeouts["created_ms"].is_ == 20000
    assert table.timeouts["answer_ms"] == openai.timeouts["answer_ms"]
    assert set(openai.errors) - set(table.errors) == {"invalid_api_key"}
    assert table.hooks["playback.forget"] == ()
    assert table.hooks["response.cancel"] == openai.hooks["response.cancel"]


def test_extending_merges_messages_to_their_depth(azure: tuple[Tables, Provider]) -> None:
    _, table = azure
    create = table.send["create"]
    assert isinstance(create, dict)
    response = create["response"]
    assert "tools" not in response
    assert response["instructions"] == "fixed"
    assert response["metadata"] == {"client_event_id": "$request"}
    assert "delete" not in table.send


def test_an_extending_row_keeps_no_reason_that_was_given_for_another(
    azure: tuple[Tables, Provider],
) -> None:
    """`why` explains the value it stands beside."""
    _, table = azure
    assert TABLES.providers["openai"].timeouts["created_ms"].why is not None
    assert table.timeouts["created_ms"].why is None


def test_an_extending_row_amends_an_event_or_names_another(azure: tuple[Tables, Provider]) -> None:
    _, table = azure
    created = table.receive["response.created"]
    assert isinstance(created, dict)
    assert created["event"] == "created"
    assert created["request"] == "response.metadata.request"
    assert created["conversation"] == "response.conversation_id"
    done = {"event": "ended", "response": "response.id", "item": "response.output"}
    assert table.receive["response.done"] == done


def test_each_row_is_located_in_the_file_that_says_it(azure: tuple[Tables, Provider]) -> None:
    tables, table = azure
    assert [path.name for path in tables.files(table)] == ["azure.yaml", "openai.yaml"]
    assert tables.where(table, "can", "delete").file.endswith("azure.yaml")
    assert tables.where(table, "can", "cancel").file.endswith("openai.yaml")
    assert tables.where(table, "send", "create").file.endswith("azure.yaml")
    assert tables.where(table, "send", "create", "type").file.endswith("openai.yaml")
    assert _text_at(tables.where_value(table, "can", "delete", "is")) == "none}"


def test_a_table_elsewhere_extends_a_shipped_one(tmp_path: Path) -> None:
    """A provider of one's own needs no copy of ours."""
    path = tmp_path / "mine.yaml"
    path.write_text("provider: mine\nis: Mine.\nextends: openai\ntimeouts: {answer_ms: {is: 1}}\n")
    assert load_provider(path).timeouts["answer_ms"].is_ == 1
    assert [d.code for d in check_paths([path])] == ["W001"]


def test_tables_extend_in_chains(tmp_path: Path) -> None:
    for name, parent in (("two", "one"), ("one", "openai")):
        text = f"provider: {name}\nis: It.\nextends: {parent}\ntimeouts: {{{_limit(name)}: {{is: 7}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    two = load_provider(tmp_path / "two.yaml")
    assert [two.timeouts[k].is_ for k in ("created_ms", "settled_ms", "answer_ms")] == [7, 7, 5000]


def _limit(name: str) -> str:
    return {"one": "created_ms", "two": "settled_ms"}[name]


# The schema.


def test_the_committed_schemas_are_those_of_the_types() -> None:
    """Drift would make editors contradict `bargein check`."""
    committed = {path.name: path.read_text("utf-8") for path in (ROOM / "schema").iterdir()}
    assert committed == schema.render()


def test_schemas_are_written_where_asked(tmp_path: Path) -> None:
    paths = schema.write(tmp_path)
    assert {p.name: p.read_text("utf-8") for p in paths} == schema.render()


@pytest.mark.parametrize("table", [Machine, Provider, Transport])
def test_the_schema_knows_the_keys_that_the_loader_knows(table: type[Table]) -> None:
    """Every type of the model, key by key, and which of them are required."""
    text = schema.render()[f"{table.__name__.lower()}.schema.json"]
    parts = json.loads(text)["$defs"]
    types = {t.__name__: t for t in _structs(msgspec.inspect.type_info(table))}
    assert types.keys() - parts.keys() <= {"Capability"}  # there it is spelled out for each name
    for name, struct in types.items():
        part = parts[name] if name in parts else _any_capability(parts[table.__name__])
        fields = msgspec.structs.fields(struct)
        assert set(part["properties"]) == {field.encode_name for field in fields}
        assert set(part.get("required", ())) == {f.encode_name for f in fields if f.required}


def _any_capability(top: dict[str, Any]) -> dict[str, Any]:
    capability: dict[str, Any] = next(iter(top["properties"]["can"]["properties"].values()))
    return capability


def _structs(kind: msgspec.inspect.Type) -> Iterator[type[msgspec.Struct]]:
    match kind:
        case msgspec.inspect.StructType():
            yield kind.cls
            for field in kind.fields:
                yield from _structs(field.type)
        case msgspec.inspect.Metadata():
            yield from _structs(kind.type)
        case msgspec.inspect.DictType():
            yield from _structs(kind.value_type)
        case msgspec.inspect.VarTupleType():
            yield from _structs(kind.item_type)
        case msgspec.inspect.UnionType():
            for member in kind.types:
                yield from _structs(member)


def _validator(kind: str) -> Draft202012Validator:
    text = json.loads(schema.render()[f"{kind}.schema.json"])
    Draft202012Validator.check_schema(text)
    return Draft202012Validator(text)


@pytest.mark.parametrize("key", PLAIN, ids=lambda key: key[1])
def test_an_independent_validator_accepts_the_shipped_tables(key: tuple[Kind, str]) -> None:
    assert list(_validator(key[0]).iter_errors(PLAIN[key])) == []


def test_the_schema_lets_an_extending_table_be_short_but_not_wrong() -> None:
    validator = _validator("provider")
    data = yaml.safe_load(AZURE)
    assert list(validator.iter_errors(data)) == []
    for keys, odd in (
        (("can", "delete", "is"), "nowhere"),
        (("receive", "response.created", "event"), "craeted"),
        (("hooks", "playback.forget"), [{"send": "x", "if": "raining"}]),
        (("is",), None),
        (("cann",), {}),
    ):
        broken: Any = copy.deepcopy(data)
        around = broken
        for step in keys[:-1]:
            around = around[step]
        around[keys[-1]] = odd
        assert list(validator.iter_errors(broken)), keys


# The page.


def test_the_page_of_the_grammar_names_every_word() -> None:
    """docs/tables.md is the vocabulary for people: no word of it may be missing there."""
    page = (ROOM.parent / "docs" / "tables.md").read_text("utf-8")
    capabilities = PROVIDER_CAPABILITIES | TRANSPORT_CAPABILITIES
    words = {
        *PROVIDER_EVENTS,
        *TRANSPORT_EVENTS,
        *HOOK_VARIABLES,
        *HOOK_GUARDS,
        *PACES,
        *capabilities,
    }
    words |= {value for values in capabilities.values() for value in values}
    words |= {f"${name}" for names in HOOK_VARIABLES.values() for name in names}
    keys = [key for cls in (Provider, Transport, Wire) for key in cls.__struct_encode_fields__]
    for word in sorted(words | set(keys) - {"format"}):
        assert re.search(rf"`{re.escape(word)}[`: ]|  {re.escape(word)}:", page), word


def test_every_example_of_the_page_is_yaml() -> None:
    page = (ROOM.parent / "docs" / "tables.md").read_text("utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(examples) > 5
    for example in examples:
        found: list[Diagnostic] = []
        assert read(example, "the page", found) is not None
        assert not found


# Whatever a file holds, it is read or refused.


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _copy(tmp_path_factory.mktemp("scratch"))


FILES = ("response.yaml", "playback.yaml", "providers/openai.yaml", "transports/twilio.yaml")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_mutated_table_gives_findings_or_success(scratch: Path, data: st.DataObject) -> None:
    """Lines deleted, doubled, swapped, cut and spoiled: never an exception, and each finding has a place."""
    name = data.draw(st.sampled_from(FILES))
    original = (ROOM / name).read_text("utf-8")
    lines = original.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        other = lines[data.draw(st.integers(0, len(lines) - 1))]
        col = data.draw(st.integers(0, len(lines[at])))
        spoil = data.draw(
            st.sampled_from("{}[]:,-\t'\"#&*!|>%@`?$ é\x00~\n") | st.characters(codec="utf-8")
        )
        how = data.draw(st.sampled_from(("delete", "double", "replace", "cut", "spoil")))
        lines[at : at + 1] = {
            "delete": [],
            "double": [lines[at], lines[at]],
            "replace": [other],
            "cut": [lines[at][:col]],
            "spoil": [lines[at][:col] + spoil + lines[at][col:]],
        }[how] or [""]
    path = scratch / name
    path.write_text("\n".join(lines), "utf-8")
    try:
        found = check_paths([scratch])
    finally:
        path.write_text(original, "utf-8")
    assert all(d.line >= 1 and d.col >= 1 for d in found)
    assert found == sorted(found, key=lambda d: d.place)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=60) | st.text("ab:-[]{}&*!<?'\" \n|>,", max_size=60).map(str.encode))
def test_any_bytes_are_refused_politely(scratch: Path, content: bytes) -> None:
    path = scratch / "any.yaml"
    path.write_bytes(content)
    try:
        assert check_paths([path])
    finally:
        path.unlink()


def _copy(folder: Path) -> Path:
    """The machines, one provider and one transport: what extends them would repeat each of their findings."""
    root = folder / "tables"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOM / name, root / name)
    shutil.copytree(ROOM / "schema", root / "schema")
    return root


def _text_at(place: Place) -> str:
    return Path(place.file).read_text("utf-8").splitlines()[place.line - 1][place.col - 1 :]
