"""`bargein verify` as people and machines use it: what they see, what they get, and the exit status they rely on."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from bargein import adapters, cli, verify
from bargein.codegen.generate import load
from bargein.places import Places
from bargein.runs import Run
from bargein.simulator.properties import PROPERTIES
from bargein.simulator.verify import Report
from bargein.simulator.verify import verify as search
from bargein.simulator.worlds import PLANS, Plan
from bargein.statemachines.tables import ROOM
from bargein.verdict import as_json, show

from .mutants import MUTANTS, apply

ROOT = Path(__file__).resolve().parent.parent
BARGEIN = [sys.executable, "-c", "from bargein.cli import main; main()"]
SMALL = ("openai", "--world", "words")
SILENCED = "the-carrier-is-never-told"
"""A barge-in that does not clear what the carrier holds: I5, and every world has it."""

verify.add_to(cli.app)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["verify", *arguments])


def printed(result: Result) -> list[str]:
    return result.stdout.rstrip().splitlines()


def mutated(name: str, folder: Path) -> Path:
    (mutant,) = [each for each in MUTANTS if each.name == name]
    return apply(mutant, folder)


def line_of(path: Path, words: str) -> int:
    (number,) = [
        at
        for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if words in line
    ]
    return number


@pytest.fixture
def patched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables with a bug, seen from a folder that is not theirs."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return mutated(SILENCED, tmp_path / "patched")


def test_tables_that_are_right_hold_and_say_within_which_bounds() -> None:
    result = run(*SMALL, "--world", "repeated")
    assert result.exit_code == cli.OK, result.output
    assert printed(result)[-1].startswith(
        f"openai on twilio: all {len(PROPERTIES)} properties hold within these bounds: 2 worlds, "
    )
    assert result.stdout.count("holds within these bounds") == len(PROPERTIES)
    for number, each in PROPERTIES.items():
        (row,) = [line for line in printed(result) if line.startswith(f"{number} ")]
        assert each.name.split(",")[0] in row
    assert "reached: requests=1, interrupts=1" in result.stdout
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["repeated", "words"]


def test_rows_that_never_fired_are_listed_with_their_lines() -> None:
    """Of those that have something to do each is told; where the table says that nothing is done, it says so."""
    result = run(*SMALL)
    lost = line_of(ROOM / "response.yaml", "lost:      {go: cancelled, do: [cut, resolve_failed")
    told = f"statemachines/response.yaml:{lost}  response: created, lost -> cancelled; cut,"
    assert any(told in line for line in printed(result))
    twice = line_of(ROOM / "response.yaml", "Announced twice; the first name stands")
    idle = [line for line in printed(result) if f"statemachines/response.yaml:{twice} " in line]
    assert idle == [f"  statemachines/response.yaml:{twice}  response: created, created"]
    where = printed(result).index("never exercised; the table says that they do nothing:")
    assert printed(result).index(idle[0]) > where
    assert "judged only when all worlds are searched" in result.stdout


@pytest.mark.parametrize("width", [80, 120])
def test_a_bug_is_shown_with_the_property_and_the_row(
    width: int, patched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    result = run(*SMALL, "--world", "strict", "--tables", str(patched))
    assert result.exit_code == cli.FINDING, result.output
    together = " ".join(result.stdout.split())
    assert "I5: Silence follows playback, not generation" in together
    assert "0 clears are sent, and covered speech is at the carrier" in together
    assert PROPERTIES["I5"].says in together
    row = line_of(patched / "response.yaml", "do: [cancel, cut, resolve_interrupted]")
    assert f"response.yaml:{row}" in together
    assert together.count("VIOLATION") == 1
    assert "not searched after the counterexample: strict" in together
    assert "hold within these bounds" not in together
    assert printed(result)[-1].startswith("openai on twilio: BROKEN: I5, ")
    longest = max(len(line) for line in printed(result)[:-1])
    assert longest <= width


def test_a_search_that_was_cut_short_is_never_green() -> None:
    result = run(*SMALL, "--world", "strict", "--max-states", "100")
    assert result.exit_code == cli.USAGE
    assert printed(result)[-1].startswith("openai on twilio: NOT FINISHED: 'words' and 'strict'")
    assert "holds within these bounds" not in result.stdout
    found = json.loads(run(*SMALL, "--max-states", "100", "--json").stdout)
    assert found["verdict"] == found["runs"][0]["verdict"] == "truncated"
    assert {each["verdict"] for each in found["runs"][0]["properties"]} == {"not decided"}


def test_a_bug_that_is_found_counts_although_another_search_was_cut_short(patched: Path) -> None:
    result = run(*SMALL, "--world", "superseded", "--max-states", "70", "--tables", str(patched))
    assert result.exit_code == cli.FINDING, result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["opnai"], "did you mean 'openai'"),
        (["openai", "--transport", "twillio"], "did you mean 'twilio'"),
        (["openai", "--world", "strickt"], "did you mean 'strict'"),
        (["openai", "--engine", "tabel"], "did you mean 'table'"),
        (["openai", "--bounds", "request=2"], "did you mean 'requests'"),
        (["openai", "--bounds", "requests"], "NAME=N"),
        (["openai", "--bounds", "requests=-1"], "NAME=N"),
        (["openai", "--bounds", "requests=1,requests=2"], "twice"),
        (["openai", "--bounds", "items=0"], "at least 1"),
        (["openai", "--jobs", "0"], "--jobs"),
        (["openai", "--json", "--mermaid", "-"], "standard output"),
        (["openai", "--write-test", "found.txt"], "Python file"),
        (["openai", "--write-test", "nowhere/test_found.py"], "no such folder"),
        (["openai", "--mermaid", "."], "a folder"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_is_searched(
    arguments: list[str], told: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == cli.USAGE
    assert told in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_broken_table_is_told_as_check_tells_it(tmp_path: Path) -> None:
    folder = mutated(SILENCED, tmp_path / "tables")
    response = folder / "response.yaml"
    text = response.read_text(encoding="utf-8").replace("go: streaming", "go: streeming", 1)
    response.write_text(text, encoding="utf-8")
    result = run(*SMALL, "--tables", str(folder))
    assert result.exit_code == cli.FINDING
    assert "did you mean 'streaming'" in result.stderr
    assert f"response.yaml:{line_of(response, 'streeming')}:" in result.stderr


def test_bounds_reach_the_worlds_and_are_told() -> None:
    found = json.loads(run(*SMALL, "--bounds", "interrupts=0, deltas=1", "--json").stdout)
    (world,) = found["runs"][0]["worlds"]
    assert (world["bounds"]["interrupts"], world["bounds"]["deltas"]) == (0, 1)
    assert world["reached"] == ["requests=1"]
    assert world["states"] < 100


def test_a_world_is_found_by_a_name_that_needs_no_quotes() -> None:
    found = json.loads(run("--list", "--json", "--world", "hung-up").stdout)
    assert [each["name"] for each in found["worlds"]] == ["hung up"]


def test_json_holds_everything_and_nothing_else_is_said() -> None:
    result = run(*SMALL, "--json")
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert (found["format"], found["finished"], found["verdict"]) == (1, True, "holds")
    (only,) = found["runs"]
    assert (only["provider"], only["transport"], only["tables"]) == (
        "openai",
        "twilio",
        "statemachines",
    )
    numbers = ("states", "edges", "depth", "states_per_s", "edges_per_s", "session_steps")
    assert all(only[name] > 0 for name in numbers)
    assert [each["number"] for each in only["properties"]] == list(PROPERTIES)
    coverage = only["coverage"]
    assert coverage["rows"] == coverage["exercised"] + len(coverage["unexercised"])
    assert only["sometimes"] == {"judged": False, "never": [], "not_asked_for": []}
    assert only["counterexample"] is None
    again = json.loads(run(*SMALL, "--json").stdout)
    assert steady(found) == steady(again)


def steady(found: Any) -> Any:  # noqa: ANN401  JSON
    """What does not hang on the speed of a machine."""
    if isinstance(found, dict):
        return {k: steady(v) for k, v in found.items() if k != "seconds" and "per_s" not in k}
    return [steady(each) for each in found] if isinstance(found, list) else found


def test_json_tells_the_counterexample_step_by_step(patched: Path) -> None:
    result = run(*SMALL, "--tables", str(patched), "--json")
    assert result.exit_code == cli.FINDING
    found = json.loads(result.stdout)["runs"][0]["counterexample"]
    assert (found["number"], found["world"]) == ("I5", "words")
    assert found["moves"][0] == [["request", False]]
    assert [each["step"] for each in found["steps"]] == list(range(1, len(found["steps"]) + 1))
    (violation,) = [each for each in found["steps"] if each["kind"] == "violation"]
    assert (violation["at"], violation["to"], violation["text"]) == (
        "application",
        "session",
        "interrupt everything",
    )
    places = [row["place"] for row in violation["rows"]]
    row = line_of(patched / "response.yaml", "do: [cancel, cut, resolve_interrupted]")
    assert f"patched/response.yaml:{row}" in places


def test_no_path_of_this_machine_is_printed(patched: Path, tmp_path: Path) -> None:
    for more in ((), ("--json",), ("--mermaid", "-")):
        result = run(*SMALL, "--tables", str(patched), *more)
        assert str(tmp_path) not in result.output
        assert str(ROOT) not in result.output


def test_mermaid_to_standard_output_is_markdown_alone(patched: Path) -> None:
    result = run(*SMALL, "--tables", str(patched), "--mermaid", "-")
    assert result.stdout.startswith("### I5: Silence follows playback, not generation\n")
    assert "sequenceDiagram" in result.stdout
    assert "BROKEN: I5" in result.stderr
    run(*SMALL, "--tables", str(patched), "--mermaid", "found.md")
    assert Path("found.md").read_text(encoding="utf-8") == result.stdout


def test_where_nothing_is_broken_nothing_is_written(tmp_path: Path) -> None:
    drawing, test = tmp_path / "found.md", tmp_path / "test_found.py"
    result = run(*SMALL, "--mermaid", str(drawing), "--write-test", str(test))
    assert result.exit_code == cli.OK
    assert "nothing was written" in result.stderr
    assert not drawing.exists()
    assert not test.exists()


def test_the_test_it_writes_fails_with_the_bug_and_passes_without(
    patched: Path, tmp_path: Path
) -> None:
    test = tmp_path / "test_found.py"
    result = run(*SMALL, "--tables", str(patched), "--write-test", str(test))
    assert result.exit_code == cli.FINDING
    assert "pytest" in result.stderr
    text = test.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "VIOLATION: application -> session: interrupt everything" in text
    assert "def test_i5_silence_follows_playback_not_generation()" in text
    pytest_run = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
        str(test),
    ]
    red = subprocess.run(
        pytest_run,
        env=os.environ | {"BARGEIN_TABLES": str(patched)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert red.returncode == 1, red.stdout
    assert "I5: 0 clears are sent" in red.stdout
    green = subprocess.run(pytest_run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert green.returncode == 0, green.stdout


def test_a_file_is_replaced_only_by_force(patched: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_mine.py"
    test.write_text("precious\n", encoding="utf-8")
    arguments = (*SMALL, "--tables", str(patched), "--write-test", str(test))
    refused = run(*arguments)
    assert refused.exit_code == cli.USAGE
    assert "--force" in refused.stderr
    assert test.read_text(encoding="utf-8") == "precious\n"
    assert run(*arguments, "--force").exit_code == cli.FINDING
    assert "MOVES" in test.read_text(encoding="utf-8")


def test_an_adapter_behind_its_table_is_told_and_the_table_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables of the repository one stands in are meant, not those of the bargein that runs."""
    mutated(SILENCED, tmp_path / "statemachines")
    shutil.copytree(ROOT / "adapters", tmp_path / "adapters")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "bargein"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = run(*SMALL)
    assert result.exit_code == cli.FINDING
    behind = [line for line in result.stderr.splitlines() if "is behind its table" in line]
    assert behind == [
        "adapters/openai.py is behind its table: this verifies what `bargein generate` would write"
    ]
    assert json.loads(run(*SMALL, "--json").stdout)["runs"][0]["behind"] == ["adapters/openai.py"]


def test_two_engines_and_two_jobs_see_the_same() -> None:
    arguments = (*SMALL, "--world", "repeated", "--json")
    plain = json.loads(run(*arguments).stdout)["runs"][0]
    other = json.loads(run(*arguments, "--engine", "transitions").stdout)["runs"][0]
    assert other["engine"] == "transitions"
    both = json.loads(run(*arguments, "--jobs", "2").stdout)["runs"][0]
    for found in (other, both):
        assert steady(found) == steady(plain) | {"engine": found["engine"]}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_control_c_ends_it_at_once_and_proves_nothing(jobs: str) -> None:
    """Only the first process is told: its searches must end with it, or the pipes would stay open."""
    worlds = ("--world", "superseded", "--world", "beside", "--bounds", "interrupts=2")
    search = subprocess.Popen(
        [*BARGEIN, "verify", "openai", *worlds, "--jobs", jobs],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert search.stderr is not None
    assert search.stderr.readline().startswith("superseded: ")
    search.send_signal(signal.SIGINT)
    out, err = search.communicate(timeout=20)
    assert search.returncode == cli.INTERRUPTED
    assert out.rstrip().endswith("not finished: nothing is proved")
    assert "superseded" in out
    assert "Traceback" not in err


def test_the_list_tells_worlds_bounds_and_properties() -> None:
    result = run("--list")
    assert result.exit_code == cli.OK
    together = " ".join(result.stdout.split())
    for plan in PLANS:
        assert plan.says in together
    for number, each in PROPERTIES.items():
        assert f"{number} {each.name}. " in together
    listed = json.loads(run("--list", "--json", "--bounds", "requests=3").stdout)
    assert {each["bounds"]["requests"] for each in listed["worlds"]} == {3}


# -- sometimes --------------------------------------------------------------------------------------


def judged(plans: tuple[Plan, ...], whole: bool) -> Run:
    provider, transport = adapters.provider("openai"), adapters.transport("twilio")
    places = Places(load(ROOM), ROOM, provider, transport)
    report: Report = search(provider, transport, plans)
    return Run(
        report=report,
        plans=plans,
        places=places,
        tables="statemachines",
        behind=[],
        engine="table",
        whole=whole,
        seconds=1.0,
    )


def test_what_never_happens_is_a_failure_only_where_all_was_searched() -> None:
    """In one small world hardly anything happens, and that is no finding; in all worlds it is one."""
    plans = tuple([plan for plan in PLANS if plan.name == "words"])
    assert judged(plans, whole=False).verdict == "holds"
    found = judged(plans, whole=True)
    assert found.verdict == "never"
    console = Console(width=100, file=io.StringIO())
    with console.capture() as captured:
        show(found, console)
    text = captured.get()
    row = line_of(ROOM / "response.yaml", "deadline:  {go: timed_out, do: [cancel, cut,")
    assert (
        f"FAILED: never happens: statemachines/response.yaml:{row}  response: created, deadline\n"
        in text
    )
    assert text.rstrip().splitlines()[-1].startswith("openai on twilio: NEVER: ")
    never = as_json(found)["sometimes"]["never"]
    assert {"what": "a handle resolves timed_out", "place": None} in never
