"""The house keeps its shape: rooms, links, packages and the one direction of imports."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("statemachines", "codegen", "adapters", "runtime", "simulator", "diagrams")
MAY_IMPORT = {
    "statemachines": set[str](),
    "codegen": {"statemachines"},
    "runtime": set[str](),
    "adapters": {"runtime"},
    "simulator": {"runtime", "adapters"},
    "diagrams": {"statemachines", "runtime"},
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(module: Path) -> list[tuple[int, str, int]]:
    """Every (relative level, dotted name, line) a module imports."""
    found = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", node.lineno))
    return found


def test_packages_links_and_rooms_are_the_same_six() -> None:
    setuptools = PROJECT["tool"]["setuptools"]
    names = {"bargein", *(f"bargein.{room}" for room in ROOMS)}
    assert set(setuptools["packages"]) == names
    assert set(setuptools["package-dir"]) == names
    for room in ROOMS:
        assert setuptools["package-dir"][f"bargein.{room}"] == room
        link = ROOT / "src" / "bargein" / room
        assert link.resolve() == ROOT / room, f"{link} does not point to its room"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_holds_no_nested_package(room: str) -> None:
    assert [m for m in modules(room) if m.parent != ROOT / room] == []


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way_and_by_full_name(room: str) -> None:
    """Inside a room relative, across rooms `bargein.<room>`, and only in the direction the design allows."""
    wrong = []
    for module in modules(room):
        for level, name, line in imported(module):
            first, _, rest = name.partition(".")
            target = rest.partition(".")[0]
            if level > 1 or (level == 0 and first in ROOMS):
                wrong.append(f"{module.name}:{line} imports {'.' * level}{name}")
            if level == 0 and first == "bargein" and target not in MAY_IMPORT[room]:
                wrong.append(f"{module.name}:{line} imports {name}")
    assert wrong == []


def test_the_core_of_the_session_does_no_io() -> None:
    """Only the drivers may touch clocks, tasks and sockets."""
    core = ("actions", "adapter", "errors", "events", "lifecycle", "machine", "playout", "records")
    forbidden = {"anyio", "asyncio", "aiohttp", "time", "socket", "threading", "logging", "random"}
    for name in (*core, "routing", "session"):
        module = ROOT / "runtime" / f"{name}.py"
        used = {dotted.split(".")[0] for _, dotted, _ in imported(module)}
        assert not used & forbidden, module.name


def test_the_front_door_does_not_need_the_generated_room() -> None:
    """`bargein generate` must run when its own output is broken or gone."""
    for name in ("__init__.py", "cli.py"):
        module = ROOT / "src" / "bargein" / name
        top = ast.parse(module.read_text(encoding="utf-8")).body
        for node in top:
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith(("bargein.adapters", "bargein.simulator"))


def test_the_project_speaks_of_itself_alone() -> None:
    """No path of anybody's machine in a file that ships."""
    for path in ROOT.rglob("*"):
        if path.suffix in {".py", ".yaml", ".md", ".j2", ".toml"} and ".venv" not in path.parts:
            text = path.read_text(encoding="utf-8")
            for word in ("/" + "home/", "/" + "root/", "/" + "Users/"):
                assert word not in text, f"{path} names {word}"
