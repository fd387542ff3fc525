"""What a server holds to have been spoken of a turn, in words: several say it when a turn was interrupted."""

from collections.abc import Iterable

from .turns_state import Item


def spoken(items: Iterable[Item]) -> str:
    """The words of what is remembered of these items: each keeps the share of its text that it keeps of its audio."""
    return "".join(
        item.transcript[: len(item.transcript) * item.remembered_ms // item.generated_ms]
        for item in items
        if item.generated_ms
    )
