"""The benchmarks run and say what they promise. No time is asserted: that is what the benchmarks are for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

BUDGETED = {
    "audio.routed",
    "control.transition",
    "memory.idle",
    "generate",
    "bridge.mix.equal",
    "bridge.mix.journal",
    "bridge.speech.equal",
    "bridge.speech.journal",
}
"""Rows that have a budget and are measured even in the smallest run (the added latency needs 200 calls)."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """One smallest run of everything, from the command a contributor types."""
    path = tmp_path_factory.mktemp("benchmarks") / "report.json"
    done = subprocess.run(
        [sys.executable, "benchmarks/run.py", "--smoke", "--json", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, object] = json.loads(path.read_text())
    return read


def test_every_benchmark_runs_and_gives_positive_numbers(report: dict[str, object]) -> None:
    """A benchmark that broke unnoticed would leave old numbers standing in the docs."""
    rows = report["rows"]
    assert isinstance(rows, list)
    for row in rows:
        assert row["measured"], row["id"]
        assert all(isinstance(n, int | float) for n in row["numbers"].values()), row["id"]
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert {row["id"] for row in rows if row["budget"] != "–"} == BUDGETED
    for id_, number in (("audio.routed", "routed_us"), ("control.transition", "table_us")):
        assert rows[ids.index(id_)]["numbers"][number] > 0


def test_numbers_come_with_the_machine_and_the_versions_they_were_measured_on(
    report: dict[str, object],
) -> None:
    """A number without its machine cannot be compared with anything."""
    machine = report["machine"]
    assert isinstance(machine, dict)
    assert machine["processor"]
    assert machine["python"]
    assert set(machine["versions"]) >= {"openai", "transitions", "aiohttp", "msgspec"}


def test_the_page_keeps_its_markers_so_that_the_table_can_be_renewed() -> None:
    """The table is written by the benchmark alone; without its markers it could not be."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    begin, end = page.find("<!-- measured: begin"), page.find("<!-- measured: end")
    assert 0 <= begin < end
    assert "| what | budget | measured | spread | met | made of |" in page[begin:end]


def test_the_page_cannot_be_written_from_a_partial_run() -> None:
    """Twenty hurried seconds, or one benchmark alone, must not stand as the record."""
    done = subprocess.run(
        [sys.executable, "benchmarks/run.py", "--write-docs", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "whole run" in done.stderr
