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


def beneath(room: str, *names: str) -> set[str]:
    """These modules of a room, and all of the room that they import."""
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for level, dotted, _ in imported(ROOT / room / f"{name}.py"):
                if level == 1 and dotted:
                    waiting.append(dotted.partition(".")[0])
    return found


def does_io(room: str, name: str) -> set[str]:
    """What a module imports that only drivers may: clocks, tasks, sockets and chance."""
    forbidden = {"anyio", "asyncio", "aiohttp", "time", "socket", "threading", "logging", "random"}
    used = {
        dotted.split(".")[0]
        for level, dotted, _ in imported(ROOT / room / f"{name}.py")
        if level == 0
    }
    return used & forbidden


def test_the_core_of_the_session_does_no_io() -> None:
    """The session, its parts, and what an adapter is: only the drivers may touch clocks, tasks and sockets."""
    core = beneath("runtime", "session", "adapter")
    assert core >= {
        *("actions", "adapter", "answers", "carrying", "errors", "events", "formats", "hearing"),
        *("identity", "interrupting", "lifecycle", "machine", "pacing", "playout", "records"),
        *("routing", "session", "speech"),
    }
    assert {name: used for name in core if (used := does_io("runtime", name))} == {}


def test_the_models_of_the_other_side_do_no_io() -> None:
    """Served on a socket by the emulators, and stepped through by the explorer: no model may know which."""
    models = beneath("simulator", "kinds", "world")
    assert {"openai", "gemini", "twilio", "browser", "ear", "watch", "untimed"} <= models
    assert {name: used for name in models if (used := does_io("simulator", name))} == {}


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "adapters"])
def test_a_module_can_be_read_in_one_go(room: str) -> None:
    """About 300 lines; what is generated may be longer."""
    longest = max((len(m.read_text("utf-8").splitlines()), m.name) for m in modules(room))
    assert longest[0] <= 380, longest


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
