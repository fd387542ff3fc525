"""A request as its caller holds it."""

import anyio

from .actions import Action, ItemOutcome, MemorySettled, Resolved


class Handle:
    """One request. It resolves exactly once, and it always does: with the response's fate or with the call's.

    Two moments matter. `resolved` is the caller's: nothing more of the response will be heard. `remembered` is the
    server's, a round trip later: it has cut or deleted what was not heard, or will not.
    """

    def __init__(self, ref: str) -> None:
        self.ref = ref
        """Our name of the request; a scope for `Driver.interrupt`."""
        self.outcome: Resolved | None = None
        """How it ended; None until then."""
        self._resolved = anyio.Event()
        self._remembered = anyio.Event()
        self._told: dict[str, ItemOutcome] = {}

    @property
    def silenced(self) -> bool:
        """Nothing of it will be heard any more."""
        return self.outcome is not None

    async def resolved(self) -> Resolved:
        """Wait until it is: completed, interrupted, timed out or failed."""
        await self._resolved.wait()
        return self._outcome()

    async def remembered(self) -> tuple[ItemOutcome, ...]:
        """Wait until the server's memory is what it is going to be; the items as they then are.

        At the end of a call this returns too: an item may then still be `pending`.
        """
        await self._remembered.wait()
        return self._items()

    def take(self, action: Action) -> bool:
        """For the driver: an action with this handle's `ref`. True when nothing more can come."""
        if isinstance(action, Resolved) and self.outcome is None:
            self.outcome = action
            self._resolved.set()
        elif isinstance(action, MemorySettled):
            self._told[action.outcome.item] = action.outcome
        done = self.outcome is not None and all(i.memory != "pending" for i in self._items())
        if done:
            self._remembered.set()
        return done

    def abandon(self, code: str) -> None:
        """For the driver: the call is over and nothing more will come."""
        if self.outcome is None:
            self.outcome = Resolved(self.ref, "failed", code)
        self._resolved.set()
        self._remembered.set()

    def _items(self) -> tuple[ItemOutcome, ...]:
        return tuple(self._told.get(item.item, item) for item in self._outcome().items)

    def _outcome(self) -> Resolved:
        assert self.outcome is not None, "resolved only when there is an outcome"
        return self.outcome
