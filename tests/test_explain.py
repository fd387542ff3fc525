"""`bargein explain`: one cell of a table in words, with what goes out and where it is declared."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bargein.statemachines.explain import Declared, UnknownName, explain, render_text
from bargein.statemachines.loader import load_all
from bargein.statemachines.tables import Tables

TABLES = load_all()
CELLS = [
    (peer, machine.machine, state, event)
    for peer in (*TABLES.providers, *TABLES.transports)
    for machine in TABLES.machines.values()
    for state, event, _ in machine.cells()
]


def line_of(declared: Declared) -> str:
    """What stands at a place, from its column on."""
    line = Path(declared.file).read_text("utf-8").splitlines()[declared.line - 1]
    return line[declared.col - 1 :]


def test_a_late_created_is_explained_with_its_cancel_and_its_reasons() -> None:
    """The example of the command's help: what happens, what goes out, why, and where it is declared."""
    late, again = explain(TABLES, "openai", "response", "timed_out", "created").cases
    assert [(str(c), c.must) for c in late.conditions] == [("unborn", True)]
    assert late.go is None
    assert late.why is not None
    assert "by id" in late.why
    assert late.see is not None
    name, cancel = late.acts
    assert (name.action, name.by, name.says) == ("name", "session", ())
    (said,) = cancel.says
    assert (said.peer, said.send, said.kind) == ("openai", "cancel", "response.cancel")
    assert said.shape == {
        "type": "response.cancel",
        "event_id": "$op",
        "response_id": "$response",
    }
    assert [str(c) for c in said.conditions] == ["not server_cancels"]
    assert said.declared is not None
    assert "send: cancel" in line_of(said.declared)
    assert "if: unborn" in line_of(late.declared)
    assert [str(c) for c in again.conditions] == ["not unborn"]
    assert again.acts == ()


def test_an_interrupt_is_explained_in_the_order_of_the_table_with_both_sides() -> None:
    """For a provider, what its carrier is told belongs to the answer."""
    (case,) = explain(TABLES, "openai", "response", "streaming", "interrupt").cases
    assert case.go == "cancelled"
    assert case.go_is == TABLES.machines["response"].states["cancelled"].is_
    assert [act.action for act in case.acts][:2] == ["clear", "cancel"]
    said = [saying.peer for act in case.acts for saying in act.says]
    clearing = [name for name, peer in TABLES.transports.items() if peer.hooks["response.clear"]]
    assert said == [*clearing, "openai"]
    assert line_of(case.declared).startswith("interrupt")


def test_a_transport_as_peer_shows_its_own_messages_only() -> None:
    """What the providers say would be a page of its own; the note says how to ask."""
    (case,) = explain(TABLES, "twilio", "response", "streaming", "interrupt").cases
    acts = {act.action: act for act in case.acts}
    assert [s.shape for s in acts["clear"].says] == [{"event": "clear", "streamSid": "$stream"}]
    assert acts["cancel"].says == ()
    assert "provider" in (acts["cancel"].note or "")


def test_what_waits_says_for_what() -> None:
    """A delete may not be said before the item is whole."""
    (case,) = explain(TABLES, "openai", "playback", "queued", "interrupt").cases
    (said,) = case.acts[0].says
    assert (said.kind, said.after) == ("conversation.item.delete", "finished")
    text = render_text(explain(TABLES, "openai", "playback", "queued", "interrupt"))
    assert "unless text_only: " in text
    assert "after finished: " in text


def test_a_key_of_several_events_explains_each_of_them() -> None:
    """`finished, stopped: …` is one row of the file and two cells."""
    cells = [explain(TABLES, "openai", "response", "done", e) for e in ("finished", "stopped")]
    assert cells[0].cases == cells[1].cases
    assert cells[0].event_is != cells[1].event_is
    assert line_of(cells[0].cases[0].declared).startswith("finished, stopped:")


def test_a_provider_without_a_verb_says_nothing_and_why() -> None:
    """Silence on the wire is a fact about the provider, not a gap in the answer."""
    openai = TABLES.providers["openai"]
    mute = msgspec.structs.replace(
        openai,
        hooks={key: hook for key, hook in openai.hooks.items() if key != "response.cancel"},
    )
    tables = replace(TABLES, providers={"openai": mute})
    (case,) = explain(tables, "openai", "response", "streaming", "interrupt").cases
    cancel = next(act for act in case.acts if act.action == "cancel")
    assert cancel.says == ()
    assert (cancel.note or "").startswith("openai has no message for it; nothing is said. ")
    assert (openai.can["cancel"].why or "no reason") in (cancel.note or "")


def test_what_is_inherited_is_declared_where_it_is_written(tmp_path: Path) -> None:
    """A table that extends another has no line of its own for its hooks."""
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "mine.yaml").write_text(
        "provider: mine\nextends: openai\nis: A server of our own.\n"
    )
    own = load_all(tmp_path)
    sources = {**TABLES.sources, **own.sources}
    tables = Tables(TABLES.machines, own.providers, TABLES.transports, sources)
    (case,) = explain(tables, "mine", "response", "streaming", "interrupt").cases
    (said,) = next(act.says for act in case.acts if act.action == "cancel")
    assert said.peer == "mine"
    assert said.declared is not None
    assert said.declared.file.endswith("openai.yaml")


@pytest.mark.parametrize(
    ("asked", "kind", "meant"),
    [
        (("opnai", "response", "created", "lost"), "peer", "openai"),
        (("openai", "respons", "created", "lost"), "machine", "response"),
        (("openai", "response", "timedout", "lost"), "state", "timed_out"),
        (("openai", "response", "created", "craeted"), "event", "created"),
    ],
)
def test_an_unknown_name_is_met_with_the_probable_one_and_all_others(
    asked: tuple[str, str, str, str], kind: str, meant: str
) -> None:
    """The error ends the guess."""
    with pytest.raises(UnknownName) as raised:
        explain(TABLES, *asked)
    assert raised.value.kind == kind
    assert f"did you mean '{meant}'?" in str(raised.value)
    assert all(name in str(raised.value) for name in raised.value.valid)
    assert meant in raised.value.valid


def test_a_name_like_no_other_is_met_with_all_of_them() -> None:
    """Also when nothing comes near."""
    with pytest.raises(UnknownName, match=r"'requested'.* or 'timed_out'"):
        explain(TABLES, "openai", "response", "zzz", "created")


def test_every_cell_can_be_explained_read_and_sent() -> None:
    """For each peer: plain text within the width, and JSON that says the same."""
    for cell in CELLS:
        explanation = explain(TABLES, *cell)
        text = render_text(explanation, width=80)
        for line in text.splitlines():
            assert len(line) <= 80 or " ← " in line or "http" in line or "  at  " in line
            assert line.isprintable()
        sent = msgspec.json.decode(msgspec.json.encode(explanation))
        assert [sent[key] for key in ("peer", "machine", "state", "event")] == list(cell)
        for case in sent["cases"]:
            assert case["declared"]["line"] > 1
            assert case["acts"] or case["go"] or case["why"]
