"""The page of guarantees: what an interruption is worth with each provider on each transport, and who does what."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from bargein.statemachines.authority import (
    ACTS,
    CAUSES,
    Act,
    Cause,
    authority,
    can_be_manual,
    hears_caller,
)
from bargein.statemachines.claims import Claim, Told
from bargein.statemachines.explain import cell_cases, cell_of
from bargein.statemachines.guarantees import (
    PROMISES,
    Carrier,
    Guarantee,
    Promise,
    carrier,
    guarantees,
)
from bargein.statemachines.model import Provider
from bargein.statemachines.tables import Tables

from .markdown import cell, code, page, table
from .pages import MARK

Place = Callable[[Told], str]
"""A row of a table → where a link to it leads, or its file's name where none can."""

_INTRO: Final = """\
A voice agent generates speech several times faster than it is spoken. When the caller speaks up, seconds of it are
still on their way: at the server, on the network, with the carrier. To interrupt is to stop what is being generated,
to silence what is about to be heard, and to make the model forget what nobody heard. How much of that can be done
depends on the provider of the model and on the transport that plays (a telephone carrier, a browser). This page says
how much. It is made from the tables; where a server cannot do something, it says so."""

_HOLDS: Final = """\
Memory is *exact* once the server has confirmed a cut. One that it refuses or never confirms is called *diverged*, and
the application is told why. Heard is what the carrier has confirmed; where it confirms nothing the clock decides, and
the outcome says so (`evidence: clock`)."""

_WHO: Final = """\
Each act has exactly one actor, whatever the cause: two would hit twice, and where each trusts the other nobody acts.
*We* is this library, *the server* the provider; *nobody* means that it is not done, and why. The rows tell of a
response that is being spoken; the next section tells of its other moments. Where the session's settings say that the
server does not interrupt, the caller interrupts nothing, or with `barge_in: always` as the application would."""

_MANUAL: Final = "where we say when the caller speaks"

_STAGES: Final = """\
The same for all providers: an interrupt meets a response in one of its states. The words are those of the machine
[response](../diagrams/response.md)."""

_CARRIERS: Final = """\
A clear empties what the carrier holds. A mark is sent along with speech and comes back when that has been played: the
evidence of what was heard. *Ahead* is how much speech the carrier is ever given before it is played."""

_PAIRS: Final = """\
A call needs one side that plays, and an audio format that both speak at the same rates: nothing is resampled. A pair
that lacks either (—) holds no call, and nothing above is about it."""

_REASONS: Final = (
    "Every row that decides something above, in the table's own words, with what it decides."
)

_COLUMNS: Final[dict[Promise, str]] = {
    "silence": "silence within a frame",
    "ghosts": "ghosts fenced",
    "cancel": "cancelled by name",
    "memory": "memory exact",
}
_DOES: Final[dict[Act, str]] = {
    "cancel": "cancels",
    "truncate": "truncates",
    "delete": "deletes",
    "clear": "clears",
    "fence": "fences",
}


def guarantees_page(tables: Tables, place: Place) -> str:
    """The whole page.

    :raises bargein.statemachines.authority.Clash: if an act has no actor, or two.
    """
    pairs = guarantees(tables)
    carriers = [carrier(tables, transport) for transport in tables.transports.values()]
    return page(
        [
            f"{MARK}the tables in statemachines/. Do not edit: change a table, then run it again. -->",
            "# Guarantees",
            _INTRO,
            "## The promises",
            table(("promise", "says"), ((_COLUMNS[p], cell(says)) for p, says in PROMISES.items())),
            "## What holds",
            table(("provider", "on", *_COLUMNS.values()), _promises(pairs, carriers)),
            _reserves(carriers),
            _HOLDS,
            "## Who acts",
            _WHO,
            table(("cause", "is"), ((_name(c), _words(says)) for c, says in CAUSES.items())),
            table(("act", "is"), ((_DOES[a], cell(says)) for a, says in ACTS.items())),
            table(("provider", "cause", *_DOES.values()), _matrix(tables)),
            "How we learn that the caller speaks:",
            table(("provider", "by"), _hearing(tables)),
            "## At other moments",
            _STAGES,
            table(("the response is", "an interrupt does", "because"), _stages(tables)),
            "## Carriers",
            _CARRIERS,
            table(
                ("transport", "clear", "then still heard", "marks after a clear", "heard is known by", "resolution",
                 "without evidence", "ahead", "frames"),
                map(_carrier, carriers),
            ),
            "## Pairs",
            _PAIRS,
            table(("", *map(code, tables.transports)), _audio(tables, pairs)),
            "## Reasons",
            _REASONS,
            table(("of", "row", "decides", "because"), _reasons(tables, pairs, carriers, place)),
        ]
    )  # fmt: skip


# -- what holds ---------------------------------------------------------------------------------------

Rows = tuple[tuple[str, ...], ...]


def _promises(pairs: list[Guarantee], carriers: list[Carrier]) -> Iterator[tuple[str, ...]]:
    """Transports with the same answers share a row."""
    reserved = {each.transport for each in carriers if each.reserve}
    found: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for pair in pairs:
        words = [_words(answer.words) for answer in pair.promises.values()]
        words[0] += "\\*" * (pair.transport in reserved)
        found.setdefault(pair.provider, {}).setdefault(tuple(words), []).append(pair.transport)
    return _merged(
        {
            provider: tuple((_codes(on), *words) for words, on in rows.items())
            for provider, rows in found.items()
        }
    )


def _reserves(carriers: list[Carrier]) -> str:
    lines = [f"\\* {code(c.transport)}: {_words(c.reserve)}" for c in carriers if c.reserve]
    return "\n\n".join(lines)


def _audio(tables: Tables, pairs: list[Guarantee]) -> Iterator[tuple[str, ...]]:
    spoken = {(pair.provider, pair.transport): _codes(pair.audio) for pair in pairs}
    for provider in tables.providers:
        formats = [spoken.get((provider, transport), "—") for transport in tables.transports]
        yield f"**{cell(provider)}**", *formats


# -- who acts -----------------------------------------------------------------------------------------


def _matrix(tables: Tables) -> Iterator[tuple[str, ...]]:
    """Causes that go alike share a row."""
    return _merged({p.provider: _acts(tables, p) for p in tables.providers.values()})


def _acts(tables: Tables, provider: Provider) -> Rows:
    usual = _by_words(authority(tables, provider))
    rows = [(", ".join(map(_name, causes)), *words) for words, causes in usual.items()]
    if can_be_manual(provider):
        told = _by_words(authority(tables, provider, manual=True))
        for words, causes in told.items():
            other = [cause for cause in causes if cause not in usual.get(words, ())]
            if other:
                rows.append((f"{', '.join(map(_name, other))}, {_MANUAL}", *words))
    return tuple(rows)


def _by_words(decided: dict[Cause, dict[Act, Claim]]) -> dict[tuple[str, ...], list[Cause]]:
    found: dict[tuple[str, ...], list[Cause]] = {}
    for cause, claims in decided.items():
        words = tuple(f"**{c.who}**: {_words(c.words)}" for c in claims.values())
        found.setdefault(words, []).append(cause)
    return found


def _hearing(tables: Tables) -> Iterator[tuple[str, ...]]:
    providers = tables.providers.values()
    return _merged({p.provider: ((_words(hears_caller(tables, p).words),),) for p in providers})


def _stages(tables: Tables) -> Iterator[tuple[str, ...]]:
    machine = tables.machines["response"]
    for name, state in machine.states.items():
        for _, row, conditions in cell_cases(machine, cell_of(state, "interrupt")):
            when = f" ({' and '.join(map(str, conditions))})" if conditions else ""
            does = ", ".join(code(action) for action in row.do or ()) or "nothing"
            yield f"**{name}**{when}: {cell(state.is_)}", does, cell(row.why or "")


# -- carriers -----------------------------------------------------------------------------------------


def _carrier(each: Carrier) -> tuple[str, ...]:
    return (
        code(each.transport),
        _words(each.clear.words) + "\\*" * bool(each.reserve),
        each.remains,
        _words(each.after_clear.words),
        _words(each.heard.words),
        f"{each.resolution_ms} ms" if each.resolution_ms else "as reported",
        f"{each.overdue_ms} ms after its end the clock decides",
        f"{each.ahead_ms} ms" if each.ahead_ms else "all there is",
        f"{each.frame_ms} ms" if each.frame_ms else "any size",
    )


# -- reasons ------------------------------------------------------------------------------------------


def _reasons(
    tables: Tables, pairs: list[Guarantee], carriers: list[Carrier], place: Place
) -> Iterator[tuple[str, ...]]:
    """Every row that decides something, once; whose it is, what it decides, why."""
    found: dict[tuple[str, str, str], tuple[dict[str, None], dict[str, None]]] = {}

    def note(of: str, what: str, why: str, told: Told) -> None:
        names, acts = found.setdefault((told.key, place(told), why), ({}, {}))
        names[of], acts[what] = None, None

    for provider in tables.providers.values():
        for manual in (False, True)[: 1 + can_be_manual(provider)]:
            for claims in authority(tables, provider, manual=manual).values():
                for act, claim in claims.items():
                    note(provider.provider, _DOES[act], claim.why, claim.told)
        heard = hears_caller(tables, provider)
        note(provider.provider, "tells of the caller", heard.why, heard.told)
    for pair in pairs:
        for promise, answer in pair.promises.items():
            of = pair.transport if promise == "silence" else pair.provider
            note(of, _COLUMNS[promise], answer.why, answer.told)
    for each in carriers:
        note(each.transport, "marks after a clear", each.after_clear.why, each.after_clear.told)
        note(each.transport, "heard", each.heard.why, each.heard.told)
    for (key, link, why), (names, acts) in found.items():
        shared = len(names) > 1 and key.startswith("states.")
        row = f"[{code(key)}]({link})" if "#" in link else f"{code(key)} in {code(link)}"
        yield "all" if shared else _codes(names), row, ", ".join(acts), _words(why)


# -- words --------------------------------------------------------------------------------------------


def _merged(rows_of: dict[str, Rows]) -> Iterator[tuple[str, ...]]:
    """Providers that share all their rows are named together."""
    names: dict[Rows, list[str]] = {}
    for name, rows in rows_of.items():
        names.setdefault(rows, []).append(name)
    for rows, alike in names.items():
        for row in rows:
            yield _codes(alike), *row


def _name(cause: Cause) -> str:
    return cause.replace("_", "-" if cause == "hang_up" else " ")


def _codes(names: Iterable[str]) -> str:
    return ", ".join(map(code, names))


def _words(text: str) -> str:
    """A sentence whose code spans stay code."""
    parts = re.split(r"`([^`]*)`", text)
    return "".join(code(part) if at % 2 else _plain(part) for at, part in enumerate(parts))


def _plain(part: str) -> str:
    """Like `cell`, and the blanks at the ends stay."""
    body = part.strip()
    return part.replace(body, cell(body)) if body else part
