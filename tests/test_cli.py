"""The command line: what people type, what they see, and the exit status a script relies on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bargein import calls, cli

ROOT = Path(__file__).resolve().parent.parent
BARGEIN = [sys.executable, "-c", "from bargein.cli import main; main()"]

calls.add_to(cli.app)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def tables(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "statemachines", tmp_path / "tables"))


def test_the_shipped_tables_have_no_errors() -> None:
    result = run("check")
    assert (result.exit_code, result.stderr) == (0, "")


def test_two_mistakes_are_both_told_with_place_code_and_remedy(tmp_path: Path) -> None:
    folder = tables(tmp_path)
    response = folder / "response.yaml"
    text = response.read_text(encoding="utf-8")
    text = text.replace("go: streaming, do: [name]", "go: streeming, do: [naem]", 1)
    response.write_text(text, encoding="utf-8")
    line = text[: text.index("streeming")].count("\n") + 1
    result = run("check", str(folder))
    assert result.exit_code == cli.FINDING
    for wrong, right in (("streeming", "streaming"), ("naem", "name")):
        (told,) = [row for row in result.stdout.splitlines() if f"'{wrong}'" in row]
        assert f"response.yaml:{line}:" in told
        assert f"did you mean '{right}'" in told
    found = json.loads(run("check", str(folder), "--json").stdout)
    assert {(f["line"], f["severity"]) for f in found} == {(line, "error")}


@pytest.mark.parametrize("command", ["generate", "diagram"])
def test_the_repository_is_up_to_date(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = run(command, "--check")
    assert result.exit_code == 0, result.stdout


@pytest.mark.parametrize("command", ["generate", "diagram"])
def test_outside_a_repository_one_is_told_what_to_do(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(command)
    assert result.exit_code == cli.USAGE
    assert "no bargein repository" in result.stderr


def test_a_stale_adapter_is_shown_with_the_command_that_mends_it(tmp_path: Path) -> None:
    """Of a user's own tables, in folders of their own."""
    folder, out = tables(tmp_path), tmp_path / "adapters"
    own = ("generate", "--tables", str(folder), "--out", str(out))
    assert run(*own).exit_code == 0
    assert run(*own, "--check").exit_code == 0
    module = out / "openai.py"
    module.write_text(module.read_text(encoding="utf-8") + "# by hand\n", encoding="utf-8")
    result = run(*own, "--check")
    assert result.exit_code == cli.FINDING
    assert "-# by hand" in result.stdout
    assert f"run: bargein generate --tables {folder} --out {out}" in result.stdout


def test_explain_tells_what_happens_which_messages_go_out_why_and_where() -> None:
    result = run("explain", "openai", "response", "timed_out", "created")
    assert result.exit_code == 0
    for word in ("response.cancel", "Late. Cancel it by id", "response.yaml:", "openai.yaml:"):
        assert word in result.stdout
    told = json.loads(run("explain", "openai", "response", "timed_out", "created", "--json").stdout)
    assert told


def test_a_misspelt_state_is_a_usage_mistake_with_a_guess() -> None:
    result = run("explain", "openai", "response", "timedout", "created")
    assert result.exit_code == cli.USAGE
    assert "did you mean 'timed_out'" in result.stderr


@pytest.mark.parametrize("engine", ["table", "transitions"])
def test_the_demo_upholds_the_law_and_its_journal_replays(tmp_path: Path, engine: str) -> None:
    """Emulator, bridge and caller on real sockets; both engines."""
    result = run("demo", "--json", "--journal", str(tmp_path), "--engine", engine)
    assert result.exit_code == 0, result.stderr
    demo = json.loads(result.stdout)
    assert demo["violations"] == []
    outcomes = [item["outcome"] for item in demo["items"]]
    assert outcomes == ["partial", "skipped", "full", "skipped", "skipped"]
    first, second, whole, *unheard = demo["items"]
    assert 0 < first["remembered_ms"] <= first["heard_ms"] < first["generated_ms"]
    assert second["sent_ms"] > second["heard_ms"] == second["remembered_ms"] == 0
    assert whole["heard_ms"] == whole["remembered_ms"] == whole["generated_ms"]
    assert all(item["generated_ms"] > item["heard_ms"] == 0 for item in unheard)
    assert sorted(demo["handles"].values()) == [
        "completed",
        "interrupted",
        "interrupted",
        "timed_out",
    ]
    for other in ("table", "transitions"):
        assert run("replay", demo["journal"], "--engine", other).exit_code == 0


def test_replay_names_the_first_difference(tmp_path: Path) -> None:
    journal = make_journal(tmp_path)
    text = journal.read_text(encoding="utf-8")
    journal.write_text(text.replace("response.create", "response.creature", 1), encoding="utf-8")
    result = run("replay", str(journal))
    assert result.exit_code == cli.FINDING
    assert "response.creature" in result.stdout
    assert "response.create" in result.stdout


def test_what_is_no_journal_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n", encoding="utf-8")
    result = run("replay", str(path))
    assert result.exit_code == cli.USAGE
    assert "notes.txt:1" in result.stderr


def make_journal(folder: Path) -> Path:
    """A short journal of a call without sockets."""
    from bargein import Session, Settings, adapters
    from bargein.runtime.journal import Journal, header

    provider, transport = adapters.provider("openai"), adapters.transport("twilio")
    journal = Journal(folder / "call.jsonl")
    journal.begin(header(provider, transport, Settings()))
    ref, actions = Session(provider, transport, Settings()).request(0, instructions="Hello.")
    arguments = {"instructions": "Hello.", "input": None, "tools": None, "beside": False}
    journal.verb(0, "request", arguments, ref, actions)
    journal.close(0, "closed: done")
    return journal.path


BRIDGE = ("bridge", "--provider", "openai", "--carrier", "twilio", "--provider-url", "ws://x")


@pytest.mark.parametrize(
    ("options", "variable"),
    [
        (("--provider", "openai"), "OPENAI_API_KEY"),
        (("--provider", "gemini"), "GEMINI_API_KEY"),
        (("--provider", "openai", "--key-env", "MY_KEY"), "MY_KEY"),
    ],
)
def test_a_key_that_is_missing_is_named_by_its_variable(
    options: tuple[str, ...], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the provider's table names it; where the provider is somebody's own server, a key is optional."""
    monkeypatch.delenv(variable, raising=False)
    result = run("bridge", *options, "--carrier", "twilio")
    assert result.exit_code == cli.USAGE
    assert f"{variable} is not set: it holds the key of" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--listen", "8080"), "expected HOST:PORT"),
        (("--control", "0.0.0.0:0"), "needs a token"),
        (("--provider", "opnai"), "did you mean 'openai'"),
        (("--carrier", "twillio"), "did you mean 'twilio'"),
        (("--provider-url", "http://x"), "must be ws://"),
        (("--settings", "nowhere.yaml"), "nowhere.yaml"),
        (("--engine", "steam"), "unknown engine"),
    ],
)
def test_a_bridge_that_cannot_be_is_refused_in_one_line(
    arguments: tuple[str, str], says: str, tmp_path: Path
) -> None:
    given = (*BRIDGE, "--listen", "127.0.0.1:0", "--control", "none", "--journal", str(tmp_path))
    result = run(*given, *arguments)
    assert result.exit_code == cli.USAGE
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "arguments",
    [
        ("emulate", "openai", "--listen", "127.0.0.1:0"),
        (*BRIDGE, "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--journal", "none"),
    ],
    ids=["emulate", "bridge"],
)
def test_a_server_ends_cleanly_when_told(
    arguments: tuple[str, ...], signal_number: signal.Signals
) -> None:
    """Ctrl-C and a polite kill: no trace, status 0."""
    with subprocess.Popen(
        [*BARGEIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal_number)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert out.endswith("bye\n")


def test_help_teaches_every_command() -> None:
    text = run("--help").stdout
    for command in (
        "check",
        "generate",
        "diagram",
        "explain",
        "demo",
        "bridge",
        "emulate",
        "replay",
    ):
        assert command in text
        assert run(command, "--help").exit_code == 0


def test_codes_are_listed_with_their_meaning() -> None:
    listed = json.loads(run("check", "--codes", "--json").stdout)
    assert listed
    assert all(meaning for meaning in listed.values())
