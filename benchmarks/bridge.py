"""The bridge against a raw relay of the same frames: throughput, added latency, memory per call.

Both programs run in processes of their own, on one processor; the load generator has another. They are measured in
turn, round by round. A raw relay needs no marks, but a bridge must know what was heard, so for each 100 ms it also
sends a mark and receives it back. Both readings are given: the relay moving the deltas alone, and the relay moving as
many frames as the bridge does (a mark-sized frame comes back for each delta).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .measure import Effort, Row, Tick, percentile, spread

ROOT = Path(__file__).resolve().parent.parent
THROUGHPUT = 0.8
ADDED_P99_US = 1_000.0
FRAMES_PER_CALL_S = 60
_SATURATING_CALLS = 20


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


PATHS = {"relay": "/", "bridge": "/"}
PROGRAMS = {"relay": "benchmarks.relay", "bridge": "benchmarks.bridged"}


class Bench:
    """The load generator and the programs under test, running."""

    def __init__(self, load: Worker, programs: dict[str, Worker], ports: dict[str, int]) -> None:
        self.load, self.programs, self.ports = load, programs, ports

    def open(self, count: int) -> None:
        """Have so many calls through each program."""
        for name in self.programs:
            self.load.ask(
                do="open", group=name, port=self.ports[name], path=PATHS[name], count=count
            )

    def close(self) -> None:
        """Hang up all calls."""
        for name in self.programs:
            self.load.ask(do="close", group=name)

    def run(self, name: str, mode: str, seconds: float, *, echo: bool = False) -> dict[str, Any]:
        """One round of one program."""
        pid = self.programs[name].pid
        answer = self.load.ask(
            do="run", group=name, mode=mode, seconds=seconds, echo=echo, pid=pid
        )
        if answer["lost"]:
            raise RuntimeError(f"{name} lost {answer['lost']} frames of {mode}")
        return answer


@contextmanager
def bench() -> Iterator[Bench]:
    """Start everything, and leave nothing running."""
    workers: list[Worker] = []
    try:
        load = Worker("benchmarks.load", processor=1)
        workers.append(load)
        programs, ports = {}, {}
        for name, module in PROGRAMS.items():
            provider = load.ask(do="serve", group=name)["port"]
            worker = Worker(module, f"http://127.0.0.1:{provider}/", processor=0)
            workers.append(worker)
            programs[name], ports[name] = worker, int(worker.line())
        yield Bench(load, programs, ports)
    finally:
        for worker in reversed(workers):
            worker.stop()


def _rate(answer: dict[str, Any]) -> float:
    return float((answer["deltas"] + answer["caller_frames"]) / answer["seconds"])


def _us_per_frame(answer: dict[str, Any]) -> float:
    return float(answer["cpu_ns"] / 1000 / max(1, answer["deltas"] + answer["caller_frames"]))


def throughput(on: Bench, effort: Effort, tick: Tick) -> list[Row]:
    """As many frames as will go: speech alone, and the mix of a real call; each against both relays."""
    calls = _SATURATING_CALLS if effort.bridge_rounds > 1 else 1
    on.open(calls)
    rows = []
    for mode, what in (
        ("speech", "100 ms deltas from provider to carrier"),
        ("mix", "a call's mix, 50 caller frames to 10 deltas"),
    ):
        sides = {"bare": ("relay", False), "equal": ("relay", True), "bridge": ("bridge", False)}
        got: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for turn in range(effort.bridge_rounds):
            for side, (name, echo) in list(sides.items())[:: 1 if turn % 2 else -1]:
                got[side].append(on.run(name, mode, effort.seconds, echo=echo))
            tick()
        rate = {side: [_rate(a) for a in answers] for side, answers in got.items()}
        cost = {side: spread([_us_per_frame(a) for a in answers]) for side, answers in got.items()}
        busy = {
            side: spread([a["cpu_ns"] / 1e9 / a["seconds"] for a in answers]).median
            for side, answers in got.items()
        }
        numbers: dict[str, float] = {"calls": calls}
        for side in sides:
            numbers |= {
                f"{side}_frames_per_s": spread(rate[side]).median,
                f"{side}_cpu_us_per_frame": cost[side].median,
                f"{side}_busy": busy[side],
            }
        for side, against, budget in (
            ("equal", "a relay of the same frames, marks included", True),
            ("bare", "a relay that moves no marks", False),
        ):
            share = spread([b / a for a, b in zip(rate[side], rate["bridge"], strict=True)])
            rows.append(
                Row(
                    id=f"bridge.{mode}.{side}",
                    what=f"throughput of {what}, against {against}",
                    budget=f"≥ {THROUGHPUT:.0%} of the relay" if budget else "–",
                    measured=f"{share.median:.0%}",
                    spread=f"{share.low:.0%} … {share.high:.0%}",
                    met=share.median >= THROUGHPUT if budget else None,
                    made_of=f"{spread(rate['bridge']).median:,.0f} frames/s against "
                    f"{spread(rate[side]).median:,.0f}; {cost['bridge'].median:.1f} μs of the processor per frame "
                    f"against {cost[side].median:.1f}, busy {busy['bridge']:.0%} and {busy[side]:.0%}",
                    numbers=numbers,
                )
            )
    on.close()
    return rows


def latency(on: Bench, effort: Effort, tick: Tick) -> list[Row]:
    """How much later a frame arrives than through the relay, at each number of calls."""
    rows = []
    for calls in effort.calls:
        on.open(calls)
        got: dict[str, list[list[float]]] = {name: [] for name in on.programs}
        cpu: dict[str, list[float]] = {name: [] for name in on.programs}
        for turn in range(effort.bridge_rounds):
            for name in list(on.programs)[:: 1 if turn % 2 else -1]:
                answer = on.run(name, "paced", effort.seconds)
                got[name].append(answer["latencies_us"])
                cpu[name].append(answer["cpu_ns"] / 1e9 / answer["seconds"])
            tick()
        on.close()
        rows.append(_latency_row(calls, got, {n: spread(v).median for n, v in cpu.items()}))
    return rows


def _latency_row(calls: int, got: dict[str, list[list[float]]], busy: dict[str, float]) -> Row:
    def added(share: float) -> list[float]:
        pairs = zip(got["relay"], got["bridge"], strict=True)
        return [percentile(b, share) - percentile(a, share) for a, b in pairs]

    p50, p99 = spread(added(0.5)), spread(added(0.99))
    whole = {
        f"{name}_p{round(share * 100)}_us": percentile([t for r in rounds for t in r], share)
        for name, rounds in got.items()
        for share in (0.5, 0.99)
    }
    return Row(
        id=f"bridge.latency.{calls}",
        what=f"latency added at {calls} call{'s' * (calls > 1)}, {calls * FRAMES_PER_CALL_S:,} frames/s",
        budget="p99 ≤ 1 ms" if calls == 200 else "–",
        measured=f"p50 {p50.median:+.0f} μs, p99 {p99.median:+.0f} μs",
        spread=f"p99 {p99.low:+.0f} … {p99.high:+.0f} μs",
        met=p99.median <= ADDED_P99_US if calls == 200 else None,
        made_of=f"bridge p50 {whole['bridge_p50_us']:.0f} μs, p99 {whole['bridge_p99_us']:.0f} μs; relay p50 "
        f"{whole['relay_p50_us']:.0f} μs, p99 {whole['relay_p99_us']:.0f} μs; processor busy "
        f"{busy['bridge']:.0%} and {busy['relay']:.0%}",
        numbers={
            "added_p50_us": p50.median,
            "added_p99_us": p99.median,
            "bridge_busy": busy["bridge"],
            "relay_busy": busy["relay"],
            **whole,
        },
    )


def memory(on: Bench, effort: Effort, tick: Tick) -> list[Row]:
    """What a call adds to the resident memory. Measured first: a process does not give memory back."""
    on.open(2)  # What is loaded at the first call is not charged to the calls.
    on.close()
    calls = max(effort.calls)
    held = {name: worker.resident_bytes() for name, worker in on.programs.items()}
    on.open(calls)
    for name in on.programs:
        on.run(name, "paced", effort.seconds)
    per_call = {
        name: (worker.resident_bytes() - held[name]) / calls / 1024
        for name, worker in on.programs.items()
    }
    on.close()
    tick()
    return [
        Row(
            id="bridge.memory",
            what=f"resident memory per call of the bridge at {calls} calls, in mid-speech",
            budget="–",
            measured=f"{per_call['bridge']:.0f} kB",
            spread="–",
            met=None,
            made_of=f"the relay holds {per_call['relay']:.0f} kB per call, for its two sockets",
            numbers={f"{name}_kb": size for name, size in per_call.items()},
        )
    ]


def rounds(effort: Effort) -> int:
    """How often `measure` ticks."""
    return 1 + (2 + len(effort.calls)) * effort.bridge_rounds


def measure(effort: Effort, tick: Tick) -> list[Row]:
    """All rows of the bridge."""
    with bench() as on:
        held = memory(on, effort, tick)
        return [*throughput(on, effort, tick), *latency(on, effort, tick), *held]
