"""The processes of the bridge's benchmark: the load generator, and the programs it loads, each on its processor."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

RELAY, BRIDGE, JOURNALLED = "relay", "bridge", "journalled"
PROGRAMS = {
    RELAY: "benchmarks.relay",
    BRIDGE: "benchmarks.bridged",
    JOURNALLED: "benchmarks.bridged",
}

_ATTEMPTS = 2
_CALM = 0.02
"""The share of a calm round that a program may wait for its processor while others have it."""
_CALM_MS = 5.0
"""How late the load generator may be with a frame that is due."""


class Worker:
    """A process of ours that prints lines; `processor` is the one it is bound to, where the system allows it."""

    def __init__(self, module: str, *arguments: str, processor: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.pid = self._process.pid
        if hasattr(os, "sched_setaffinity"):
            processors = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(self.pid, {processors[processor % len(processors)]})

    def line(self) -> str:
        """The next line it prints.

        :raises RuntimeError: if it has ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        return line

    def ask(self, **order: Any) -> dict[str, Any]:  # noqa: ANN401
        """Send it an order as a line of JSON; returns its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.line())
        return answer

    def resident_bytes(self) -> int:
        """Memory it holds; 0 where the system does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        return next(
            int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS")
        )

    def stop(self) -> None:
        """End it and wait."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Bench:
    """The load generator and the programs under test, running."""

    def __init__(self, load: Worker, programs: dict[str, Worker], ports: dict[str, int]) -> None:
        self.load, self.programs, self.ports = load, programs, ports
        self.rounds = self.disturbed = 0

    def open(self, count: int, names: tuple[str, ...] = tuple(PROGRAMS)) -> None:
        """Have so many calls through each program."""
        for name in names:
            self.load.ask(do="open", group=name, port=self.ports[name], count=count)

    def close(self) -> None:
        """Hang up all calls."""
        for name in self.programs:
            self.load.ask(do="close", group=name)

    def run(self, name: str, mode: str, seconds: float, *, echo: bool = False) -> dict[str, Any]:
        """One round of one program.

        A round in which others had the program's processor, or the generator's, is measured again; if it does not get
        better, the calmest counts. It is the same for all programs.

        :raises RuntimeError: if a frame was lost.
        """
        tried: list[dict[str, Any]] = []
        while len(tried) < _ATTEMPTS and (not tried or _disturbed(tried[-1]) > 1):
            pid = self.programs[name].pid
            answer = self.load.ask(
                do="run", group=name, mode=mode, seconds=seconds, echo=echo, pid=pid
            )
            if answer["lost"]:
                raise RuntimeError(f"{name} lost {answer['lost']} frames of {mode}")
            tried.append(answer)
        best = min(tried, key=_disturbed)
        self.rounds += 1
        self.disturbed += _disturbed(best) > 1
        return best


def _disturbed(answer: dict[str, Any]) -> float:
    """How much others got in the way, in multiples of what is tolerable."""
    waited = float(answer["waited_ns"]) / 1e9 / float(answer["seconds"])
    return max(waited / _CALM, float(answer.get("late_ms", 0.0)) / _CALM_MS)


@contextmanager
def bench() -> Iterator[Bench]:
    """Start everything, and leave nothing running."""
    workers: list[Worker] = []
    with tempfile.TemporaryDirectory(prefix="bargein-") as journals:
        try:
            load = Worker("benchmarks.load", processor=1)
            workers.append(load)
            programs, ports = {}, {}
            for name, module in PROGRAMS.items():
                url = f"ws://127.0.0.1:{load.ask(do='serve', group=name)['port']}/"
                folder = [journals] if name == JOURNALLED else []
                worker = Worker(module, url, *folder, processor=0)
                workers.append(worker)
                programs[name], ports[name] = worker, int(worker.line())
            yield Bench(load, programs, ports)
        finally:
            for worker in reversed(workers):
                worker.stop()
