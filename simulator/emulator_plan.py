"""What an emulated server does with each response: plans, as data.

The words are OpenAI's. Where a wire cannot say what a plan wants, the server says nothing: a refusal, or an end that
is `failed` or `cancelled`, leaves the client of a server without ids waiting.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from .openai_state import End

Milliseconds = Annotated[int, msgspec.Meta(ge=0)]


class PlannedItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One item of a response."""

    ms: Milliseconds = 3000
    """Length of its audio; nothing for a text or a function call."""
    kind: Literal["message", "text", "function_call"] = "message"
    text: str = ""
    """What a message says (its transcript), or the arguments of a function call."""
    name: str = "lookup"
    """The function called."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens to one response, from the request for it (or the end of the caller's turn) on."""

    created_after_ms: Milliseconds = 50
    """From the request to `response.created`, or what else says that a response begins."""
    created: bool = True
    """False: `response.created` is never sent. Without items nothing is sent but `response.done`, and
    with `end: never` not even that: such a response cannot be cancelled and keeps its slot."""
    refuse: str | None = None
    """An error with this code instead of the response."""
    first_delta_after_ms: Milliseconds = 50
    """From there to the first item."""
    items: tuple[PlannedItem, ...] = (PlannedItem(),)
    """Where a turn waits for the results of its function calls, what follows one does too."""
    delta_ms: Annotated[int, msgspec.Meta(gt=0)] = 100
    """Audio in one delta."""
    speed: Annotated[float, msgspec.Meta(gt=0)] = 8.0
    """How many times faster than speech audio is generated."""
    trailing_deltas: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Deltas still sent after the response was told to stop."""
    done_after_cancel_ms: Milliseconds = 20
    """From the last trailing delta to `response.done`."""
    end: End | Literal["never"] = "completed"
    """How it ends unless told to stop; `never`: it hangs until it is. `incomplete`, where ends have no status, is an
    end without the word that all was generated."""
    drop_connection_after_ms: Milliseconds | None = None
    """From the request to the loss of the connection, without a closing handshake."""


def load_plans(source: str | Path) -> list[Plan]:
    """Plans from YAML or JSON: a list of mappings, or one mapping. A `Path` is read, a `str` is the text.

    Raises `ValueError` naming what is wrong and where.
    """
    text = source.read_text() if isinstance(source, Path) else source
    try:
        raw: Any = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise ValueError(f"plans are neither YAML nor JSON: {problem}") from problem
    if raw is None:
        return []
    if isinstance(raw, Mapping):
        raw = [raw]
    try:
        return msgspec.convert(raw, list[Plan])
    except msgspec.ValidationError as problem:
        raise ValueError(f"plans: {problem}") from problem
