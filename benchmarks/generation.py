"""How long `bargein generate` takes for everything, as a user waits for it."""

import subprocess
import sys
import time
from pathlib import Path

from .measure import Effort, Row, Tick, spread

ROOT = Path(__file__).resolve().parent.parent
BUDGET_S = 1.0
_COMMAND = "from bargein.cli import main; main()"


def command_s() -> float:
    """Seconds of `bargein generate --check`: reads, checks, renders, formats and compares everything."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, "generate", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed = time.perf_counter() - start
    # 1 is "something is stale", and it took as long to find that.
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise RuntimeError(f"bargein generate --check ended with {done.returncode}: {done.stderr}")
    return elapsed


def start_s() -> float:
    """Seconds an interpreter takes to start and to load the command line, included in the above."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import bargein.cli"], cwd=ROOT, check=True)
    return time.perf_counter() - start


def measure(effort: Effort, tick: Tick) -> list[Row]:
    """The row of the generator."""
    whole, started = [], []
    for _ in range(max(1, effort.bridge_rounds)):
        whole.append(command_s())
        started.append(start_s())
        tick()
    took, start = spread(whole), spread(started)
    return [
        Row(
            id="generate",
            what="`bargein generate --check` of everything",
            budget="≤ 1 s",
            measured=f"{took.median:.2f} s",
            spread=f"{took.low:.2f} … {took.high:.2f} s",
            met=took.median <= BUDGET_S,
            made_of=f"{start.median:.2f} s start the interpreter and load the command line; the rest reads and "
            "checks the tables, renders, and formats",
            numbers={"seconds": took.median, "start_seconds": start.median},
        )
    ]
