"""A search that keeps the history of the call beside its state: what no reduction of the explorer may lose.

    found = tell(worlds.make(plan, provider, transport, reductions=UNREDUCED))
    found.stories, found.broken

A story says of a call that has come to rest all that anybody could tell afterwards. What a reduction forgets, drops
or renames in the state stands in the story all the same, under names that are never given twice.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bargein.runtime import actions as do
from bargein.runtime.session import Session
from bargein.simulator.peers import Carrier, Server
from bargein.simulator.properties import Broken
from bargein.simulator.untimed import Input, RowId, Step
from bargein.simulator.world import Act, Left, Move, State, World


class Story(NamedTuple):
    """What has happened so far. Responses are numbered as the server accepts them, items within their response."""

    names: tuple[tuple[str, str], ...] = ()
    """What the wires and handles call things now, and what the story calls them."""
    counts: tuple[int, int] = (0, 0)
    """Requests made, responses accepted."""
    written: tuple[str, ...] = ()
    """Control messages of the session, in order."""
    verdicts: tuple[str, ...] = ()
    """How each handle resolved."""
    outcomes: tuple[str, ...] = ()
    """How each item settled, and what was said of the server's memory of it."""
    remembered: tuple[tuple[str, str], ...] = ()
    """What the server holds of each item."""
    heard: tuple[tuple[str, int, int], ...] = ()
    """What sounded, in order: item, from and to which of its milliseconds."""
    content: tuple[str, ...] = ()
    """Text and calls handed to the application, in order for each item."""
    rows: frozenset[RowId] = frozenset()
    """Rows of the tables that fired."""


class Found(NamedTuple):
    """All stories of calls that came to rest, and the numbers of the properties that broke somewhere."""

    stories: frozenset[Story]
    broken: frozenset[str]
    states: int
    edges: int


def tell(world: World, *, max_states: int = 400_000) -> Found:
    """Search `world` over pairs of state and story. A property that breaks ends its path, not the search.

    :raises ValueError: if there are more than `max_states` pairs.
    """
    teller = Teller(world)
    queue: list[tuple[State, int]] = []
    seen: dict[tuple[Any, ...], list[Left]] = {}
    ended: set[int] = set()
    broken: set[str] = set()
    edges = 0

    def add(at: State, story: int) -> None:
        known = seen.setdefault((*at[:8], at.silent, at.hung_up, story), [])
        for left in known:
            if left == at.left or (world.reduced.budget and _covers(left, at.left)):
                return
        known.append(at.left)
        queue.append((at, story))

    add(world.start, 0)
    for at, story in queue:  # It grows.
        if world.quiet.is_quiet(at):
            ended.add(story)
            try:
                world.quiet.judge_call(at)
            except Broken as found:
                broken.add(found.number)
        for move in world.moves(at):
            edges += 1
            try:
                add(*teller.follow(at, story, move))
            except Broken as found:
                broken.add(found.number)
        if len(queue) > max_states:
            raise ValueError(f"more than {max_states} pairs of state and story")
    told = frozenset(_ended(teller.stories[each]) for each in ended)
    return Found(told, frozenset(broken), len(queue), edges)


def given(at: State, act: Act) -> Input | None:
    """What an act means to the session; None if it takes no step."""
    match act.what:
        case "request":
            return Input("request", how="beside" if act.about else "")
        case "interrupt":
            return Input("interrupt", act.about, "supersede" if act.about else "api")
        case "deadline" | "time_passes":
            kind, name = act.about
            return Input("deadline", name, kind)
        case "server_arrives" | "message_repeated":
            message = at.from_server[0]
            return Input("from_server", message) if message else Input("provider_lost")
        case "carrier_arrives":
            return Input("from_carrier", at.from_carrier[0])
    return None


def takes(session: Session, taken: Input, now_ms: int) -> list[do.Action]:
    """What a session of which nothing is left out does on an input; timers are not for this to fire.

    :raises ValueError: for a deadline.
    """
    match taken.what:
        case "request":
            return session.request(now_ms, beside=taken.how == "beside")[1]
        case "interrupt":
            cause: Any = taken.how
            return session.interrupt(now_ms, str(taken.about) or None, cause=cause)[1]
        case "from_server":
            return session.provider_received(taken.about, now_ms)
        case "from_carrier":
            return session.transport_received(taken.about, now_ms)
        case "provider_lost":
            return session.provider_lost(now_ms, "gone")
    raise ValueError(taken.what)


def told(actions: Iterable[do.Action]) -> list[Any]:
    """Actions without what the session of the explorer says otherwise, as `simulator/untimed.py` promises.

    It reports again that something was fenced. Of an item that settled in an earlier step it may have forgotten how
    much was heard; of one that settles in this step it says all.
    """
    found: list[Any] = []
    for action in actions:
        if type(action) is do.Fenced:
            continue
        if type(action) is do.Resolved:
            items = [(each.item, each.state, each.evidence) for each in action.items]
            found.append((action.ref, action.verdict, action.code, action.response, items))
        elif type(action) is do.MemorySettled:
            outcome = action.outcome
            found.append((action.ref, outcome.item, outcome.memory, outcome.reason))
        else:
            found.append(action)
    return found


class Teller:
    """Keeps the stories of one world; a number stands for each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stories = [Story()]
        self._ids = {self.stories[0]: 0}
        self._next: dict[tuple[Any, ...], int] = {}

    def follow(self, at: State, story: int, move: Move) -> tuple[State, int]:
        """`World.follow`, and the story with it."""
        world = self.world
        for act in move:
            at, story = self.does(at, story, act)
        if world.reduced.inert:
            before, at = at, world._without_inert(at)
            for what, waited, waits in (
                ("from_carrier", before.from_carrier, at.from_carrier),
                ("from_server", before.from_server, at.from_server),
            ):
                for message in waited[: len(waited) - len(waits)]:
                    arrived = Input(what, message)  # type: ignore[arg-type]
                    story = self._stepped(story, at.session, arrived)
        return world._forgets(at), story

    def does(self, at: State, story: int, act: Act) -> tuple[State, int]:
        """`World.does`, and the story with it."""
        after = self.world.does(at, act)
        taken = given(at, act)
        if taken is not None:
            story = self._stepped(story, at.session, taken)
        if after.server != at.server:
            story = self._served(story, at.server, after.server)
        if after.carrier != at.carrier:
            story = self._sounded(story, at.carrier, after.carrier)
        return after, story

    def _stepped(self, story: int, session: int, taken: Input) -> int:
        key = ("step", story, session, taken)
        found = self._next.get(key)
        if found is None:
            step = self.world.session.step(session, taken)
            new = _with_step(self.stories[story], step, self.world)
            found = self._next[key] = self._intern(new)
        return found

    def _served(self, story: int, before: int, after: int) -> int:
        key = ("serve", story, before, after)
        found = self._next.get(key)
        if found is None:
            new = _with_server(self.stories[story], self.world.server, before, after)
            found = self._next[key] = self._intern(new)
        return found

    def _sounded(self, story: int, before: int, after: int) -> int:
        key = ("sound", story, before, after)
        found = self._next.get(key)
        if found is None:
            new = _with_sound(self.stories[story], self.world.carrier, before, after)
            found = self._next[key] = self._intern(new)
        return found

    def _intern(self, story: Story) -> int:
        found = self._ids.setdefault(story, len(self.stories))
        if found == len(self.stories):
            self.stories.append(story)
        return found


def _with_step(story: Story, step: Step, world: World) -> Story:
    names = dict(story.names)
    requests, responses = story.counts
    if step.ref:
        requests += 1
        names[step.ref] = f"request {requests}"
    said: list[str] = []
    content: list[str] = []
    verdicts, outcomes = list(story.verdicts), list(story.outcomes)
    for action in step.actions:
        match action:
            case do.ToProvider() | do.ToTransport():
                said += _control(action, names, world)
            case do.StateChanged(ref=ref, response=response) if ref not in names and response:
                names[ref] = f"handle of {names[response]}"
            case do.Resolved(ref=ref, verdict=verdict, code=code):
                verdicts.append(f"{names[ref]}: {verdict} {code}")
            case do.ItemSettled(outcome=outcome):
                name, heard_ms = names[outcome.item], outcome.heard_ms
                outcomes.append(f"{name}: {outcome.state} {heard_ms} {outcome.evidence}")
            case do.MemorySettled(outcome=outcome):
                outcomes.append(f"{names[outcome.item]}: {outcome.memory} {outcome.reason}")
            case do.TextArrived(item=item) | do.CallArrived(item=item):
                content.append(names[item])
            case do.Problem(code=code):
                said.append(f"problem: {code}")
    return story._replace(
        names=tuple(sorted(names.items())),
        counts=(requests, responses),
        written=(*story.written, *said),
        verdicts=tuple(sorted(verdicts)),
        outcomes=tuple(sorted(outcomes)),
        content=tuple(sorted([*story.content, *content])),
        rows=story.rows.union(step.rows),
    )


def _control(action: do.Action, names: dict[str, str], world: World) -> Iterator[str]:
    wire = world.session.written(action)
    assert wire is not None
    link, message = wire
    if link == "to_carrier":
        if world.readings.ordered(message).what == "clear":
            yield "clear"
        return
    asked = world.readings.asked(message)
    about = asked.request or asked.response or asked.item
    yield f"{asked.what} {names[about]} {asked.ms or ''}".rstrip()


def _with_server(story: Story, server: Server, before: int, after: int) -> Story:
    names = dict(story.names)
    requests, responses = story.counts
    was, now = server.models[before], server.models[after]
    known: dict[str, Any] = getattr(was, "responses")  # noqa: B009
    for each in getattr(now, "responses").values():  # noqa: B009
        if each.id not in known:
            responses += 1
            whose = names[each.request] if each.request else each.by
            names[each.id] = f"response {responses} to {whose}"
    remembered = dict(story.remembered)
    old, new = ({line.item: line for line in model.memory()} for model in (was, now))
    for name, line in new.items():
        if line.role != "assistant":
            continue
        if name not in old:
            place = sum(1 for each in remembered if each.startswith(names[line.response] + ","))
            names[name] = names[f"voice {line.voice}"] = f"{names[line.response]}, item {place + 1}"
        remembered[names[name]] = f"{line.remembered_ms} of {line.generated_ms}"
        if line.deleted:
            remembered[names[name]] = "deleted"
    for name in old.keys() - new.keys():
        if old[name].role == "assistant":
            remembered[names[name]] = "deleted"
    return story._replace(
        names=tuple(sorted(names.items())),
        counts=(requests, responses),
        remembered=tuple(sorted(remembered.items())),
    )


def _with_sound(story: Story, carrier: Carrier, before: int, after: int) -> Story:
    was = carrier.models[before].ear.segments
    now = carrier.models[after].ear.segments
    names, heard = dict(story.names), list(story.heard)
    for at, segment in enumerate(now[max(len(was) - 1, 0) :], max(len(was) - 1, 0)):
        from_ms = was[at].to_ms if at < len(was) else segment.from_ms
        if from_ms == segment.to_ms:
            continue
        name = names[f"voice {segment.item}"]
        if heard and heard[-1][0] == name and heard[-1][2] == from_ms:
            heard[-1] = (name, heard[-1][1], segment.to_ms)
        else:
            heard.append((name, from_ms, segment.to_ms))
    return story._replace(heard=tuple(heard))


def _covers(left: Left, other: Left) -> bool:
    return all(mine >= theirs for mine, theirs in zip(left, other, strict=True))


def _ended(story: Story) -> Story:
    return story._replace(names=(), counts=(0, 0))
