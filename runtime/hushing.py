"""How a server that plays by itself is told to throw away what it has not played."""

from collections.abc import Sequence

from .records import Operation, Response
from .speech import Speech


class Hushing(Speech):
    """One word to the server, once for all that is unwanted. See the module."""

    stopped = False
    """While the responses are covered that the server says it has stopped: there is nothing to tell it."""

    def hush(self, unwanted: Sequence[Response]) -> bool:
        """Make the server, where it plays, throw away what it has of these: once for all, after every cancel.

        It has one word for everything it holds. While it plays what is wanted, and nothing of these, it is not said
        and is due. True if it was said.
        """
        open_ = [
            each
            for each in self.responses.values()
            if (each.hush == "due" or (each.hush == "no" and each in unwanted))
            and self._may_sound(each)
        ]
        if self.stopped or self.hung_up or not open_:
            return False
        playing = [each for each in self.responses.values() if each.sounds == "playing"]
        spared = any(each.verdict is None for each in playing) and not any(
            each in open_ for each in playing
        )
        for response in open_:
            response.hush = "due" if spared else "left"
        if spared:
            for response in [each for each in open_ if each.sounds == "not begun"]:
                for item_id in response.items.copy():
                    self.move_item(self.items[item_id], "unplayed")  # One buffer, in order.
            return False
        for response in open_:
            if self.say(self.provider.hush(self._operation_id("hush"), response)):
                self.report.cleared = True
                self._is_told(open_)
                return True
        return False

    def _is_told(self, hushed: Sequence[Response]) -> None:
        """The server has been told to be silent. Its answer may take as long as any."""
        for response in hushed:
            response.hush = "said"
        due_ms = self.now_ms + self.times["answer_ms"]
        for op, asked in self.operations.items():
            if asked.kind == "halt" and self.items[asked.item_id].ref in [r.ref for r in hushed]:
                self.operations[op] = Operation("halt", asked.item_id, due_ms)

    def _may_sound(self, response: Response) -> bool:
        """Whether the server plays it, or may begin to: it is still at it, or has all of it and has not begun."""
        if response.sounds == "playing" or not response.last_word:
            return True
        if response.sounds != "not begun":
            return False
        ended = response.status in ("cancelled", "failed")
        waits = any(not self.items[item_id].settled for item_id in response.items)
        return response.hush == "due" or (waits and not ended)
