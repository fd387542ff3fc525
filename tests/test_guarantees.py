"""The page of guarantees and its command: whole, honest about what is missing, and up to date."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bargein import cli, guarantees
from bargein.diagrams.draw import check, write
from bargein.diagrams.guarantees import guarantees_page
from bargein.statemachines.authority import ACTS, CAUSES, can_be_manual
from bargein.statemachines.claims import Told
from bargein.statemachines.explain import UnknownName
from bargein.statemachines.guarantees import no_call
from bargein.statemachines.loader import load_all
from bargein.statemachines.model import Provider

ROOT = Path(__file__).resolve().parent.parent
TABLES = load_all()

guarantees.add_to(cli.app)


def page() -> str:
    def place(told: Told) -> str:
        return f"../{Path(told.file).name}#L{told.line}"

    return guarantees_page(TABLES, place)


PAGE = page()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["guarantees", *arguments])


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's tables, without their heads."""
    lines = [line for line in section(title).split("\n") if line.startswith("|")]
    heads = [at for at, line in enumerate(lines) if re.fullmatch(r"[|-]+", line)]
    body = [line for at, line in enumerate(lines) if at not in heads and at + 1 not in heads]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in body]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


SECTIONS = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)


# -- the page -----------------------------------------------------------------------------------------


def test_the_page_in_the_repository_is_that_of_the_tables() -> None:
    """What is promised is what is run."""
    assert [f"{change}\n{change.diff}" for change in check(ROOT, ["guarantees"])] == []


@pytest.mark.parametrize("title", SECTIONS)
def test_no_cell_is_empty(title: str) -> None:
    """A cell without words would read as a promise."""
    assert rows(title)
    for row in rows(title):
        assert all(row), row


def test_every_pair_that_can_hold_a_call_stands_on_the_page_once_and_no_other() -> None:
    """A row about a call that nobody can hold would be a promise about nothing."""
    pairs = [
        (provider, transport)
        for providers, on, *_ in rows("What holds")
        for provider in named(providers)
        for transport in named(on)
    ]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == {
        (p.provider, t.transport)
        for p in TABLES.providers.values()
        for t in TABLES.transports.values()
        if no_call(p, t) is None
    }
    assert ("openai", "twilio") in pairs
    assert not {("openai", "server_played"), ("openai_webrtc", "twilio")} & set(pairs)


def test_every_cause_of_every_provider_stands_on_the_page_once_with_one_actor_for_each_act() -> (
    None
):
    """Also where the session says when the caller speaks: there the rows tell only what differs."""
    seen: list[tuple[str, str]] = []
    for row in rows("Who acts"):
        if len(row) != 2 + len(ACTS):
            continue
        providers, causes, *acts = row
        manual = causes.endswith("where we say when the caller speaks")
        for act in acts:
            assert re.match(r"\*\*(we|the server|nobody)\*\*: .", act), act
            assert len(re.findall(r"\*\*(?:we|the server|nobody)\*\*", act)) == 1
        for provider in named(providers):
            assert not manual or can_be_manual(TABLES.providers[provider])
            seen += [(provider, cause) for cause in causes.split(", ") if not manual]
    assert len(seen) == len(set(seen))
    names = {cause.replace("_", "-" if cause == "hang_up" else " ") for cause in CAUSES}
    assert set(seen) == {(p, name) for p in TABLES.providers for name in names}


def test_every_state_a_response_can_be_in_when_it_is_interrupted_is_told() -> None:
    told = [re.findall(r"\*\*(\w+)\*\*", row[0])[0] for row in rows("At other moments")]
    assert told == list(TABLES.machines["response"].states)


def test_every_carrier_is_told() -> None:
    assert [named(row[0])[0] for row in rows("Carriers")] == list(TABLES.transports)
    assert len(rows("Pairs")) == len(TABLES.providers)


def test_every_reason_leads_to_the_row_that_gives_it() -> None:
    for _, row, decides, _ in rows("Reasons"):
        assert re.fullmatch(r"\[`[^`]+`\]\(\.\./\w+\.yaml#L\d+\)", row)
        assert decides


@pytest.mark.parametrize("provider", TABLES.providers.values(), ids=TABLES.providers)
def test_a_reason_that_a_table_gives_is_on_the_page(provider: Provider) -> None:
    """The table's own words, not ours about it."""
    for name in ("cancel", "identifies"):
        why = provider.can[name].why
        if why is not None:
            plain = re.sub(r"\\(.)", r"\1", section("Reasons"))
            assert why in plain


# -- written and checked by one command ---------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a provider of its own, laid out like this one."""
    folder = tmp_path / "statemachines" / "providers"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("provider: mine\nextends: openai\nis: A server of our own.\n")
    (tmp_path / "docs").mkdir()
    return tmp_path


def test_the_page_is_written_beside_the_drawings_and_checked_with_them(project: Path) -> None:
    path = project / "docs" / "guarantees.md"
    assert path in write(project)
    assert check(project) == []
    text = path.read_text("utf-8")
    assert str(project) not in text
    path.write_text(text.replace("**we**", "**nobody**"), "utf-8")
    (change,) = check(project)
    assert (change.path, change.what) == (path, "stale")
    assert "docs/guarantees.md (from the tables)" in change.diff
    assert write(project, ["guarantees"]) == [path]
    assert check(project) == []


def test_a_hand_written_page_in_docs_is_nobody_s_business(project: Path) -> None:
    (project / "docs" / "notes.md").write_text("# By hand\n")
    write(project)
    assert (project / "docs" / "notes.md").read_text() == "# By hand\n"


def test_a_folder_of_tables_alone_gets_no_page(tmp_path: Path) -> None:
    (tmp_path / "providers").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "providers" / "mine.yaml").write_text(
        "provider: mine\nextends: openai\nis: A server of our own.\n"
    )
    write(tmp_path)
    assert list((tmp_path / "docs").iterdir()) == []
    with pytest.raises(UnknownName, match="guarantees"):
        write(tmp_path, ["guarantees"])


def test_a_page_on_which_two_would_cancel_is_not_written(project: Path) -> None:
    """And the drawings are not either: nothing is half done."""
    table = project / "statemachines" / "providers" / "mine.yaml"
    table.write_text(table.read_text() + "hooks: {response.cancel: [{send: cancel}]}\n")
    result = CliRunner().invoke(cli.app, ["diagram", "--root", str(project)])
    assert result.exit_code == cli.FINDING
    assert "caller: cancel is done by the server" in result.stderr
    assert not (project / "diagrams").exists()
    assert not (project / "docs" / "guarantees.md").exists()


# -- the command --------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", TABLES.providers)
def test_the_command_tells_of_every_provider(provider: str) -> None:
    result = run(provider)
    assert result.exit_code == cli.OK, result.stderr
    for word in (provider, "cancel", "memory", "hang up", "Why:", ".yaml:"):
        assert word in result.stdout


def test_a_transport_on_which_there_is_no_call_promises_nothing_and_says_why() -> None:
    result = run("openai")
    table, _, rest = result.stdout.partition("No call on server_played: ")
    assert "twilio" in table
    assert "server_played" not in table
    assert rest.startswith("nobody would play what the provider says.")
    assert "What holds" not in run("openai", "--transport", "server_played").stdout
    told = json.loads(run("openai_webrtc", "--json").stdout)
    (provider,) = told["providers"]
    assert [pair["transport"] for pair in provider["guarantees"]] == ["server_played"]
    assert provider["no_call"]["twilio"] == "the provider's server plays by itself"


def test_without_a_provider_all_are_told_in_short() -> None:
    result = run("--transport", "twilio")
    assert result.exit_code == cli.OK
    flat = re.sub(r"\s", "", result.stdout)
    assert all(provider in flat for provider in TABLES.providers)
    assert "browser" not in result.stdout
    assert "bargein guarantees PROVIDER" in result.stdout


def test_machines_get_every_answer_with_its_reason_and_row() -> None:
    told = json.loads(run("gemini", "--transport", "browser", "--json").stdout)
    (gemini,) = told["providers"]
    assert list(gemini["authority"]) == list(CAUSES)
    assert gemini["authority_manual"]["application"]["cancel"]["who"] == "we"
    cancel = gemini["authority"]["application"]["cancel"]
    assert (cancel["who"], cancel["how"]) == ("nobody", "fenced")
    assert cancel["told"]["key"] == "can.cancel"
    assert cancel["told"]["file"].endswith("providers/gemini.yaml")
    assert cancel["why"]
    (pair,) = gemini["guarantees"]
    assert set(pair["promises"]) == {"silence", "ghosts", "cancel", "memory"}
    (browser,) = told["transports"]
    assert browser["overdue_ms"] == 2_000
    everyone = json.loads(run("--json").stdout)
    assert [each["provider"] for each in everyone["providers"]] == list(TABLES.providers)


def test_a_provider_of_one_s_own_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "providers"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "provider: mine\nextends: openai\nis: A server of our own.\n"
        "can: {finishes: {is: usually, why: It forgets.}}\n"
    )
    result = run("mine", "--tables", str(tmp_path), "--json")
    assert result.exit_code == cli.OK, result.stderr
    (mine,) = json.loads(result.stdout)["providers"]
    assert {pair["promises"]["cancel"]["kept"] for pair in mine["guarantees"]} == {"in part"}


def test_a_table_in_which_two_would_cancel_is_a_finding(tmp_path: Path) -> None:
    folder = tmp_path / "providers"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "provider: mine\nextends: openai\nis: A server of our own.\n"
        "hooks: {response.cancel: [{send: cancel}]}\n"
    )
    result = run("mine", "--tables", str(tmp_path))
    assert result.exit_code == cli.FINDING
    assert "caller: cancel is done by the server (can.interrupts_itself) and we" in result.stderr
    assert re.search(r"openai\.yaml:\d+", result.stderr)


@pytest.mark.parametrize("words", [["opnai"], ["openai", "--transport", "twillio"]])
def test_a_misspelt_name_is_a_usage_mistake_with_a_guess(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == cli.USAGE
    assert "did you mean" in result.stderr
