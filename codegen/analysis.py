"""Tables are resolved once into a plan per module; the templates lay the plans out.

The loader has checked the tables before they come here. What a table says is carried along, reasons too, so that
a generated module can be read without its YAML.
"""

import hashlib
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from bargein.statemachines.model import (
    AudioFormat,
    Capability,
    ErrorMeaning,
    Limit,
    Machine,
    Provider,
    Row,
    State,
    Transport,
)
from bargein.statemachines.vocabulary import OPTIONAL_CAPABILITIES

from .names import Namespace
from .plan import (
    CellPlan,
    MachinePlan,
    Noted,
    PeerPlan,
    ReceivePlan,
    RowPlan,
    SendPlan,
    StatePlan,
)
from .receiving import plan_receive
from .sending import after_finished, plan_send

ABI: Final = 2
"""The contract the generated modules fill, as numbered by `runtime.adapter`; a test holds the two together."""


MACHINES: Final = ("response", "playback")
"""The machines every provider module carries, in the order of its page."""


def plan_peer(
    peer: Provider | Transport, machines: dict[str, Machine], sources: Iterable[PurePosixPath]
) -> PeerPlan:
    """Everything one generated module says. `sources` are the tables it is made from, for its header."""
    names = Namespace.of_module()
    receive = plan_receive(peer, names)
    send = plan_send(peer, machines, names)
    provider = isinstance(peer, Provider)
    shared = [machines[name] for name in MACHINES]
    return PeerPlan(
        name=peer.provider if isinstance(peer, Provider) else peer.transport,
        side="provider" if provider else "transport",
        template="provider.py.j2" if provider else "transport.py.j2",
        sources=tuple(str(source) for source in sources),
        is_=peer.is_,
        see=peer.see,
        tag_field=peer.wire.tag,
        abi=ABI,
        digest=digest((*shared, peer) if provider else (peer,)),
        machines=tuple(plan_machine(machine) for machine in shared) if provider else (),
        receive=receive,
        send=send,
        can=_capabilities(peer),
        timeouts=tuple(
            Noted(name, repr(limit.is_), limit.why or "", limit.see)
            for name, limit in peer.timeouts.items()
        ),
        audio=tuple(
            Noted(name, _audio_format(name, form), form.is_, None)
            for name, form in peer.audio.items()
        ),
        errors=tuple(
            Noted(code, _error_rule(error), error.why or "", error.see)
            for code, error in (peer.errors if isinstance(peer, Provider) else {}).items()
        ),
        after_finished=after_finished(peer),
        more=_more(peer),
        imports=_imports(peer, receive, send),
    )


def _capabilities(peer: Provider | Transport) -> tuple[Noted, ...]:
    said = [Noted(name, repr(can.is_), can.why or "", can.see) for name, can in peer.can.items()]
    if isinstance(peer, Provider):
        unsaid = {n: v for n, v in OPTIONAL_CAPABILITIES.items() if n not in peer.can}
        said += [Noted(name, repr(value), "", None) for name, value in unsaid.items()]
    return tuple(said)


def _audio_format(name: str, form: AudioFormat) -> str:
    args = [repr(name), str(form.rate_hz), str(form.bytes_per_ms)]
    if form.caller is not None:
        args.append(f"caller=Voice({form.caller.rate_hz}, {form.caller.bytes_per_ms})")
    if form.silence:
        args.append(f"silence={form.silence:#04x}")
    if form.asks:
        args.append(f"asks={form.asks!r}")
    return f"AudioFormat({', '.join(args)})"


def _more(peer: Provider | Transport) -> tuple[tuple[str, str], ...]:
    """What only some peers have, as arguments of the adapter."""
    more = []
    if peer.wire.frames == "mixed":
        more.append(("bare_audio", "True"))
    if peer.wire.subprotocol is not None:
        more.append(("subprotocol", repr(peer.wire.subprotocol)))
    if peer.wire.ids == "number" and isinstance(peer, Provider):
        more.append(("numbered", "True"))
    if isinstance(peer, Provider):
        if (to := peer.connect) is not None:
            args = f"url={to.url!r}, key={to.key!r}, headers={to.headers!r}"
            more.append(("connect", f"Connect({args})"))
        return tuple(more)
    if peer.pace:
        pace = {name: limit.is_ for name, limit in peer.pace.items()}
        more.append(("pace_ms", repr(pace)))
    if peer.answer is not None:
        more.append(("answer", f"Answer(type={peer.answer.type!r}, body={peer.answer.body!r})"))
    return tuple(more)


def plan_machine(machine: Machine) -> MachinePlan:
    """A machine's table as a literal, in the order of the file."""
    return MachinePlan(
        name=machine.machine,
        constant=machine.machine.upper(),
        note=machine.is_,
        start=machine.start,
        states=tuple(_state(name, state) for name, state in machine.states.items()),
    )


def _state(name: str, state: State) -> StatePlan:
    cells = []
    for key, value in state.when.items():
        rows = (value,) if isinstance(value, Row) else value
        events = tuple(event.strip() for event in key.split(","))
        cells.append(CellPlan(events=events, rows=tuple(_row(row) for row in rows)))
    return StatePlan(name=name, note=state.is_, cells=tuple(cells))


def _row(row: Row) -> RowPlan:
    return RowPlan(go=row.go, do=row.do or (), guard=row.if_, note=row.why or "", see=row.see)


def _error_rule(error: ErrorMeaning) -> str:
    narrowed = {"param": error.param, "says": error.says}
    extra = "".join(f", {key}={value!r}" for key, value in narrowed.items() if value is not None)
    return f"ErrorRule({error.means!r}{extra})"


def _imports(
    peer: Provider | Transport, receive: ReceivePlan, send: SendPlan
) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Groups of (module, names), only what the module uses: generated code passes the linter."""
    adapter = ["AudioFormat", "Wire"]
    if any(form.caller is not None for form in peer.audio.values()):
        adapter.append("Voice")
    if isinstance(peer, Provider):
        adapter += ["ErrorRule", "ItemFacts", "ProviderAdapter", "RequestFields", "ResponseFacts"]
        adapter += ["Connect"] if peer.connect is not None else []
    else:
        adapter += ["TransportAdapter"]
        adapter += ["Answer"] if peer.answer is not None else []
    ours = [
        ("bargein.runtime", "events"),
        ("bargein.runtime.adapter", ", ".join(sorted(adapter))),
    ]
    if isinstance(peer, Provider):
        ours.append(("bargein.runtime.machine", "Machine, Row"))
    typing = "Any, TypeVar" if "_object" in receive.helpers else "Any"
    tagged = peer.wire.tag is not None
    structs = (*receive.structs, *send.structs)
    field = tagged or any(f.name != f.key for s in structs for f in s.fields)
    first = (
        (("collections.abc", "Callable"), ("typing", typing)) if tagged else (("typing", typing),)
    )
    return (
        first,
        (("msgspec", "Struct, field" if field else "Struct"), ("msgspec.json", "Decoder, Encoder")),
        tuple(ours),
    )


def digest(tables: Iterable[Machine | Provider | Transport]) -> str:
    """16 hex digits that change when what the tables mean changes, and not when their prose does."""
    meaning = [_meaning(table) for table in tables]
    return hashlib.sha256(msgspec.json.encode(meaning, order="deterministic")).hexdigest()[:16]


def _meaning(value: object) -> Any:  # noqa: ANN401  any JSON value
    match value:
        case Capability() | Limit():
            return value.is_
        case msgspec.Struct():
            prose = ("is_", "why", "see")
            fields = [name for name in value.__struct_fields__ if name not in prose]
            return {name: _meaning(getattr(value, name)) for name in fields}
        case dict():
            return {
                key: _meaning(inner)
                for key, inner in value.items()
                if not (key in ("why", "see") and isinstance(inner, str))
            }
        case tuple() | list():
            return [_meaning(inner) for inner in value]
        case _:
            return value
