"""Files → tables: reads each file once, follows `extends`, and gathers every error on the way."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .convert import Damage, convert
from .diagnostics import Diagnostic, Place, TableError, did_you_mean
from .extends import merge
from .model import Machine, Provider, Transport
from .nodes import Mapping, Node, Scalar, read
from .tables import FOLDERS, KINDS, ROOM, Kind, Source, Tables, kind_and_name, yaml_files

_MODELINE = re.compile(r"^#\s*yaml-language-server:\s*\$schema=(\S+)")
_START_HINT = "begin with `machine: NAME`, `provider: NAME` or `transport: NAME`"


@dataclass(frozen=True, eq=False)
class _File:
    """One file as it was read; `root` is None if there is no mapping in it."""

    path: Path
    text: str
    root: Mapping | None


class Reader:
    """Reads files, each once, follows `extends`, and gathers every error in `found`."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self._files: dict[Path, _File | None] = {}

    def tables(self, paths: Iterable[tuple[Path, Kind | None]]) -> Tables:
        """The tables in these files.

        A table with errors is there too, as far as it could be read: check it, do not use it.
        """
        tables = Tables()
        for path, expected in paths:
            if (file := self._read(path)) is None or file.root is None:
                continue
            if (kind := self._kind(file, expected)) is not None:
                self._add(tables, kind, file)
        return tables

    def raise_errors(self) -> None:
        """Raise TableError with everything found, if any of it is more than a warning."""
        if any(d.severity == "error" for d in self.found):
            raise TableError(self.found)

    def _add(self, tables: Tables, kind: Kind, file: _File) -> None:
        damage = Damage()
        root, files = self._extended(file, kind, damage)
        complete = not damage.doubts(())
        table = convert(root, KINDS[kind], self.found, damage, complete=complete)
        if damage.hides((kind,)):  # nameless: the file's name serves
            table = msgspec.structs.replace(table, **{kind: file.path.stem})
        key = kind_and_name(table)
        self._check_header(file, kind, key[1], damage)
        if (other := tables.sources.get(key)) is not None:
            place = next(iter(root.entries.values())).place
            message = f"there is a {kind} '{key[1]}' already: {Place(str(other.files[0])).file}"
            self.found.append(Diagnostic.at(place, "E016", message))
            return
        tables.sources[key] = Source(root, files, damage)
        match table:
            case Machine():
                tables.machines[table.machine] = table
            case Provider():
                tables.providers[table.provider] = table
            case Transport():
                tables.transports[table.transport] = table

    def _report(self, place: Place, code: str, message: str, hint: str | None = None) -> None:
        self.found.append(Diagnostic.at(place, code, message, hint))

    def _read(self, path: Path) -> _File | None:
        if path not in self._files:
            self._files[path] = self._read_new(path)
        return self._files[path]

    def _read_new(self, path: Path) -> _File | None:
        top = Place(str(path))
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            col = error.start - (error.object.rfind(b"\n", 0, error.start) + 1) + 1
            place = Place(str(path), line, col)
            self._report(place, "E001", f"not UTF-8: byte 0x{error.object[error.start]:02x}")
            return None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._report(top, "E001", f"cannot be read: {reason[:1].lower()}{reason[1:]}")
            return None
        before = len(self.found)
        root = read(text, str(path), self.found)
        if isinstance(root, Mapping) and root.entries:
            return _File(path, text, root)
        if len(self.found) == before:
            empty = root is None or (isinstance(root, Scalar | Mapping) and not _text_of(root))
            what = "empty" if empty else "not a mapping of keys to values"
            place = top if root is None else root.place
            self._report(
                place, "E003", f"{what}; a table begins with its kind and name", _START_HINT
            )
        return _File(path, text, None)

    def _kind(self, file: _File, expected: Kind | None) -> Kind | None:
        """The kind of a table, from its first words; the folder decides only when they do not."""
        assert file.root is not None
        keys = file.root.entries
        said: Kind | None = next((kind for kind in KINDS if kind in keys), None)
        if said is not None and expected is not None and said != expected:
            message = f"this is a {said}; a {expected} belongs here"
            self._report(keys[said].place, "E007", message)
            return None
        by_folder: Kind | None = next(
            (kind for kind, folder in FOLDERS.items() if file.path.parent.name == folder), None
        )
        if (kind := said or expected or by_folder) is None:
            first = next(iter(keys))
            message = f"neither a machine, a provider nor a transport{did_you_mean(first, KINDS)}"
            self._report(keys[first].place, "E007", message, _START_HINT)
        return kind

    def _check_header(self, file: _File, kind: Kind, name: str, damage: Damage) -> None:
        assert file.root is not None
        if kind in file.root.entries and not damage.hides((kind,)) and name != file.path.stem:
            place = file.root.entries[kind].node.place
            message = f"{kind} '{name}' in a file called '{file.path.name}'"
            self._report(place, "E009", message, f"call the file {name}{file.path.suffix}")
        schema = f"{kind}.schema.json"
        for number, line in enumerate(file.text.splitlines(), 1):
            if (said := _MODELINE.match(line)) is not None:
                place = Place(str(file.path), number, said.start(1) + 1)
                if not said[1].endswith(schema):
                    self._report(place, "W001", f"the modeline's schema is not {schema}")
                elif "://" not in said[1] and not (file.path.parent / said[1]).is_file():
                    self._report(
                        place, "W001", f"no schema at '{said[1]}'", "bargein generate writes it"
                    )
                return
            if line.strip() and not line.lstrip().startswith("#"):
                break
        modeline = (
            f"# yaml-language-server: $schema={'' if kind == 'machine' else '../'}schema/{schema}"
        )
        self._report(
            Place(str(file.path)), "W001", "no modeline for editors", f"begin with: {modeline}"
        )

    def _extended(
        self, file: _File, kind: Kind, damage: Damage
    ) -> tuple[Mapping, tuple[Path, ...]]:
        """The table's nodes with what it extends, and the files they came from."""
        chain, ancestors = [file], {file.path.resolve()}
        while kind != "machine" and (said := _extends(chain[-1])) is not None:
            parent = self._parent(chain, said, kind)
            if parent is None or parent.root is None:
                damage.lacking(())
                break
            if parent.path.resolve() in ancestors:
                circle = [f.path.stem for f in chain[chain.index(parent) :]] + [parent.path.stem]
                message = f"extends itself: {' → '.join(circle)}"
                self._report(said.place, "E018", message)
                damage.lacking(())
                break
            ancestors.add(parent.path.resolve())
            chain.append(parent)
        root = chain[-1].root
        for heir in reversed(chain[:-1]):
            assert root is not None and heir.root is not None
            root = merge(root, heir.root, kind, self.found)
        assert root is not None
        return root, tuple(f.path for f in chain)

    def _parent(self, chain: list[_File], said: Scalar, kind: Kind) -> _File | None:
        """The file beside this one, or else the shipped one."""
        here = chain[-1].path.parent
        folders = dict.fromkeys((here, ROOM / FOLDERS[kind]))
        for folder in folders:
            path = folder / f"{said.value}.yaml"
            if path.is_file():
                known = next((f for f in chain if f.path.resolve() == path.resolve()), None)
                if known is not None:
                    return known
                parent = self._read(path)
                if parent is None or parent.root is None or self._kind(parent, kind) is None:
                    return None
                return parent
        names = {path.stem for folder in folders for path in yaml_files(folder)}
        names -= {chain[-1].path.stem}
        self._report(
            said.place, "E017", f"no {kind} '{said.value}'{did_you_mean(said.text, names)}"
        )
        return None


def _extends(file: _File) -> Scalar | None:
    """What a file extends, if it says so in a word; anything else is for `convert` to report."""
    entry = file.root.entries.get("extends") if file.root is not None else None
    if entry is None or not isinstance(entry.node, Scalar) or not isinstance(entry.node.value, str):
        return None
    return entry.node if re.fullmatch(r"[a-z][a-z0-9_]*", entry.node.value) else None


def _text_of(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""
