"""The bridge against a raw relay of the same frames: throughput, added latency, memory per call.

The programs run in processes of their own, on one processor; the load generator has another. They are measured in
turn, round by round. A raw relay needs no marks, but a bridge must know what was heard, so for each 100 ms it also
sends a mark and receives it back. Both readings are given: the relay moving the deltas alone, and the relay moving as
many frames as the bridge does (a mark-sized frame comes back for each delta).
"""

from collections.abc import Iterable
from typing import Any

from msgspec import structs

from .measure import Effort, Row, Tick, percentile, spread
from .workers import BRIDGE, JOURNALLED, RELAY, Bench, bench

THROUGHPUT = 0.8
ADDED_P99_US = 1_000.0
FRAMES_PER_CALL_S = 60


def _frames(answer: dict[str, Any]) -> int:
    return int(answer["deltas"] + answer["caller_frames"])


def _rate(answer: dict[str, Any]) -> float:
    """Frames per second of processor; per second by the clock where the system does not tell the former."""
    seconds: float = answer["cpu_ns"] / 1e9 or answer["seconds"]
    return _frames(answer) / seconds


def _middle(values: Iterable[float]) -> float:
    return spread(list(values)).median


_SIDES = {
    "bare": (RELAY, False),
    "equal": (RELAY, True),
    "bridge": (BRIDGE, False),
    "journalled": (JOURNALLED, False),
}
"""Side → the program, and whether the carrier answers each delta with a frame as it answers a mark."""

_MODES = {
    "mix": "a call's mix, 50 caller frames to 10 deltas",
    "speech": "100 ms deltas from provider to carrier",
}

_PAIRS = (
    ("equal", "bridge", "against a relay of as many frames, marks included", True),
    ("journal", "journalled", "the same with the journal written, as it ships", True),
    ("bare", "bridge", "against a relay that moves no marks", False),
)
"""Row, our side, what it says, and whether it has the budget. All but `bare` are against the `equal` relay."""


def throughput(on: Bench, effort: Effort, tick: Tick) -> list[Row]:
    """As many frames as will go: the mix of a real call, and speech alone; each against both relays."""
    on.open(effort.saturating_calls)
    rows = []
    for mode in _MODES:
        got: dict[str, list[dict[str, Any]]] = {side: [] for side in _SIDES}
        for turn in range(effort.bridge_rounds):
            for side, (name, echo) in list(_SIDES.items())[:: 1 if turn % 2 else -1]:
                got[side].append(on.run(name, mode, effort.seconds, echo=echo))
            tick()
        rows += _throughput_rows(mode, got)
    on.close()
    return rows


def _throughput_rows(mode: str, got: dict[str, list[dict[str, Any]]]) -> list[Row]:
    rate = {side: [_rate(a) for a in answers] for side, answers in got.items()}
    busy = {side: _middle(a["cpu_ns"] / 1e9 / a["seconds"] for a in got[side]) for side in got}
    numbers: dict[str, float] = {}
    for side, answers in got.items():
        numbers |= {
            f"{side}_frames_per_cpu_s": spread(rate[side]).median,
            f"{side}_frames_per_s": _middle(_frames(a) / a["seconds"] for a in answers),
            f"{side}_busy": busy[side],
        }
    rows = []
    for key, ours, says, budget in _PAIRS:
        theirs = "bare" if key == "bare" else "equal"
        share = spread([b / a for a, b in zip(rate[theirs], rate[ours], strict=True)])
        us, them = spread(rate[ours]).median, spread(rate[theirs]).median
        calls = f", {us / FRAMES_PER_CALL_S:,.0f} calls" if mode == "mix" else ""
        rows.append(
            Row(
                id=f"bridge.{mode}.{key}",
                what=f"throughput, {_MODES[mode]}: {says}",
                budget=f"≥ {THROUGHPUT:.0%} of the relay" if budget else "–",
                measured=f"{share.median:.0%}",
                spread=f"{share.low:.0%} … {share.high:.0%}",
                met=share.median >= THROUGHPUT if budget else None,
                made_of=f"{us:,.0f} frames per second of processor{calls}, against {them:,.0f}: "
                f"{1e6 / us:.1f} μs per frame against {1e6 / them:.1f}; "
                f"processor busy {busy[ours]:.0%} and {busy[theirs]:.0%}",
                numbers=numbers,
            )
        )
    return rows


def latency(on: Bench, effort: Effort, tick: Tick) -> list[Row]:
    """How much later a frame arrives than through the relay, at each number of calls; the journal is written."""
    rows = []
    names = (RELAY, JOURNALLED)
    for calls in effort.calls:
        seconds = effort.seconds if calls == 1 else effort.seconds / 2
        on.open(calls, names)
        got: dict[str, list[list[float]]] = {name: [] for name in names}
        cpu: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(effort.bridge_rounds * 2):
            for name in names[:: 1 if turn % 2 else -1]:
                answer = on.run(name, "paced", seconds)
                got[name].append(answer["latencies_us"])
                cpu[name].append(answer["cpu_ns"] / 1e9 / answer["seconds"])
            tick()
        on.close()
        busy = {name: spread(shares).median for name, shares in cpu.items()}
        rows.append(_latency_row(calls, got[RELAY], got[JOURNALLED], busy))
    return rows


def _latency_row(
    calls: int, relay: list[list[float]], bridge: list[list[float]], busy: dict[str, float]
) -> Row:
    def added(share: float) -> list[float]:
        return [
            percentile(b, share) - percentile(a, share) for a, b in zip(relay, bridge, strict=True)
        ]

    p50, p99 = spread(added(0.5)), spread(added(0.99))
    whole = {
        f"{name}_p{round(share * 100)}_us": _middle(percentile(times, share) for times in rounds)
        for name, rounds in (("relay", relay), ("bridge", bridge))
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
        f"{busy[JOURNALLED]:.0%} and {busy[RELAY]:.0%}",
        numbers={
            "added_p50_us": p50.median,
            "added_p99_us": p99.median,
            "bridge_busy": busy[JOURNALLED],
            "relay_busy": busy[RELAY],
            **whole,
        },
    )


def memory(on: Bench, effort: Effort, tick: Tick) -> list[Row]:
    """What a call adds to the resident memory. Measured first: a process does not give memory back."""
    on.open(2)  # What is loaded at the first call is not charged to the calls.
    on.close()
    calls = max(effort.calls)
    names = (RELAY, BRIDGE, JOURNALLED)
    held = {name: on.programs[name].resident_bytes() for name in names}
    on.open(calls)
    for name in names:
        on.run(name, "paced", effort.seconds)
    per_call = {
        name: (on.programs[name].resident_bytes() - held[name]) / calls / 1024 for name in names
    }
    on.close()
    tick()
    return [
        Row(
            id="bridge.memory",
            what=f"resident memory per call of the bridge at {calls} calls, in mid-speech",
            budget="–",
            measured=f"{per_call[BRIDGE]:.0f} kB",
            spread="–",
            met=None,
            made_of=f"{per_call[JOURNALLED]:.0f} kB with the journal, which gathers lines before it writes them; "
            f"the relay holds {per_call[RELAY]:.0f} kB per call, for its two sockets",
            numbers={f"{name}_kb": size for name, size in per_call.items()},
        )
    ]


def _judged(rows: list[Row], disturbed: float) -> list[Row]:
    """The rows as they are; without a verdict if most of what they rest on was disturbed."""
    if disturbed <= 0.5:
        return rows
    return [structs.replace(row, met=None) for row in rows]


def _calm_row(on: Bench) -> Row:
    share = on.disturbed / on.rounds
    return Row(
        id="bridge.disturbed",
        what="rounds of the bridge in which other programs had a processor",
        budget="–",
        measured=f"{share:.0%}",
        spread="–",
        met=None,
        made_of=f"{on.disturbed} of {on.rounds}; beyond half of them the bridge's budgets are not judged: "
        "measure on an idle machine",
        numbers={"rounds": on.rounds, "disturbed": on.disturbed},
    )


def rounds(effort: Effort) -> int:
    """How often `measure` ticks."""
    return 1 + (len(_MODES) + 2 * len(effort.calls)) * effort.bridge_rounds


def measure(effort: Effort, tick: Tick) -> list[Row]:
    """All rows of the bridge."""
    with bench() as on:
        held = memory(on, effort, tick)
        rows = [*throughput(on, effort, tick), *latency(on, effort, tick), *held]
        return [*_judged(rows, on.disturbed / on.rounds), _calm_row(on)]
