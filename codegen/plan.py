"""What a generated module will say: the result of the analysis, ready for a template.

Everything here is text in its final order; a template only lays it out. `expr` and `type` are Python source.
"""

from msgspec import Struct

from bargein.statemachines.model import UNTAGGED


class RowPlan(Struct, frozen=True):
    """One row of a cell."""

    go: str | None
    do: tuple[str, ...]
    guard: str | None
    note: str
    see: str | None


class CellPlan(Struct, frozen=True):
    """The rows of one event, or of several that share them (`names`, empty when alone)."""

    events: tuple[str, ...]
    rows: tuple[RowPlan, ...]


class StatePlan(Struct, frozen=True):
    """One state of a machine."""

    name: str
    note: str
    cells: tuple[CellPlan, ...]


class MachinePlan(Struct, frozen=True):
    """A machine table as a literal; `constant` is its name in the module."""

    name: str
    constant: str
    note: str
    start: str
    states: tuple[StatePlan, ...]


class FieldPlan(Struct, frozen=True):
    """A field of a wire struct; `key` is its name on the wire."""

    name: str
    key: str
    type: str
    optional: bool

    @property
    def source(self) -> str:
        """The line that declares it."""
        head = f"{self.name}: {self.type}"
        if self.name == self.key:
            return f"{head} = None" if self.optional else head
        default = "default=None, " if self.optional else ""
        return f"{head} = field({default}name={self.key!r})"


class StructPlan(Struct, frozen=True):
    """A wire struct; `bases` is what stands in the parentheses after its name."""

    name: str
    bases: str
    doc: tuple[str, ...]
    fields: tuple[FieldPlan, ...]


class EventPlan(Struct, frozen=True):
    """One event a message becomes, with an expression per field."""

    cls: str
    fields: tuple[tuple[str, str], ...]


class ConverterPlan(Struct, frozen=True):
    """The function that turns one kind of message into events."""

    function: str
    struct: str
    kind: str
    steps: tuple[tuple[str, str], ...]
    events: tuple[EventPlan, ...]
    body: tuple[str, ...] = ()
    """The statements of a converter that must ask what the message is; then there are no `steps` and `events`."""

    @property
    def reads(self) -> bool:
        """Whether the message's fields matter; of some kinds only the arrival does."""
        return bool(self.body) or any(event.fields for event in self.events)

    @property
    def sounds(self) -> bool:
        """Whether it is a message of audio and nothing else: nearly every message is, so `decode` reads it itself."""
        alone = [e.cls for e in self.events] in (["Audio"], ["CallerAudio"])
        return alone and not self.steps and self.kind != UNTAGGED


class ReceivePlan(Struct, frozen=True):
    """Everything `decode` needs.

    `helpers` are the functions its converters use; `other`, `single` and `json` say which types are needed.
    """

    structs: tuple[StructPlan, ...]
    converters: tuple[ConverterPlan, ...]
    helpers: tuple[str, ...]
    other: bool
    single: bool
    json: bool
    bare_audio: bool


class SayPlan(Struct, frozen=True):
    """One message a hook sends, and the condition (Python source) under which it does."""

    condition: str | None
    expr: str


class HookPlan(Struct, frozen=True):
    """One hook as a function; `unsaid` are conditions under which it says nothing, with their reasons."""

    function: str
    signature: str
    doc: tuple[str, ...]
    unsaid: tuple[tuple[str, str], ...]
    says: tuple[SayPlan, ...]
    bare: bool = False
    """It hands its audio over as it is, for a binary frame."""


class SendPlan(Struct, frozen=True):
    """Everything the hooks need."""

    structs: tuple[StructPlan, ...]
    hooks: tuple[HookPlan, ...]
    parted: bool
    """Some message is filled with a part of a variable."""
    numbered: bool
    """Some message is filled with a name that the provider wrote as a number."""


class Noted(Struct, frozen=True):
    """An entry of a literal (`expr` is Python source) with its reason."""

    key: str
    expr: str
    note: str
    see: str | None


class PeerPlan(Struct, frozen=True):
    """One module: a provider or a transport."""

    name: str
    side: str
    template: str
    sources: tuple[str, ...]
    is_: str
    see: str | None
    tag_field: str | None
    abi: int
    digest: str
    machines: tuple[MachinePlan, ...]
    receive: ReceivePlan
    send: SendPlan
    can: tuple[Noted, ...]
    timeouts: tuple[Noted, ...]
    audio: tuple[Noted, ...]
    errors: tuple[Noted, ...]
    after_finished: tuple[str, ...]
    more: tuple[tuple[str, str], ...]
    """Further arguments of the adapter: name and Python source."""
    imports: tuple[tuple[tuple[str, str], ...], ...]
