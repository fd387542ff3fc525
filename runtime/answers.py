"""What the server says of our own messages: settings taken, items cut or deleted, and what it refuses."""

from . import events as ev
from .actions import Problem
from .interrupting import Interrupting


class Answers(Interrupting):
    """From an answer to the message it answers, by its id or because nothing else can be meant."""

    configuring: str | None = None

    def _ready(self, event: ev.Ready) -> bool:
        self.ready = True
        return False  # The application wants to see what comes with it.

    def _configured(self, event: ev.Configured) -> bool:
        self.learn(event)
        self.configuring = None
        return False  # The application wants to see the settings too.

    def _truncated(self, event: ev.Truncated) -> bool:
        return self._answer("truncate", event.item, event.heard_ms)

    def _deleted(self, event: ev.Deleted) -> bool:
        return self._answer("delete", event.item)

    def _answer(self, kind: str, item_id: str, heard_ms: int | None = None) -> bool:
        """The server has done what it says to an item; some leave the name empty and mean the oldest that waits."""
        for op, asked in self.operations.items():
            if asked.kind == kind and item_id in ("", asked.item_id):
                item = self.items.get(asked.item_id)
                if heard_ms is not None and item is not None and heard_ms != item.cut_ms:
                    return False  # It was cut elsewhere, by somebody else: ours is still to come.
                self.answered(op, "confirmed")
                return True
        return False  # Not ours: the application asked for it.

    def _error(self, event: ev.Error) -> None:
        rule = next(
            (
                rule.means
                for code, rule in self.provider.errors.items()
                if (
                    code == event.code
                    or (rule.says is not None and rule.says in (event.message or ""))
                )
                and rule.param in (None, event.param)
            ),
            None,
        )
        op = event.op or ""
        response = self._asked(op)
        if response is None and rule == "create_refused" and not op:
            response = self._oldest_unnamed()
        if not op and rule in ("truncate_refused", "gone"):
            op = self._only_asked(rule, event.message or "")
        settles = response is not None or op in self.operations
        if response is not None:
            response.code = event.code or rule or "rejected"
            self.move([response], "rejected")
        elif op and op == self.configuring:
            self.configuring = None
            text = f"the session settings were refused: {event.message or event.code}"
            self.out.append(Problem("provider", "settings_refused", text, fatal=True))
            return
        elif op in self.operations:
            kind = self.operations[op].kind
            gone = rule == "gone" or (rule == "benign" and kind == "truncate")
            self.answered(op, "confirmed" if gone else "refused", event.message)
        harmless = rule in ("benign", "gone") or self._is_over(op)
        if rule == "fatal" or not (settles or harmless):
            text = event.message or "the provider reported an error"
            code = event.code or "provider_error"
            self.out.append(Problem("provider", code, text, rule == "fatal"))

    def _is_over(self, op: str) -> bool:
        """Whether a message of ours is settled already, or was given up: no error about it changes anything."""
        ours = op.startswith(self.prefix) and not op.startswith(self.prefix + "configure_")
        return ours and op not in self.responses

    def answered(self, op: str, event: str, reason: str | None = None) -> None:
        """The server has answered (`confirmed`, `refused`) or not answered (`unanswered`) an operation."""
        asked = self.operations.pop(op)
        item = self.items.get(asked.item_id)
        if item is not None:
            item.refusals += event == "refused"
            item.reason = reason or ("the server did not answer" if event == "unanswered" else None)
            self.move_item(item, event)

    def _only_asked(self, rule: str, message: str) -> str:
        """The operation an error that names nobody can only mean, if there is just one."""
        waiting = {op: asked for op, asked in self.operations.items() if asked.kind != "halt"}
        if rule == "gone":
            could_mean = [op for op, asked in waiting.items() if asked.item_id in message]
        else:
            truncates = [op for op, asked in waiting.items() if asked.kind == "truncate"]
            could_mean = truncates or list(waiting)
        return could_mean[0] if len(could_mean) == 1 else ""
