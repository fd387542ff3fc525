"""Who does what when speech is interrupted: for every cause and every act exactly one party, read off the tables.

Two parties that both act do harm (the second cancel hits the answer to the barge-in), and where each trusts the other
nobody does. So a cell that no table row decides, or that two decide, is a `Clash` and never a page. The reasons are
invariant I10 and the class AUTHORITY of `docs/races.md`.
"""

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from .claims import REMEMBERS, Claim, Party, Told, capability, reason, spoken, told_at
from .explain import cell_cases, cell_of
from .model import Hook, Machine, Provider, Row
from .tables import Tables

Cause = Literal["caller", "application", "guardrail", "supersede", "hang_up", "no_answer", "stall"]
Act = Literal["cancel", "truncate", "delete", "clear", "fence"]

CAUSES: Final[dict[Cause, str]] = {
    "caller": "The server's VAD hears the caller speak.",
    "application": "The application calls `interrupt`.",
    "guardrail": "A check of what is being said wants it stopped.",
    "supersede": "The application wants another response in its place.",
    "hang_up": "The caller has hung up, or the line broke.",
    "no_answer": "No response came in time; one that comes later is a ghost.",
    "stall": "A response began, and the server has fallen silent about it.",
}
ACTS: Final[dict[Act, str]] = {
    "cancel": "Makes the server stop generating.",
    "truncate": "Makes the server forget what was generated of an item after what the caller heard.",
    "delete": "Makes the server forget an item of which the caller heard nothing.",
    "clear": "Empties what the carrier has taken and not played.",
    "fence": "Keeps what arrives all the same from the caller and the application.",
}
_ROWS: Final[dict[Cause, tuple[tuple[str, str, str | None], ...]]] = {
    "no_answer": (("requested", "deadline", None), ("timed_out", "created", "unborn")),
    "stall": (("streaming", "deadline", None),),
}
"""By cause: the rows of the response machine (state, event, guard) that decide it."""
_INTERRUPT: Final = (("streaming", "interrupt", None),)

_LEFT: Final = ("cancelled", "deadline", "left_to_server")
"""What becomes of a response that was left to the server and is not over."""


class Clash(Exception):
    """No party does an act that somebody must do, or two do. `told` are the rows that say so."""

    def __init__(self, cause: Cause, act: Act, claims: tuple[Claim, ...], told: Told) -> None:
        self.claims = claims
        self.told = tuple(claim.told for claim in claims) or (told,)
        who = " and ".join(f"{c.who} ({c.told.key})" for c in claims) or "nobody"
        super().__init__(f"{cause}: {act} is done by {who}; it must be one party")


def authority(
    tables: Tables, provider: Provider, *, manual: bool = False
) -> dict[Cause, dict[Act, Claim]]:
    """For each cause and act: who does it, of a response that is being spoken.

    `manual`: the session says when the caller speaks, so that the server's VAD hears nobody and that cause is absent.

    :raises Clash: if a cell has no actor, or two.
    """
    desk = _Desk(tables, provider, manual)
    causes = [cause for cause in CAUSES if not (manual and cause == "caller")]
    return {cause: desk.decide(cause) for cause in causes}


def can_be_manual(provider: Provider) -> bool:
    """Whether a session may be told that we say when the caller speaks."""
    return any("manual" in row for _, rows in provider.received() for row in rows)


def hears_caller(tables: Tables, provider: Provider) -> Claim:
    """How we learn that the caller has begun to speak, and whether that interrupts.

    `how` is `speech_started`, `interrupted` (the server has stopped by itself), `nothing`, or `only_if_told`: a sign
    that interrupts nothing unless the application says so.
    """
    rows = _events(provider)
    at = rows.get("speech_started") or rows.get("interrupted")
    if at is None:
        words = "not at all: interrupt it yourself"
        at = ("receive",)
        return Claim(
            "nobody", "nothing", words, "No message says so.", told_at(tables, provider, *at)
        )
    kind, told = at[1], told_at(tables, provider, *at)
    if "speech_started" not in rows:
        words, why = f"`{kind}`", "It comes when the server has stopped by itself."
        return Claim("the server", "interrupted", words, why, told)
    if never := _told_never(provider):
        words = f"`{kind}`; it interrupts only with `barge_in: always`"
        why = (
            "The session says that the caller does not interrupt, and by default that is respected."
        )
        return Claim("the server", "only_if_told", words, why, told_at(tables, provider, *never))
    why = "A session told not to interrupt is not interrupted, unless with `barge_in: always`."
    return Claim("the server", "speech_started", f"`{kind}`", why, told)


class _Desk:
    """Decides the cells of one provider."""

    def __init__(self, tables: Tables, provider: Provider, manual: bool) -> None:
        self.tables, self.provider, self.manual = tables, provider, manual
        self.machine: Machine = tables.machines["response"]
        self.hears = hears_caller(tables, provider).how

    def decide(self, cause: Cause) -> dict[Act, Claim]:
        """One party for each act."""
        rows = tuple(self._rows(cause))
        cancel = self._one(cause, "cancel", tuple(self._cancels(cause, rows)))
        knows = cancel.who != "nobody"
        return {
            "cancel": cancel,
            "truncate": self._one(cause, "truncate", tuple(self._cuts(cause, rows, knows))),
            "delete": self._one(cause, "delete", tuple(self._deletes(cause, rows, knows))),
            "clear": self._one(cause, "clear", tuple(self._clears(cause, rows))),
            "fence": self._one(cause, "fence", tuple(self._fences())),
        }

    def _one(self, cause: Cause, act: Act, claims: tuple[Claim, ...]) -> Claim:
        if len(claims) != 1:
            raise Clash(cause, act, claims, told_at(self.tables, self.provider, "can"))
        return claims[0]

    # -- cancel ---------------------------------------------------------------------------------------

    def _cancels(self, cause: Cause, rows: "tuple[_Decided, ...]") -> Iterator[Claim]:
        kind = capability(self.provider, "cancel")
        by_vad = cause == "caller" and capability(self.provider, "interrupts_itself") == "on_vad"
        stopped = cause == "caller" and self.hears == "interrupted"
        if cause == "caller" and self.hears == "nothing":
            yield self._nobody("unheard", "nobody learns of it", "receive")
            return
        if by_vad or stopped:
            yield self._stops_itself(stopped)
        entry = None if stopped else self._spoken("response.cancel", server_cancels=by_vad)
        over = kind == "by_new_input" and any(row.row.go == "done" for row in rows)
        asks = any("cancel" in (row.row.do or ()) for row in rows)
        if asks and entry is not None and not over:
            yield self._we_cancel(kind, entry, cause)
        elif not (by_vad or stopped):
            yield from self._nobody_cancels(cause, kind, over)

    def _we_cancel(self, kind: str, entry: int, cause: Cause) -> Claim:
        words = {
            "by_id": "by the response's id",
            "anonymous": "without an id, and only if nothing else runs",
            "by_new_input": "by new input",
        }[kind]
        if kind == "by_new_input" and capability(self.provider, "answers_cancel") != "never":
            words += ", whose answer is fenced too"
        if cause == "no_answer":
            words += ", as soon as it comes"
        hook = self.provider.hooks["response.cancel"][entry]
        name = "cancel"
        if cause == "caller" and capability(self.provider, "interrupts_itself") == "unknown":
            words += "; whether the server stops too, nobody knows"
            name = "interrupts_itself"
        why = (
            reason(self.provider, name)
            if self._says(name)
            else hook.why or reason(self.provider, name)
        )
        at = ("can", name) if self._says(name) else ("hooks", "response.cancel", entry)
        return Claim("we", kind, words, why, told_at(self.tables, self.provider, *at))

    def _nobody_cancels(self, cause: Cause, kind: str, over: bool) -> Iterator[Claim]:
        if cause == "supersede" and capability(self.provider, "supersedes") == "silently":
            words = "when the next request reaches it; until then it is fenced"
            yield self._can("the server", "superseded", words, "supersedes")
        elif over:
            why = "It is silent already, and new input would begin another answer."
            yield Claim("nobody", "fenced", "fenced", why, self._at("can", "cancel"))
        elif kind in ("none", "by_new_input"):
            yield self._can("nobody", "fenced", "no verb: fenced", "cancel")

    def _stops_itself(self, stopped: bool) -> Claim:
        """By the caller's voice; if nothing comes of it, the machine may turn to us after a while."""
        how, words = "by_itself", "by itself, and says so" if stopped else "by itself"
        left = cell_of(self.machine.states[_LEFT[0]], _LEFT[1])
        acts = any(
            row.if_ == _LEFT[2] and "cancel" in (row.do or ())
            for _, row, _ in cell_cases(self.machine, left)
        )
        after = self._spoken("response.cancel", server_cancels=False)
        if acts and after is not None and not stopped:
            settled_ms = self.provider.timeouts["settled_ms"].is_
            how, words = "by_itself_first", f"by itself; if not within {settled_ms} ms, we do"
        return self._can("the server", how, words, "interrupts_itself")

    # -- memory ---------------------------------------------------------------------------------------

    def _cuts(self, cause: Cause, rows: "tuple[_Decided, ...]", knows: bool) -> Iterator[Claim]:
        if not any("cut" in (row.row.do or ()) for row in rows):
            if cause == "stall":
                yield self._not_due(rows, "nothing is cut")
            else:
                why = "A ghost is fenced from its first word on."
                yield Claim("nobody", "not_due", "nothing is heard", why, rows[-1].told)
            return
        own = capability(self.provider, "playback") == "server"
        if own or capability(self.provider, "truncate") == "server":
            yield self._can(
                "the server", "server", "it plays, so it cuts", "playback" if own else "truncate"
            )
        entry = self._spoken("playback.truncate", has_audio=True)
        if entry is not None:
            words = "at the millisecond that was heard"
            yield self._can("we", "item_ms", words, "truncate")
        elif not own and capability(self.provider, "truncate") == "none":
            yield self._keeps("truncate", knows)

    def _deletes(self, cause: Cause, rows: "tuple[_Decided, ...]", knows: bool) -> Iterator[Claim]:
        if cause == "stall":
            yield self._not_due(rows, "nothing is cut")
            return
        own = capability(self.provider, "playback") == "server"
        entry = self._spoken("playback.forget", has_audio=True)
        if own and entry is None:  # Who plays cuts what it began; what it never began it may keep.
            yield self._can("the server", "server", "it plays, so it knows", "playback")
        if entry is not None:
            hook: Hook = self.provider.hooks["playback.forget"][entry]
            words = "when the response has had its last word" if hook.after else "at once"
            at = self._at("hooks", "playback.forget", entry)
            yield Claim("we", "item", words, hook.why or reason(self.provider, "delete"), at)
        elif not own and capability(self.provider, "delete") == "none":
            yield self._keeps("delete", knows)

    def _keeps(self, name: str, knows: bool) -> Claim:
        """What is remembered where we cannot say what was heard."""
        remembers = capability(self.provider, "remembers")
        if remembers == "reckoned" and knows:
            return self._can("the server", "reckoned", "by its own reckoning", "remembers")
        words = f"{REMEMBERS[remembers]}; declared"
        at = "remembers" if remembers == "reckoned" or not self.provider.can[name].why else name
        return self._can("nobody", "kept", words, at)

    # -- here -----------------------------------------------------------------------------------------

    def _clears(self, cause: Cause, rows: "tuple[_Decided, ...]") -> Iterator[Claim]:
        clears = [row for row in rows if "clear" in (row.row.do or ())]
        if capability(self.provider, "playback") == "server" and cause not in ("stall", "hang_up"):
            yield from self._hushes(cause)
        elif not clears:
            if cause == "stall":
                yield self._not_due(rows, "what arrived plays")
            else:
                why = "Nothing of it was sent to the carrier."
                yield Claim("nobody", "not_due", "nothing of it plays", why, rows[0].told)
        elif cause == "hang_up":
            why = "Nobody listens any more."
            yield Claim("nobody", "not_due", "nobody listens", why, clears[0].told)
        else:
            why = clears[0].row.why or "What the carrier holds would be heard."
            yield Claim("we", "carrier", "through the carrier, first of all", why, clears[0].told)

    def _hushes(self, cause: Cause) -> Iterator[Claim]:
        """Who empties the buffer of a server that plays by itself."""
        by_vad = cause == "caller" and capability(self.provider, "interrupts_itself") == "on_vad"
        entry = self._spoken("session.hush", server_cancels=by_vad)
        if by_vad:
            yield self._can("the server", "by_itself", "by itself", "interrupts_itself")
        if entry is not None:
            why = self.provider.hooks["session.hush"][entry].why or reason(
                self.provider, "playback"
            )
            words = "by telling the server, after the cancel"
            yield Claim("we", "hush", words, why, self._at("hooks", "session.hush", entry))

    def _fences(self) -> Iterator[Claim]:
        by = {"item": "by id", "response": "by id", "turn": "by turn"}
        kind = capability(self.provider, "identifies")
        yield self._can("we", kind, by[kind], "identifies")

    # -- words ----------------------------------------------------------------------------------------

    def _rows(self, cause: Cause) -> "Iterator[_Decided]":
        for state, event, guard in _ROWS.get(cause, _INTERRUPT):
            cell = cell_of(self.machine.states[state], event)
            for keys, row, _ in cell_cases(self.machine, cell):
                if row.if_ == guard:
                    at = told_at(self.tables, self.machine, "states", state, "when", *keys)
                    yield _Decided(row, at)

    def _spoken(self, hook: str, **holds: bool) -> int | None:
        return spoken(self.provider, hook, {"manual_turns": self.manual, **holds})

    def _not_due(self, rows: "tuple[_Decided, ...]", words: str) -> Claim:
        why = next((row.row.why for row in rows if row.row.why), "Nothing of it has been played.")
        return Claim("nobody", "not_due", words, why, rows[-1].told)

    def _nobody(self, how: str, words: str, *keys: str) -> Claim:
        return Claim("nobody", how, words, "No message says so.", self._at(*keys))

    def _can(self, who: Party, how: str, words: str, name: str) -> Claim:
        return Claim(who, how, words, reason(self.provider, name), self._at("can", name))

    def _says(self, name: str) -> bool:
        said = self.provider.can.get(name)
        return said is not None and said.why is not None

    def _at(self, *keys: str | int) -> Told:
        return told_at(self.tables, self.provider, *keys)


class _Decided(Struct, frozen=True):
    """A row of the response machine, and where it stands."""

    row: Row
    told: Told


def _events(provider: Provider) -> dict[str, tuple[str | int, ...]]:
    """Every event the provider's messages become, with the keys of the first row that says so."""
    found: dict[str, tuple[str | int, ...]] = {}
    for kind, rows in provider.received():
        for at, row in enumerate(rows):
            found.setdefault(str(row["event"]), ("receive", kind, at))
    return found


def _told_never(provider: Provider) -> tuple[str | int, ...] | None:
    """The row that says of every session that the caller does not interrupt."""
    for kind, rows in provider.received():
        for at, row in enumerate(rows):
            if row.get("interrupts_itself") == {"is": False} and "if" not in row:
                return ("receive", kind, at)
    return None
