"""The servers of the OpenAI family beside OpenAI's own: how each is spelled, what it does otherwise, how it is read.

`FAMILY` has for each what `kinds.ServerKind` wants.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from . import openai_facts
from .facts import Asked, Told
from .openai_beta import BETA, SPEACHES, VOICELIVE
from .openai_family_rules import FamilyBounds, FamilyRules
from .openai_family_server import FamilyServer
from .openai_further import HUGGING_FACE, INWORLD, QWEN, VLLM_OMNI
from .openai_memory import DELETE_UNKNOWN, DUPLICATE, RETRIEVE_UNKNOWN, TRUNCATE_UNKNOWN
from .openai_replies import CANCEL_NOT_ACTIVE
from .openai_spelling import GA, LOCALAI, XAI_GROK, Spelling

if TYPE_CHECKING:
    from .plans import Plan

_DELTA_MS: Final = 100
"""As `plans.DELTA_MS`."""


class Member(msgspec.Struct, frozen=True):
    """One server of the family."""

    spelling: Spelling
    says: str
    """What it is, in a sentence."""
    rules: Mapping[str, Any] = {}
    """Fields of `FamilyRules`, each with its source there."""

    def server(
        self,
        *,
        session: Mapping[str, Any] | None = None,
        rules: Mapping[str, Any] | None = None,
        bounds: FamilyBounds | None = None,
    ) -> FamilyServer:
        """A model of the server; `session` is in GA shape, `rules` go over its own."""
        own = FamilyRules(**{**self.rules, **(rules or {})})
        return FamilyServer(spelling=self.spelling, session=session, rules=own, bounds=bounds)

    def make(self, plan: "Plan", session: Mapping[str, Any]) -> tuple[FamilyServer, list[str]]:
        """The model for a world, and what it says when the connection opens; `session` is in GA shape."""
        wanted: dict[str, Any] = {"words": False} | dict(plan.server)
        bounds = FamilyBounds(
            items=plan.items, deltas=plan.deltas, delta_ms=_DELTA_MS, speech_turns=1, **wanted
        )
        model = self.server(session=session, rules=plan.rules, bounds=bounds)
        return model, model.connects()

    def interrupts_itself(self, plan: "Plan") -> bool:
        """Whether in this world the server stops its response by itself when it hears the caller."""
        how = plan.rules.get("vad_interrupts", self.rules.get("vad_interrupts", "by_session"))
        if plan.vad == "off" or how == "never":
            return False
        return how == "always" or plan.vad == "interrupts"

    @property
    def told(self) -> Callable[[str], Told | None]:
        """What a message of this server says."""
        return _told(self.spelling)

    @property
    def asked(self) -> Callable[[str], Asked]:
        """What a message of the client asks for: all spell that alike."""
        return openai_facts.asked


@lru_cache
def _told(spelling: Spelling) -> Callable[[str], Told | None]:
    @lru_cache(maxsize=4096)
    def told(message: str) -> Told | None:
        return openai_facts.read(spelling.reads(msgspec.json.decode(message)))

    return told


def _codes(own: str | None) -> tuple[tuple[str, str | None], ...]:
    """One code, or none, for every unknown item."""
    return tuple((code, own) for code in (TRUNCATE_UNKNOWN, DELETE_UNKNOWN, RETRIEVE_UNKNOWN))


XAI_CANCEL_CODE: Final = "no_active_response"
"""Ours. That it is not OpenAI's was seen, what it is was not written down: facts/providers.md 4.5."""

FAMILY: Final[dict[str, Member]] = {
    "azure": Member(GA, "Azure OpenAI, /openai/v1/realtime: the same wire as OpenAI."),
    "azure_preview": Member(
        BETA, "Azure OpenAI, /openai/realtime?api-version=…-preview: OpenAI with beta names."
    ),
    "voicelive": Member(
        VOICELIVE,
        "Azure Voice Live: beta names; a new response ends the one before it.",
        {"create_supersedes": "cancels"},
    ),
    "xai": Member(
        XAI_GROK,
        "xAI Grok Voice: GA names; it cannot be made to forget, and responses may die without a word.",
        {
            "truncates": "ignored",
            "deletes_own": False,
            "codes": ((CANCEL_NOT_ACTIVE, XAI_CANCEL_CODE),),
            "cancel_unknown_code": XAI_CANCEL_CODE,
            "busy_code": None,
            "vad_interrupts": "never",
            "vad_supersedes": "unspoken",
            "vad_reports_when_off": True,
        },
    ),
    "localai": Member(
        LOCALAI,
        "LocalAI: GA names; one response at a time, the newest, and a truncate forgets the whole item.",
        {
            "cancel_reads_id": False,
            "idle_cancel": "silent",
            "stops_unborn": True,
            "stopped_holds_slot": False,
            "stopped_forgets": True,
            "create_supersedes": "cancels",
            "vad_supersedes": "cancels",
            "vad_interrupts": "always",
            "ignored": ("conversation",),
            "failure": "invalid_request_error",
            "failure_code": "inference_failed",
            "truncates": "blanks",
            "codes": _codes("invalid_item_id"),
            "errors_named": False,
            "acks_named": True,
            "unknown_ignored": True,
        },
    ),
    "speaches": Member(
        SPEACHES,
        "Speaches: beta names; nothing can be cancelled or truncated, a new response replaces the old silently.",
        {
            "cancels": False,
            "truncates": "unsupported",
            "create_supersedes": "silently",
            "vad_supersedes": "silently",
            "vad_interrupts": "never",
            "metadata_echo": False,
            "complained_of": ("conversation", "input", "audio", "metadata"),
            "failure": "server_error",
            "codes": (*_codes(None), (DUPLICATE, None)),
        },
    ),
    "inworld": Member(
        INWORLD,
        "Inworld: GA names; whether it reads a cancel's name or echoes metadata nobody has told.",
        {"cancel_reads_id": False, "metadata_echo": False},
    ),
    "qwen": Member(
        QWEN,
        "Alibaba Qwen-Omni: beta names; nothing can be truncated or deleted, and a cancel names nothing.",
        {
            "cancel_reads_id": False,
            "cancel_unknown_code": "invalid_value",
            "metadata_echo": False,
            "busy_code": None,
        },
    ),
    "hf_speech_to_speech": Member(
        HUGGING_FACE,
        "Hugging Face speech-to-speech: GA names; a truncate does nothing, and what is stopped ends at once.",
        {
            "cancel_reads_id": False,
            "idle_cancel": "silent",
            "stops_unborn": True,
            "stopped_at_once": "before_speech",
            "stopped_forgets": True,
            "truncates": "ignored",
        },
    ),
    "vllm_omni": Member(
        VLLM_OMNI,
        "vLLM-Omni, turn-based: GA names; one response at a time, the newest, and what is stopped ends at once.",
        {
            "create_supersedes": "cancels",
            "vad_supersedes": "cancels",
            "stops_unborn": True,
            "stopped_at_once": "after_speech",
            "stopped_blanks": True,
        },
    ),
}
