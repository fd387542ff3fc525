"""The judge of Scenes: invariants that hold at the end of every call, whatever happened in it.

Numbers are those of facts/races.md section 13. Judged are the caller's ear and the server's memory; the session's
own words are compared with them, never trusted.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bargein.simulator.openai import Remembered

if TYPE_CHECKING:
    from .scene import Scene
    from .scene_call import Call


def judges(call: "Call") -> None:
    """Bring the world to rest, judge it, and ask for one more turn: it must be answered and heard (I12)."""
    _comes_to_rest(call)
    _judges_handles(call)
    _judges_memory(call)
    _judges_silence(call)
    _judges_sound(call)
    _judges_residue(call)
    if not call.forgives.next_turn:
        call.asks_again()


def judges_cancel(call: "Scene", fields: Mapping[str, Any]) -> None:
    """I1: by name, once per response, never after its last word."""
    if call.provider.can["cancel"] != "by_id":
        return
    response = fields.get("response_id")
    if response is None:
        call.fail("a cancel without a response id")
    if response in call.done_seen:
        call.fail(f"cancel of {response} after its response.done")
    if any(m["response_id"] == response for m in call.sent("response.cancel")):
        call.fail(f"second cancel of {response}")


def _comes_to_rest(call: "Call") -> None:
    """Whatever the server still owes is paid, late; all speech plays out; every deadline passes."""
    for _ in range(100):
        call.unclaim()
        if not call.provider_gone:
            call.winds_down()
        call.unclaim()
        buffered_ms = call.carrier.buffer.buffered_ms
        due_ms = call.session.next_deadline_ms
        if buffered_ms:
            call.passes_until(call.now_ms + buffered_ms)
        elif due_ms is not None:
            call.passes_until(due_ms)
        elif call.provider_gone or all(each.done for each in call.server.responses.values()):
            return
    call.fail("the call does not come to rest")


def _judges_handles(call: "Call") -> None:
    for ref in call.refs:
        if ref not in call.resolved:
            call.fail(f"{ref} is never resolved")


def _speech(call: "Call") -> list[Remembered]:
    return [each for each in call.server.memory() if each.role == "assistant" and each.generated_ms]


def _judges_memory(call: "Call") -> None:
    """I6, I7, I8: what is remembered is what was heard from the start on; each settlement is true.

    A server that cannot be made to forget remembers otherwise; then the session must say so of that very item.
    """
    for item in _speech(call):
        heard_ms = call.ear.heard_from_start_ms(item.voice)
        outcome = call.outcome_about(item)
        if outcome is not None:
            whole_ms = sum(map(call.ear.heard_from_start_ms, call.voices_of(outcome.item)))
            if outcome.evidence != "clock" and outcome.heard_ms > whole_ms:
                call.fail(f"{item.item}: {whole_ms} ms heard, the session says {outcome}")
            if outcome.state == "full" and whole_ms < outcome.received_ms:
                call.fail(f"{item.item} is called full after {whole_ms} ms: {outcome}")
            if outcome.memory == "pending":
                call.fail(f"{item.item}: memory never settled: {outcome}")
            if outcome.memory == "diverged":
                if not call.forgives.divergence:
                    call.fail(f"{item.item} diverged: {outcome}")
                continue
        if item.out_of_band or (outcome is None and call.provider_gone):
            continue  # never in the conversation, or never told to us
        if item.remembered_ms > heard_ms:
            call.fail(f"{item.item}: {heard_ms} ms heard, {item.remembered_ms} ms remembered")
        if heard_ms - item.remembered_ms > call.forgives.memory_ms:
            call.fail(f"{item.item}: {heard_ms} ms heard, only {item.remembered_ms} ms remembered")
        deletes = call.provider.can["delete"] != "none"
        if not heard_ms and deletes and not item.deleted:
            call.fail(f"{item.item}: never heard, and still in the conversation")


def _judges_silence(call: "Call") -> None:
    """I2, I3, I5: from the interrupt on, nothing of a covered response sounds."""
    for ref, since_ms in call.silenced_ms.items():
        for voice in call.voices_of_response(ref):
            sounded_ms = call.ear.heard_after(since_ms, voice)
            if sounded_ms > call.forgives.after_ms:
                call.fail(f"{ref} (voice {voice}) was silenced, and sounds {sounded_ms} ms longer")


def _judges_sound(call: "Call") -> None:
    faults = call.ear.faults()
    if call.forgives.repeats:
        again = ("more than once", "out of order", "resumed")
        faults = [fault for fault in faults if not any(word in fault for word in again)]
    if faults:
        call.fail(f"it sounded wrong: {faults}")
    if call.carrier.warnings:
        call.fail(f"the carrier did not take a message: {call.carrier.warnings}")


def _judges_residue(call: "Call") -> None:
    """I13: nothing is left of what is over."""
    session = call.session
    living = session.responses
    if call.provider.can["finishes"] != "always":
        # Whose end the server does not tell is known for a while, and holds nothing.
        living = {
            ref: each
            for ref, each in living.items()
            if each.verdict is None or each.holds_slot or each.deadline_ms is not None
        }
    names = [each.server_id for each in living.values() if each.server_id]
    ended = [each for each in session.responses if each not in living]
    left = {
        "responses": living,
        "by_server": names,
        "items": [each for each in session.items.values() if each.ref not in ended],
        "operations": session.operations,
        "gate": session.gate,
        "queue": session.playout.queue,
        "marks": session.playout.marks,
    }
    left = {name: value for name, value in left.items() if value}
    if left and not call.forgives.residue:
        call.fail(f"left over: {left}")
