"""Whose event it is: responses and items are found, born and named here.

Identity comes from the server's ids. Where a provider has none, everything belongs to the turn that is open, and a
turn is opened by its first sign of life. A birth that names no request is attributed by order only where order is
all there is: on providers that echo nothing, and for a response whose `created` was lost on the way.
"""

from .actions import Fenced
from .lifecycle import TOMBSTONES, Lifecycle
from .records import Item, Response


class Identity(Lifecycle):
    """From names, or the lack of them, to responses and items. See the module."""

    unsolicited = 0
    turns_made = 0

    # -- responses ----------------------------------------------------------------------------------

    def _find(
        self, server_id: str | None, item_id: str | None, kind: str | None
    ) -> Response | None:
        """The response an event belongs to; a fresh one if it is a first sign of life, None if it is over.

        What is over is fenced: `kind` is what came of it, None if there is nothing to say of that.
        """
        if server_id:
            response = self.by_server.get(server_id)
            if response is None and self._is_stopped(server_id):
                self._end_name(server_id)
            if response is None and server_id in self.retired:
                self._fence_id(server_id)
                return None
        elif self.by_turns and item_id in self.retired:
            self._fence_id(item_id or "")
            return None
        else:
            response = self._in_turn(item_id)
            if response is None and self.by_turns and self.provider.can["announces"] == "created":
                self._fence_turn(item_id, kind)
                return None
        if response is None:
            response = self._mother(None, True)
            response.guessed = response.own and self.provider.can["correlates"] != "order"
            if not server_id:
                self._new_turn()
        return response

    def _is_stopped(self, server_id: str) -> bool:
        """Whether a response nobody has heard of was over before anything of it came."""
        number = number_of(server_id) if self.provider.numbered else None
        return number is not None and number < self.stopped_number

    def _in_turn(self, item_id: str | None) -> Response | None:
        """Whose an event is that names no response: its item's, where the item is known, or the open turn's."""
        item = self.items.get(item_id or "")
        if self.by_turns and item is not None:
            return self.responses.get(item.ref)
        return self.by_server.get(self.turn or "")

    def _silent_turn(self) -> Response | None:
        """The open turn if it may be announced again: nothing has come of it and nobody has stopped it.

        Where every turn has its last word, one that goes on may be announced again and again; so may one that was
        stopped before it spoke.
        """
        turn = self.by_server.get(self.turn or "") if self.by_turns else None
        if turn is None:
            return None
        goes_on = turn.state not in TOMBSTONES and self.provider.can["finishes"] == "always"
        return turn if goes_on or not turn.begun else None

    def _mother(self, request: str | None, by_order: bool) -> Response:
        """Whose response is being born."""
        ours = request is not None and request.startswith(self.prefix)
        if self.answer_due and self.now_ms > self.answer_due_ms:
            self.answer_due = False
        answers_cancel = self.answer_due and not ours
        if not answers_cancel:
            waiting = self._oldest_unnamed() if by_order and not ours else self._asked(request)
            if waiting is not None:
                return waiting
        self.unsolicited += 1
        self.caller_waits = False
        response = Response(f"auto_{self.unsolicited}", own=False)
        if ours or answers_cancel or self.hung_up:
            # Of a request that has had its answer, to a cancel, or to a caller who has gone: nobody waits for it.
            response.state, response.verdict = "cancelled", "interrupted"
        if answers_cancel:
            response.answers_cancel, self.answer_due = True, False
        self.responses[response.ref] = response
        return response

    def _supersede(self, born: Response) -> None:
        """The server has begun `born`, and says nothing more of what it was at before; out-of-band it may be at more.

        Requests come in order where order is all there is: those before `born` that were given up have no answer.
        """
        in_order = self.provider.can["correlates"] == "order"
        before: list[Response] = []
        for each in self.responses.values():
            if each is born or not each.slot:
                continue
            if not each.unborn or (in_order and each.written and not each.running):
                before.append(each)
                if each.state in ("created", "streaming"):
                    each.code = "superseded"
        self.move(before, "superseded")

    def _disown(self, asked: Response) -> None:
        """What was taken for this request's response, by order, was the server's own: let it be that."""
        self.unsolicited += 1
        other = asked.copy()
        other.ref, other.own, other.guessed = f"auto_{self.unsolicited}", False, False
        self.responses[other.ref] = other
        if other.server_id is not None:
            self.by_server[other.server_id] = other
        for item_id in other.items:
            if item_id in self.items:
                self.items[item_id].ref = other.ref
        asked.server_id, asked.items = None, []
        asked.status, asked.code, asked.last_word = None, None, False
        if asked.verdict is None:
            asked.state = self.provider.response.start

    def _asked(self, request: str | None) -> Response | None:
        """Our request of that name, if it was written and the server has not named its response."""
        response = self.responses.get(request or "")
        return response if response is not None and response.written and response.unborn else None

    def _oldest_unnamed(self) -> Response | None:
        """Our oldest request that has no answer; where all goes by order, one that still waits comes first."""
        unnamed = [r for r in self.responses.values() if r.own and r.written and r.unborn]
        if self.provider.can["correlates"] == "order":
            unnamed.sort(key=lambda response: not response.running)
        return unnamed[0] if unnamed else None

    def _new_turn(self) -> str:
        self.cut_unborn = False
        while True:
            self.turns_made += 1
            name = f"turn_{self.turns_made}"
            if name not in self.by_server and name not in self.retired:
                self.turn = name
                return name

    def _named_move(self, response: Response, server_id: str | None, event: str) -> None:
        alone = self.by_turns or self.provider.can["supersedes"] == "silently"
        if alone and response.slot and response.unborn and event in ("created", "content"):
            self._supersede(response)
        self.naming = server_id
        self.move([response], event)
        self.naming = None

    # -- items and fences ---------------------------------------------------------------------------

    def _item(self, response: Response, item_id: str | None) -> Item:
        """The item of that id, made if new. An item of an interrupted response is born interrupted."""
        item_id = item_id or f"{response.server_id}/speech"
        item = self.items.get(item_id)
        if item is None:
            bytes_per_ms = self.playout.bytes_per_ms
            item = Item(item_id, response.ref, response.server_id, bytes_per_ms)
            self.items[item_id] = item
            if self.server_plays:
                item.evidence, item.sounded = "server", response.sounds != "not begun"
            response.items.append(item_id)
            if response.state in ("cancelled", "timed_out"):
                self.cut_short(item, "interrupt")
        return item

    def _fence(self, response: Response, item_id: str | None, kind: str) -> None:
        if kind not in response.fenced_kinds:
            response.fenced_kinds |= {kind}
            self.out.append(Fenced(response.server_id or response.ref, kind))

    def _fence_turn(self, item_id: str | None, kind: str | None) -> None:
        """Content without an open turn: it trails behind the last one."""
        last = f"turn_{self.turns_made}"
        living = self.by_server.get(last)
        if kind is None:
            return
        if living is not None:
            self._fence(living, item_id, kind)
        else:
            self._end_name(last)
            self._fence_id(last)

    def _fence_id(self, server_id: str) -> None:
        if not self.retired[server_id]:
            self.retired[server_id] = True
            self.out.append(Fenced(server_id, "late"))


def number_of(name: str | None) -> int | None:
    """The number in a name that is one."""
    return int(name) if name is not None and name.isascii() and name.isdigit() else None
