"""AssemblyAI's Voice Agent and Cartesia's agents as the explorer needs them: made for a plan, and read."""

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from . import assemblyai_facts
from .assemblyai import AssemblyAIBounds, AssemblyAIRules, AssemblyAIServer
from .carrier import BYTES_PER_MS
from .plans import DELTA_MS
from .turn_servers import TurnEntry
from .turns import Bounds, Said, TurnServer

if TYPE_CHECKING:
    from .plans import Plan

_Bounds = TypeVar("_Bounds", bound=Bounds)


def _bounds(plan: "Plan", kind: type[_Bounds], *turns: str) -> _Bounds:
    """A reply is one utterance. Where nobody is to be heard, nobody speaks: `turns` are bounds on how often."""
    own = {name: x for name, x in plan.server.items() if name in kind.__struct_fields__}
    heard = dict.fromkeys(("speech_turns", *turns), int(plan.vad != "off"))
    wanted: dict[str, Any] = {"words": False} | heard | own
    return kind(deltas=plan.deltas, delta_ms=DELTA_MS, **wanted)


def _rules(plan: "Plan") -> dict[str, Any]:
    return {"speech_interrupts": plan.vad == "interrupts"} | dict(plan.rules)


def _assemblyai(plan: "Plan", audio: str) -> tuple[TurnServer, Said]:
    form = {"format": {"encoding": "audio/pcmu" if audio == "mulaw" else "audio/pcm"}}
    model = AssemblyAIServer(
        session={"input": form, "output": form},
        rules=AssemblyAIRules(**_rules(plan)),
        bounds=_bounds(plan, AssemblyAIBounds, "back_channels"),
    )
    return model, model.connects()


_MAKERS: Final = {"assemblyai": _assemblyai}
_FACTS: Final[dict[str, Any]] = {"assemblyai": assemblyai_facts}


def entry(name: str, audio: str = "mulaw") -> TurnEntry:
    """The provider `name`, with the audio format `audio`.

    Raises `KeyError` for a name or a format that does not exist.
    """
    facts, maker, bytes_per_ms = _FACTS[name], _MAKERS[name], BYTES_PER_MS[audio]

    def make(plan: "Plan") -> tuple[TurnServer, Said]:
        return maker(plan, audio)

    told = partial(facts.told, bytes_per_ms=bytes_per_ms)
    told_all = partial(facts.told_all, bytes_per_ms=bytes_per_ms)
    return TurnEntry(make, told, told_all, facts.asked, audio)
