"""How far a server can be in a world of the explorer, and how far it is searched there: from plan to plan.

None of these knows a server; `kinds.py` says which is true of whom.
"""

from typing import Final

from msgspec.structs import replace

from .plans import Plan


def same(plan: Plan) -> Plan | None:
    """Such a world, and no smaller."""
    return plan


def as_it_is(plan: Plan) -> Plan:
    """The same of a carrier, with which any world can be."""
    return plan


def like_openai(plan: Plan) -> Plan | None:
    """Several items in one response in the largest world are searched with OpenAI itself."""
    return replace(plan, items=1) if plan.name == "calls" else plan


def smaller(plan: Plan) -> Plan:
    """Servers that leave more open are searched with less speech and one interrupt in the largest world."""
    if plan.name != "calls":
        return plan
    return replace(plan, items=1, deltas=1, limits=replace(plan.limits, interrupts=1))


def one_at_a_time(plan: Plan) -> Plan | None:
    """Nothing runs beside the conversation."""
    return like_openai(plan) if not plan.limits.beside else None


def cannot_listen(plan: Plan) -> Plan | None:
    """A session that hears the caller and leaves interrupting to us: such a server cannot be told to be so."""
    out = plan.limits.beside or plan.vad == "listens"
    return None if out else smaller(plan)


def localai(plan: Plan) -> Plan | None:
    """Its errors name nothing, so a refused request is one that is not answered."""
    out = plan.name in ("beside", "strict", "refused") or plan.vad == "listens"
    return None if out else smaller(plan)


def hf_speech_to_speech(plan: Plan) -> Plan | None:
    """Nothing runs beside the conversation, and nothing is refused."""
    return None if plan.name in ("beside", "strict") else smaller(plan)


def asked_in_order(plan: Plan) -> Plan | None:
    """Where requests are answered by order, of what the server makes by itself nothing tells that nobody asked."""
    return by_order(smaller(plan))


def speaches(plan: Plan) -> Plan | None:
    """Only what was asked for: of what the server makes by itself nothing tells that nobody asked."""
    fitted = by_order(plan)
    if fitted is None or plan.vad == "listens" or not plan.limits.requests:
        return None
    return replace(fitted, vad="off", limits=replace(fitted.limits, speech_turns=0))


_OPENAIS_OWN: Final = ("beside", "repeated", "lost", "refused", "strict")
"""Worlds where it matters that messages name what they are about: by order alone one that is lost is another's."""


def by_order(plan: Plan) -> Plan | None:
    """Such a world without timers that overtake: by order alone nobody can tell whose a late answer is."""
    return without_timers(plan) if plan.name not in _OPENAIS_OWN else None


def without_timers(plan: Plan) -> Plan:
    """Who hangs up may do so while one answer waits behind another."""
    requests = 2 if plan.limits.hangups else plan.limits.requests
    limits = replace(plan.limits, deadlines=0, scoped=False, requests=requests)
    return replace(plan, items=1, limits=limits)


def turn_by_turn(plan: Plan) -> Plan | None:
    """The same. And where we ask, the server does not answer the caller too: nobody could tell the answers apart."""
    fitted = by_order(plan)
    return None if fitted is None else told_apart(fitted)


def told_apart(plan: Plan) -> Plan:
    """The server answers us or the caller, never both."""
    return replace(plan, rules={"answers_speech": plan.name == "answers", "memory": "sent"})


def ultravox(plan: Plan) -> Plan | None:
    """A turn that goes on to speak behind a function call we stopped looks like the answer to what stopped it."""
    fitted = always_interrupts(plan)
    if fitted is not None and fitted.name == "words":
        fitted = replace(fitted, server={"words": True})
    return None if fitted is None else smaller(fitted)


def deepgram(plan: Plan) -> Plan | None:
    """It has a word for a request that it refuses, and none for the other ends that a response may take."""
    if plan.name != "refused":
        return always_interrupts(plan)
    return told_apart(without_timers(replace(plan, server={"refusals": True})))


def always_interrupts(plan: Plan) -> Plan | None:
    """Servers that cannot be told to listen only."""
    return turn_by_turn(plan) if plan.vad != "listens" else None
