"""What the journal adds to one audio event: three lines, for the delta, the `media` and the `mark`."""

import tempfile
import time
from pathlib import Path

from bargein import adapters
from bargein.runtime.journal import Journal, header
from bargein.runtime.session import Session, Settings
from bargein.runtime.tap import Tap, tapped

from . import messages
from .measure import Effort, Row, Side, Tick, interleave, ratios, spread


def _said(session: Session, tap: Tap, journal: Journal | None) -> Side:
    """Deltas as the driver hands them on: as text, and with their answer to the journal if there is one."""
    kinds = [message.decode() for message in messages.deltas(messages.MULAW_100_MS_BYTES)]

    def side(count: int) -> int:
        work = [kinds[i % len(kinds)] for i in range(count)]
        now_ms = session.playout.clock_end_ms
        start = time.thread_time_ns()
        for message in work:
            actions = session.provider_received(message, now_ms)
            if journal is not None:
                journal.message(now_ms, "provider", message, tap.events, actions)
        if journal is not None:
            journal.flush()
        elapsed = time.thread_time_ns() - start
        messages.acknowledge(session)
        return elapsed

    return side


def measure(effort: Effort, tick: Tick) -> list[Row]:
    """The row of the journal."""
    provider, tap = tapped(adapters.provider("openai"))
    twilio = adapters.transport("twilio")
    with tempfile.TemporaryDirectory(prefix="bargein-") as folder:
        path = Path(folder) / "call.jsonl"
        journal = Journal(path)
        journal.begin(header(provider, twilio, Settings()))
        times = interleave(
            {
                "without": _said(messages.speaking(provider=provider), tap, None),
                "with": _said(messages.speaking(provider=provider), tap, journal),
            },
            effort,
            tick,
        )
        journal.close(0, "measured")
        lines = path.read_bytes().count(b"\n") - 2
        events = effort.batch * (effort.rounds + 1)
        size_bytes = path.stat().st_size / events
    share = ratios(times["with"], times["without"])
    us = {name: spread(values).median for name, values in times.items()}
    added = us["with"] - us["without"]
    return [
        Row(
            id="journal.audio",
            what="the audio event with its journal, audio left out, against without",
            budget="–",
            measured=f"× {share.median:.1f}",
            spread=f"× {share.low:.1f} … {share.high:.1f}",
            met=None,
            made_of=f"{us['with']:.2f} μs against {us['without']:.2f}: {added:.2f} μs for "
            f"{lines / events:.0f} lines, {size_bytes:.0f} bytes per event",
            numbers={f"{name}_us": value for name, value in us.items()} | {"bytes": size_bytes},
        )
    ]
