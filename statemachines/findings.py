"""What a check reports, and when it keeps silent because an earlier error is the reason."""

from collections.abc import Collection, Iterable

from .convert import Keys
from .diagnostics import Diagnostic, closest, did_you_mean
from .model import Table
from .tables import Tables


class Findings:
    """Findings about one table, each named by its keys, gathered in `found`."""

    def __init__(self, tables: Tables, table: Table, found: list[Diagnostic]) -> None:
        self._tables = tables
        self._table = table
        self._damage = tables.source(table).damage
        self._found = found

    def value(self, code: str, message: str, *keys: str | int, hint: str | None = None) -> None:
        """The value at `keys` is wrong."""
        if not self._damage.hides(keys):
            place = self._tables.where_value(self._table, *keys)
            self._found.append(Diagnostic.at(place, code, message, hint))

    def key(self, code: str, message: str, *keys: str | int, hint: str | None = None) -> None:
        """The key or list item at `keys` is wrong."""
        if not self._damage.hides(keys):
            place = self._tables.where(self._table, *keys)
            self._found.append(Diagnostic.at(place, code, message, hint))

    def missing(self, code: str, message: str, *keys: str | int, hint: str | None = None) -> None:
        """Something at or below `keys` is missing."""
        if not self.doubtful(*keys):
            self.key(code, message, *keys, hint=hint)

    def unsure(self, *keys: str | int) -> bool:
        """True if what stands at `keys` could not be read."""
        return self._damage.hides(keys)

    def doubtful(self, *keys: str | int) -> bool:
        """True if something at or below `keys` could not be read, so that nothing is surely missing."""
        return self._damage.doubts(keys)

    def line(self, *keys: str | int) -> int:
        """The line of a key."""
        return self._tables.where(self._table, *keys).line

    def names(
        self,
        what: str,
        codes: tuple[str, str],
        used: Iterable[str],
        known: Collection[str],
        section: Keys,
        required: Collection[str] | None = None,
    ) -> None:
        """Compare the keys of a section with a closed vocabulary: `codes` for unknown and for missing."""
        used = list(used)
        absent = [name for name in (known if required is None else required) if name not in used]
        for name in used:
            if name not in known:
                message = f"unknown {what} '{name}'{did_you_mean(name, known)}"
                self.key(codes[0], message, *section, name)
                if (near := closest(name, absent)) is not None:
                    absent.remove(near)  # it is there, misspelled
        for name in absent:
            self.missing(codes[1], f"{what} '{name}' is missing", *section)
