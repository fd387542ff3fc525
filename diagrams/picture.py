"""A machine's table → its picture. Every row that does something is on an arrow; no arrow is without a row."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from bargein.statemachines.explain import Condition, Peer, Saying, cell_cases, cell_of, sayings
from bargein.statemachines.model import Machine, Provider

from .mermaid import KEEP, Edge, Kind, Node, state_diagram

# The action that ends a tombstone. A state that is never left, and that still waits for this, is one.
_ENDS_A_TOMBSTONE = "retire"


class Decision(Struct, frozen=True):
    """One row of the table, taken apart: `target` is None if it stays; it `acts` if it moves or does anything."""

    state: str
    event: str
    conditions: tuple[Condition, ...]
    target: str | None
    actions: tuple[str, ...]
    why: str | None
    see: str | None

    @property
    def acts(self) -> bool:
        """False for a decided nothing."""
        return self.target is not None or bool(self.actions)

    @property
    def guard(self) -> str:
        """` [heard]`, ` [not heard]` or nothing."""
        return f" [{' and '.join(map(str, self.conditions))}]" if self.conditions else ""


def decisions(machine: Machine) -> Iterator[Decision]:
    """Every row of every (state, event), in the order of the table."""
    for name, state in machine.states.items():
        for event, _ in state.rows():
            for _, row, conditions in cell_cases(machine, cell_of(state, event)):
                target = row.go if row.go != name else None
                yield Decision(name, event, conditions, target, row.do or (), row.why, row.see)


def kind_of(machine: Machine, state: str) -> Kind:
    """`open` if a row leaves the state; else `fenced` if it is a tombstone, `closed` if it is not."""
    rows = [d for d in decisions(machine) if d.state == state]
    if any(d.target for d in rows):
        return "open"
    return "fenced" if any(_ENDS_A_TOMBSTONE in d.actions for d in rows) else "closed"


def is_said_by(machine: Machine, action: str, peer: Peer) -> bool:
    """True if the action is for the peer's side to carry out."""
    side = "provider" if isinstance(peer, Provider) else "transport"
    return machine.actions[action].by == side


def speaks(machine: Machine, peer: Peer) -> bool:
    """True if the machine has an action that is for the peer's side to carry out."""
    return any(is_said_by(machine, action, peer) for action in machine.actions)


def picture(machine: Machine, peer: Peer | None = None) -> str:
    """The machine as a Mermaid state diagram; with `peer`, what is said to it in place of the actions."""
    nodes = [Node(n, s.is_, kind_of(machine, n)) for n, s in machine.states.items()]
    arrows: dict[tuple[str, str], list[Decision]] = {}
    for decision in decisions(machine):
        if decision.acts:
            arrow = decision.state, decision.target or decision.state
            arrows.setdefault(arrow, []).append(decision)
    edges = [Edge(*arrow, tuple(_lines(machine, rows, peer))) for arrow, rows in arrows.items()]
    return state_diagram(machine.start, nodes, edges)


def _lines(machine: Machine, rows: Sequence[Decision], peer: Peer | None) -> Iterator[str]:
    """One line for all events of an arrow that do the same, each followed by what is said to the peer."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in rows:
        shown = tuple(a for a in row.actions if peer is None or is_said_by(machine, a, peer))
        alike.setdefault((row.guard, shown), []).append(row.event)
    bullet = "• " if len(alike) > 1 else ""
    for (guard, actions), events in alike.items():
        head = f"{bullet}{', '.join(events)}{guard}"
        if peer is None:
            yield f"{head} / {', '.join(actions)}" if actions else head
            continue
        said = [line for action in actions for line in _spoken(machine, action, peer)]
        yield f"{head} / {said[0]}" if said else head
        yield from said[1:]


def _spoken(machine: Machine, action: str, peer: Peer) -> Iterator[str]:
    messages = sayings(peer, f"{machine.machine}.{action}")
    for message in messages:
        yield f"{action}{KEEP}→{KEEP}{message.kind}"
        if terms := terms_of(message):
            yield terms
    if not messages:
        yield f"{action}{KEEP}→{KEEP}nothing"


def terms_of(saying: Saying) -> str:
    """`unless server_cancels`, `if has_audio, after finished` or nothing."""
    words = [f"{'if' if c.must else 'unless'} {c.guard}" for c in saying.conditions]
    if saying.after:
        words.append(f"after {saying.after}")
    return ", ".join(words)
