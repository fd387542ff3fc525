"""Tables become adapters in memory: the same as in files, and nothing is left behind."""

import gc
import sys
from pathlib import Path
from weakref import ref

import pytest

from bargein.adapters import openai, twilio
from bargein.codegen.errors import GenerateError
from bargein.codegen.loaded import adapters, stale
from bargein.runtime.events import Audio, Marked
from bargein.runtime.session import Session
from bargein.statemachines.diagnostics import TableError
from bargein.statemachines.loader import ROOM

from .mutants import OPENAI, RESPONSE, Patch, Refused, apply


def patched(folder: Path, *patches: tuple[str, str, str]) -> Path:
    return apply(Refused("a test", (), tuple(Patch(*patch) for patch in patches), "", ""), folder)


def test_the_shipped_tables_loaded_are_the_shipped_adapters() -> None:
    """By what they hold; their functions are others, so what they decode and say is compared too."""
    for module, shipped in zip(adapters(None, "openai", "twilio"), (openai, twilio), strict=True):
        ours, theirs = module.ADAPTER, shipped.ADAPTER
        assert module is not shipped
        for field in theirs.__struct_fields__:
            if not callable(getattr(theirs, field)):
                assert getattr(ours, field) == getattr(theirs, field), field
    provider, transport = (module.ADAPTER for module in adapters(None, "openai", "twilio"))
    delta = (
        '{"type":"response.output_audio.delta","response_id":"r","item_id":"i",'
        '"content_index":0,"delta":"AAAA"}'
    )
    assert provider.decode(delta) == openai.decode(delta)
    assert type(provider.decode(delta)[0]) is Audio
    assert transport.decode('{"event":"mark","mark":{"name":"m"}}') == (Marked(mark="m"),)
    assert transport.clear("s", 0) == twilio.clear("s", 0) != ()


def test_a_session_runs_on_what_was_loaded_after_the_tables_are_gone(tmp_path: Path) -> None:
    folder = patched(
        tmp_path / "tables", (RESPONSE, "go: cancelled, do: [withdraw, ", "go: cancelled, do: [")
    )
    provider, transport = (module.ADAPTER for module in adapters(folder, "openai", "twilio"))
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    row = provider.response.cells["requested"]["interrupt"][0]
    assert row.do == ("resolve_interrupted",)
    session = Session(provider, transport)
    _, actions = session.request(0)
    assert len(actions) == 1
    report, _ = session.interrupt(0)
    assert report.withdrawn == []  # as the patched table says


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """Neither modules nor files, in the tree or beside the tables."""
    folder = patched(tmp_path / "tables")
    adapters(folder, "openai", "twilio")  # whatever is imported for the first time is imported now

    def there() -> set[Path]:
        rooms = [ROOM, ROOM.parent / "adapters", ROOM.parent / "codegen", tmp_path]
        return {path for room in rooms for path in room.rglob("*")}

    files, modules = there(), set(sys.modules)
    adapters(folder, "openai", "twilio")
    assert set(sys.modules) == modules
    assert {path for path in there() if path.suffix != ".pyc"} == {
        path for path in files if path.suffix != ".pyc"
    }


def test_a_module_is_freed_with_its_last_user() -> None:
    """Many tables are loaded in one run, so no list or cache may hold what was made of them."""
    held = [ref(module) for module in adapters(None, "openai", "twilio")]
    gc.collect()
    assert [each() for each in held] == [None, None]


def test_two_loads_share_nothing_and_have_their_own_names() -> None:
    first, second = adapters(None, "openai", "twilio"), adapters(None, "openai", "twilio")
    assert len({module.__name__ for module in (*first, *second)}) == 4
    assert first[0].ADAPTER.response == second[0].ADAPTER.response
    assert first[0].ADAPTER.response.cells is not second[0].ADAPTER.response.cells


def test_a_table_of_ones_own_is_completed_with_the_shipped_ones(tmp_path: Path) -> None:
    """A new provider is one file; the machines and the carrier come from the shipped tables."""
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers/mine.yaml").write_text(
        "# yaml-language-server: $schema=../schema/provider.schema.json\n"
        "provider: mine\nis: Mine.\nextends: openai\ntimeouts: {created_ms: {is: 7}}\n"
    )
    provider, transport = adapters(tmp_path, "mine", "twilio")
    assert provider.ADAPTER.name == "mine"
    assert provider.ADAPTER.timeouts_ms["created_ms"] == 7
    assert transport.ADAPTER.digest == twilio.ADAPTER.digest


def test_bad_tables_are_refused_with_their_findings(tmp_path: Path) -> None:
    folder = patched(tmp_path / "tables", (OPENAI, "event: created,", "event: craeted,"))
    with pytest.raises(TableError) as caught:
        adapters(folder, "openai", "twilio")
    assert "E012" in {finding.code for finding in caught.value.diagnostics}
    with pytest.raises(TableError, match="no tables here"):
        adapters(tmp_path / "nowhere", "openai", "twilio")


def test_a_machine_that_the_shipped_peers_cannot_serve_is_refused(tmp_path: Path) -> None:
    """What completes a folder is checked against the folder's machines, not against those it was written for."""
    folder = patched(tmp_path / "tables", (RESPONSE, "{by: transport, is:", "{by: session, is:"))
    for name in (OPENAI, "transports/twilio.yaml"):
        (folder / name).unlink()
    with pytest.raises(TableError):
        adapters(folder, "openai", "twilio")


def test_an_unknown_name_is_refused_with_a_hint() -> None:
    with pytest.raises(GenerateError, match="no provider 'opeani'; did you mean 'openai'"):
        adapters(None, "opeani", "twilio")
    with pytest.raises(GenerateError, match="no transport 'openai'"):
        adapters(None, "openai", "openai")


def test_the_adapters_we_ship_are_what_the_tables_say() -> None:
    assert stale() == []
