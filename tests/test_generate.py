"""`generate`: files on disk are held to the tables, by a copy of the repository that may be spoilt."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bargein.codegen.errors import ForeignFile, GenerateError, RenderError, RepositoryNotFound
from bargein.codegen.generate import Change, find_repository, generate
from bargein.codegen.render import format_python
from bargein.statemachines.diagnostics import TableError

ROOT = Path(__file__).parent.parent
TABLES = ("response.yaml", "playback.yaml", "providers/openai.yaml", "transports/twilio.yaml")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of one provider and one transport, so that a changed table makes one module stale."""
    root = tmp_path_factory.mktemp("small")
    tables = root / "statemachines"
    for name in TABLES:
        (tables / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "statemachines" / name, tables / name)
    shutil.copytree(ROOT / "statemachines/schema", tables / "schema")
    shutil.copy(ROOT / "pyproject.toml", root)
    generate(root)
    return root


@pytest.fixture
def repository(small: Path, tmp_path: Path) -> Path:
    """The rooms the generator reads and writes, and the file that marks the repository."""
    return Path(shutil.copytree(small, tmp_path / "repository"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def names(changes: list[Change]) -> list[str]:
    return [change.path.name for change in changes]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# -- The repository ---------------------------------------------------------------------------------


def test_what_is_committed_is_what_the_tables_say() -> None:
    assert generate(ROOT, check=True) == []


def test_deleting_the_room_and_making_it_again_changes_nothing(repository: Path) -> None:
    before = contents(repository)
    shutil.rmtree(repository / "adapters")
    assert sorted(names(generate(repository))) == ["__init__.py", "openai.py", "twilio.py"]
    assert contents(repository) == before


def test_a_changed_table_makes_its_adapter_stale_until_it_is_generated(repository: Path) -> None:
    """The diff names the file and shows the line; checking writes nothing; generating mends it, once."""
    edit(
        repository / "statemachines/providers/openai.yaml",
        "audio_end_ms: $heard_ms",
        "end: $heard_ms",
    )
    before = contents(repository)
    for _ in range(2):
        (stale,) = generate(repository, check=True)
        assert stale.path == repository / "adapters/openai.py"
        assert stale.diff.startswith(
            "--- adapters/openai.py (as it is)\n+++ adapters/openai.py (as the tables say)\n@@"
        )
        assert "\n-    audio_end_ms: int\n+    end: int\n" in stale.diff
        assert contents(repository) == before
    assert names(generate(repository)) == ["openai.py"]
    assert generate(repository) == generate(repository, check=True) == []


@pytest.mark.parametrize("spoilt", ["", "def (", "# Mine.\n", "\0\n", "\ufffd"])
def test_a_spoilt_adapter_is_mended_whatever_is_in_it(repository: Path, spoilt: str) -> None:
    path = repository / "adapters/openai.py"
    before = path.read_bytes()
    path.write_bytes(spoilt.encode())
    assert names(generate(repository)) == ["openai.py"]
    assert path.read_bytes() == before


def test_line_ends_of_another_system_are_a_difference(repository: Path) -> None:
    """Compared byte for byte, as the digest of a release would be."""
    path = repository / "adapters/twilio.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert names(generate(repository, check=True)) == ["twilio.py"]


def test_a_file_that_is_right_is_not_touched(repository: Path) -> None:
    edit(
        repository / "statemachines/providers/openai.yaml",
        "{send: append}",
        "{send: append, why: Ears.}",
    )
    stamps = {p.name: p.stat().st_mtime_ns for p in (repository / "adapters").iterdir()}
    generate(repository)
    changed = [
        p.name
        for p in (repository / "adapters").iterdir()
        if p.stat().st_mtime_ns != stamps.get(p.name)
    ]
    assert changed == ["openai.py"]


def test_the_adapter_of_a_table_that_is_gone_goes_too_and_nothing_else(repository: Path) -> None:
    room = repository / "adapters"
    shutil.copy(room / "openai.py", room / "oldest.py")
    (room / "notes.py").write_text('"""Written by a person."""\n')
    (stale,) = generate(repository, check=True)
    assert stale.path == room / "oldest.py"
    assert stale.diff.splitlines()[:2] == ["--- adapters/oldest.py (as it is)", "+++ /dev/null"]
    generate(repository)
    assert sorted(p.name for p in room.iterdir()) == [
        "__init__.py",
        "notes.py",
        "openai.py",
        "twilio.py",
    ]


def test_a_table_that_extends_another_names_both_and_changes_with_either(repository: Path) -> None:
    """A provider that differs in one word is two lines of YAML."""
    tables = repository / "statemachines/providers"
    (tables / "azure.yaml").write_text(
        "# yaml-language-server: $schema=../schema/provider.schema.json\n"
        "provider: azure\nis: The same under another roof.\nextends: openai\n"
        "timeouts: {created_ms: {is: 7000}}\n"
    )
    assert sorted(names(generate(repository))) == ["__init__.py", "azure.py"]
    text = (repository / "adapters/azure.py").read_text()
    assert (
        "#   statemachines/providers/azure.yaml\n#   statemachines/providers/openai.yaml\n" in text
    )
    assert '"created_ms": 7000,' in text
    edit(tables / "openai.yaml", "audio_end_ms: $heard_ms", "end: $heard_ms")
    assert sorted(names(generate(repository))) == ["azure.py", "openai.py"]


def test_the_schemas_are_generated_with_the_adapters(repository: Path) -> None:
    schema = repository / "statemachines/schema/provider.schema.json"
    before = schema.read_bytes()
    schema.unlink()
    assert names(generate(repository)) == ["provider.schema.json"]
    assert schema.read_bytes() == before


def test_wrong_tables_are_all_named_and_nothing_is_written(repository: Path) -> None:
    edit(repository / "statemachines/providers/openai.yaml", "event: created", "event: craeted")
    edit(repository / "statemachines/transports/twilio.yaml", "send: media", "send: medai")
    shutil.rmtree(repository / "adapters")
    with pytest.raises(TableError) as caught:
        generate(repository)
    assert {"E012", "E043"} <= {finding.code for finding in caught.value.diagnostics}
    assert not (repository / "adapters").exists()


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_the_bytes_do_not_depend_on_the_hash_seed_nor_on_the_old_output(
    repository: Path, seed: str
) -> None:
    """In a fresh interpreter that cannot import the adapters, from another folder than the repository's."""
    before = contents(repository / "adapters")
    shutil.rmtree(repository / "adapters")
    script = (
        "import sys; sys.modules['bargein.adapters'] = None\n"
        "from pathlib import Path; from bargein.codegen.generate import generate\n"
        "generate(Path(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(repository)],
        env={"PYTHONHASHSEED": seed}, cwd=repository.parent, check=True, timeout=60,
    )  # fmt: skip
    assert contents(repository / "adapters") == before


# -- Where it works and where not -------------------------------------------------------------------


def test_the_repository_is_found_from_any_folder_in_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "statemachines/providers")
    assert find_repository() == repository
    assert generate(check=True) == []


@pytest.mark.parametrize(
    "pyproject", [None, "", "[project]\nname = 'other'\n", "project = 1\n", "]["]
)
def test_elsewhere_it_refuses_and_says_what_to_do(tmp_path: Path, pyproject: str | None) -> None:
    if pyproject is not None:
        (tmp_path / "pyproject.toml").write_text(pyproject)
    with pytest.raises(
        RepositoryNotFound, match=r"no bargein repository at .* or name a folder of tables"
    ):
        find_repository(tmp_path)


def test_tables_of_ones_own_become_a_package_of_ones_own(tmp_path: Path) -> None:
    """With the shipped machines, which need not be copied; and the shipped adapters are not made again."""
    (tmp_path / "tables/providers").mkdir(parents=True)
    (tmp_path / "tables/providers/mine.yaml").write_text(
        "provider: mine\nis: Mine.\nextends: openai\ncan: {delete: {is: none}}\n"
        "hooks: {playback.forget: []}\nsend: {delete: null}\n"
    )
    out = tmp_path / "package"
    assert sorted(names(generate(tables=tmp_path / "tables", out=out))) == [
        "__init__.py",
        "mine.py",
    ]
    assert generate(tables=tmp_path / "tables", out=out) == []
    script = "import package; print(package.provider('mine').forget('op', None))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("()\n", "")


def test_a_file_of_ones_own_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "openai.py").write_text("import openai\n")
    with pytest.raises(ForeignFile, match="was not made by bargein generate; move it away"):
        generate(tables=ROOT / "statemachines", out=tmp_path)
    assert contents(tmp_path) == {"openai.py": b"import openai\n"}


def test_half_a_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GenerateError, match="both a folder of tables and a folder to write"):
        generate(tables=tmp_path)
    with pytest.raises(TableError, match="no tables here"):
        generate(tables=tmp_path, out=tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(GenerateError, match=r"cannot write .*\.py: "):
        generate(tables=ROOT / "statemachines", out=tmp_path / "out")


def test_two_modules_of_one_name_are_refused(repository: Path) -> None:
    edit(
        repository / "statemachines/transports/twilio.yaml",
        "transport: twilio",
        "transport: openai",
    )
    twilio = repository / "statemachines/transports/twilio.yaml"
    twilio.rename(twilio.with_name("openai.yaml"))
    with pytest.raises(GenerateError, match="a provider and a transport are both called openai"):
        generate(repository)


def test_code_that_is_not_python_is_a_defect_of_the_generator_and_says_where() -> None:
    with pytest.raises(RenderError, match=r"acme\.py"):
        format_python({"acme.py": "def (:\n"})
