"""`bargein new-provider`: what it writes is right as it stands, says what to do, and harms nothing that is there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bargein import cli, new_provider
from bargein.codegen.generate import generate
from bargein.statemachines.checks import check_paths

ROOT = Path(__file__).resolve().parent.parent
SIDES = pytest.mark.parametrize("side", ["provider", "transport"])

new_provider.add_to(cli.app)

READ = {
    "provider": """
    ('{"type": "audio", "data": "AAAA"}', (events.Audio(audio=bytes(3)),)),
    ('{"type": "transcript", "text": "Hello."}', (events.Transcript(text="Hello."),)),
""",
    "transport": """
    ('{"event": "start", "stream_id": "s"}', (events.StreamStarted(stream="s"),)),
    ('{"event": "media", "media": {"payload": "AAAA"}}', (events.CallerAudio(audio=bytes(3)),)),
    ('{"event": "mark", "mark": {"name": "m"}}', (events.Marked(mark="m"),)),
    ('{"event": "stop"}', (events.StreamEnded(),)),
""",
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["new-provider", *arguments])


def begin(side: str, *arguments: str) -> Result:
    return run("parrot", *["--transport"] * (side == "transport"), *arguments)


def verdict_on(folder: Path) -> str:
    """What pytest says of a folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of bargein, as far as the command looks at it."""
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "statemachines", root / "statemachines")
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "tests").mkdir()
    monkeypatch.chdir(root / "tests")
    return root


@SIDES
def test_what_it_writes_has_no_fault_and_becomes_an_adapter(side: str, tmp_path: Path) -> None:
    """Not even a warning: whatever is complained of later, the author wrote."""
    result = begin(side, "--into", str(tmp_path / "birds"))
    assert result.exit_code == 0, result.stderr
    assert check_paths([tmp_path / "birds"]) == []
    made = generate(tables=tmp_path / "birds", out=tmp_path / "made")
    assert [change.path.name for change in made] == ["parrot.py", "__init__.py"]


@SIDES
def test_its_test_fails_until_the_table_is_read_against_messages(side: str, tmp_path: Path) -> None:
    """And then it passes: guesses taken away, every row shown by a message."""
    begin(side, "--into", str(tmp_path))
    said = verdict_on(tmp_path)
    assert "3 failed" in said
    assert "copy real messages, recorded or documented, into MESSAGES" in said
    assert "parrot.yaml still guesses" in said
    table, test = tmp_path / f"{side}s" / "parrot.yaml", tmp_path / "test_parrot.py"
    table.write_text(re.sub(r"  # TODO.*", "", table.read_text()))
    empty = test.read_text()
    head, mark, tail = empty.partition("] = [\n")
    for left_out in (0, len(READ[side].strip().splitlines())):
        rows = READ[side].strip().splitlines()
        text = "\n".join(rows[:left_out] + rows[left_out + 1 :])
        test.write_text(f"{head}{mark}{text}\n{tail}")
        said = verdict_on(tmp_path)
        assert ("3 passed" if left_out == len(rows) else "1 failed, 2 passed") in said, said


@SIDES
def test_the_files_are_as_our_own_linter_wants_them(side: str, tmp_path: Path) -> None:
    begin(side, "--into", str(tmp_path))
    for command in (["check", "--ignore=D1"], ["format", "--check"]):
        config = f"--config={ROOT / 'pyproject.toml'}"
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, config, "--no-cache", "test_parrot.py"],
            cwd=tmp_path, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@SIDES
def test_in_a_repository_the_table_joins_the_others(side: str, repository: Path) -> None:
    """From any folder of it; the test belongs with the tests."""
    result = begin(side)
    assert result.exit_code == 0, result.stderr
    assert (repository / "statemachines" / f"{side}s" / "parrot.yaml").is_file()
    assert "3 failed" in verdict_on(repository / "tests")
    assert check_paths([repository / "statemachines"]) == []
    for word in ("bargein check", "pytest test_parrot.py", "bargein generate", "bargein verify"):
        assert word in result.stdout
    assert "--tables" not in result.stdout


def test_outside_a_repository_it_asks_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("parrot", "--transport")
    assert result.exit_code == cli.USAGE
    assert "say where to begin: bargein new-provider parrot --transport --into DIR" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["providers/parrot.yaml", "test_parrot.py"])
def test_nothing_is_overwritten_and_nothing_else_written(there: str, tmp_path: Path) -> None:
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    result = run("parrot", "--into", str(tmp_path))
    assert result.exit_code == cli.USAGE
    assert "parrot" in result.stderr
    assert "is there already; nothing was written" in result.stderr
    assert [p.read_text() for p in tmp_path.rglob("*") if p.is_file()] == ["mine"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Open-AI", "perhaps: open_ai"),
        ("7up", "a letter first"),
        ("", "is no name"),
        ("../up", "perhaps: up"),
        ("a b", "perhaps: a_b"),
        ("é", "is no name"),
        ("parrot\n", "perhaps: parrot"),
        ("class", "a word of Python"),
        ("openai", "there is a provider 'openai' already"),
        ("twilio", "says `extends: twilio`"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_a_way_out(
    name: str, says: str, tmp_path: Path
) -> None:
    """It becomes the name of a file, of a module and of a key."""
    result = run(name, "--into", str(tmp_path))
    assert result.exit_code == cli.USAGE
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "birds").write_text("a file")
    result = run("parrot", "--into", str(tmp_path / "birds"))
    assert result.exit_code == cli.USAGE
    assert "cannot write" in result.stderr
    assert "birds" in result.stderr


def test_its_help_teaches() -> None:
    text = " ".join(run("--help").stdout.split())
    for word in ("Try: bargein new-provider parrot --into birds", "docs/new-provider.md", "TODO"):
        assert word in text
