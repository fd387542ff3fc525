"""docs/new-provider.md, followed to the letter: its files are written, its commands run, their output is compared."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

PAGE = Path(__file__).parent.parent / "docs" / "new-provider.md"
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LIST = re.compile(r"^(MESSAGES: .*?^\]\n)", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    """(language, file, text) of every block of the page, in order."""
    return [(m[1], m[2] or "", m[3]) for m in _BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


def commands(console: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def tools(folder: Path) -> dict[str, str]:
    """An environment in which `bargein`, `pytest` and `python` are those of this interpreter."""
    python = shlex.quote(sys.executable)
    folder.mkdir()
    for name, runs in {
        "python": "",
        "pytest": "-m pytest -p no:cacheprovider",
        "bargein": "-c 'from bargein.cli import main; main()'",
    }.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {python} {runs} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    paths = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {**os.environ, "PATH": paths, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}


def same(expected: str, printed: str) -> bool:
    """Line for line; `...` stands for anything."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, printed, options)


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Written once, in the order of the page, in an empty folder outside the repository."""
    here, environment = tmp_path / "here", tools(tmp_path / "bin")
    here.mkdir()
    ran = 0
    for language, name, text in blocks():
        if language == "console":
            for command, expected in commands(text):
                done = subprocess.run(
                    ["sh", "-c", command], cwd=here, env=environment, timeout=60,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                )  # fmt: skip
                assert same(expected, done.stdout), f"$ {command}\n{done.stdout}"
                ran += 1
        elif text.startswith("MESSAGES"):
            path = here / name
            before, _, after = _LIST.split(path.read_text("utf-8"))
            path.write_text(f"{before}{text}{after}", encoding="utf-8")
        else:
            (here / name).write_text(text, encoding="utf-8")
    assert ran >= 10


def test_a_provider_is_less_than_eighty_lines() -> None:
    """The table of the page, and no Python for it."""
    (text,) = [text for language, _, text in blocks() if language == "yaml"]
    assert len(text.splitlines()) < 80
    assert yaml.safe_load(text)["provider"] == "parrot"
