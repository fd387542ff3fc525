"""What the tests of the models of Ultravox, Phonic and Nova Sonic have in common: judges of their wires, and clients.

Every message on the way, of either side, is judged: Phonic's by the types of the package `phonic`, the others' by the
fields and examples of facts/providers.md 6 and 8, Nova's frames also by botocore's service model.
"""

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Protocol

import botocore.session  # type: ignore[import-untyped]
import phonic

from bargein.simulator.nova_sonic import NovaSonicRules, NovaSonicServer
from bargein.simulator.phonic import PhonicRules, PhonicServer
from bargein.simulator.plans import Plan
from bargein.simulator.state import Limits
from bargein.simulator.turn_servers import CALLER, PROMPT, nova_sonic_opening
from bargein.simulator.turns import TurnServer
from bargein.simulator.ultravox import UltravoxRules, UltravoxServer

Json = dict[str, Any]


class Official(Protocol):
    """A type of the package `phonic`."""

    model_extra: dict[str, Any] | None


ULTRAVOX_SAYS: dict[str, dict[str, tuple[type, ...]]] = {
    "call_started": {"callId": (str,)},
    "state": {"state": (str,)},
    "transcript": {"role": (str,), "medium": (str,), "final": (bool,), "ordinal": (int,)},
    "playback_clear_buffer": {},
    "client_tool_invocation": {"toolName": (str,), "invocationId": (str,), "parameters": (dict,)},
    "pong": {"timestamp": (int, float)},
}
ULTRAVOX_TAKES: tuple[Json, ...] = (
    {"type": "user_text_message", "text": "hi", "urgency": "soon"},
    {"type": "user_text_message", "text": "stop", "urgency": "immediate"},
    {"type": "user_text_message", "text": "note", "urgency": "later"},
    {"type": "forced_agent_message", "content": "Say this", "uninterruptible": False, "urgency": "soon"},
    {"type": "client_tool_result", "invocationId": "inv_1", "result": "{}", "agentReaction": "speaks"},
    {"type": "set_output_medium", "medium": "voice"},
    {"type": "ping", "timestamp": 12345.6},
    {"type": "hang_up", "message": "Bye"},
)  # fmt: skip
STATES = ("idle", "listening", "thinking", "speaking")

PHONIC_SAYS: tuple[Any, ...] = (
    phonic.AssistantChoseNotToRespondPayload, phonic.AssistantFinishedSpeakingPayload,
    phonic.AssistantStartedSpeakingPayload, phonic.AudioChunkResponsePayload,
    phonic.ConversationCreatedPayload, phonic.ErrorPayload, phonic.InputTextPayload,
    phonic.InterruptedResponsePayload, phonic.ReadyToStartConversationPayload,
    phonic.ToolCallInterruptedPayload, phonic.ToolCallPayload, phonic.UserFinishedSpeakingPayload,
    phonic.UserStartedSpeakingPayload, phonic.WarningPayload,
)  # fmt: skip
PHONIC_TAKES: tuple[Any, ...] = (
    phonic.AddSystemMessagePayload, phonic.AudioChunkPayload, phonic.ConfigPayload,
    phonic.GenerateReplyPayload, phonic.MutePayload, phonic.ResetPayload, phonic.SayPayload,
    phonic.SetExternalIdPayload, phonic.ToolCallOutputPayload, phonic.UnmutePayload,
    phonic.UpdateSystemPromptPayload, phonic.UpdateToolsSubsetPayload,
)  # fmt: skip

_IDS = {"sessionId", "promptName", "completionId"}
_BLOCK = _IDS | {"contentId"}
NOVA_SAYS: dict[str, set[str]] = {
    "completionStart": _IDS,
    "contentStart": _BLOCK
    | {"type", "role", "additionalModelFields"}
    | {"textOutputConfiguration", "audioOutputConfiguration"},
    "textOutput": _BLOCK | {"role", "content"},
    "audioOutput": _BLOCK | {"content"},
    "toolUse": _BLOCK | {"toolName", "toolUseId", "content"},
    "contentEnd": _BLOCK | {"type", "stopReason"},
    "usageEvent": _IDS | {"details"},
    "completionEnd": _IDS | {"stopReason"},
}
NOVA_REASONS = {
    "TEXT": {"PARTIAL_TURN", "END_TURN", "INTERRUPTED"},
    "AUDIO": {"PARTIAL_TURN", "END_TURN", "INTERRUPTED"},
    "TOOL": {"TOOL_USE"},
}


def fields_of(message: str | bytes) -> Json:
    fields: Json = json.loads(message)
    fields.pop("_of", None)
    return fields


def judge_ultravox(message: str | bytes) -> None:
    """facts/providers.md 6.2."""
    if isinstance(message, bytes):
        assert len(message) % 32 == 0
        return
    fields = fields_of(message)
    wanted = dict(ULTRAVOX_SAYS[fields.pop("type")])
    if "ordinal" in wanted:
        wanted["delta" if "delta" in fields else "text"] = (str,)
        assert fields["role"] in ("user", "agent") and fields["medium"] in ("text", "voice")
        assert fields["final"] == ("text" in fields)
    assert fields.keys() == wanted.keys()
    assert all(isinstance(fields[name], kinds) for name, kinds in wanted.items())
    assert fields.get("state", "idle") in STATES


def judged_by(types: Iterable[Any], message: Json) -> None:
    """The official type of that name takes the message, and knows each of its fields."""
    (official,) = [x for x in types if x.model_fields["type"].default == message["type"]]
    found: Official = official.model_validate(message)
    assert not found.model_extra


def judge_phonic(message: str | bytes) -> None:
    fields = fields_of(message)
    judged_by(PHONIC_SAYS, fields)
    inner = {"error": phonic.ErrorPayloadError, "warning": phonic.WarningPayloadWarning}
    for name in inner.keys() & fields.keys():
        assert not inner[name].model_validate(fields[name]).model_extra


def judge_nova(message: str | bytes) -> None:
    """facts/providers.md 8.3; a frame's bytes must fit the service model."""
    assert 0 < len(message) <= frame("output").metadata["max"]
    ((name, body),) = fields_of(message)["event"].items()
    assert set(body) <= NOVA_SAYS[name]
    if name == "contentStart":
        assert body["role"] in ("USER", "ASSISTANT", "TOOL")
        if body["type"] == "TEXT":
            stage = json.loads(body["additionalModelFields"])["generationStage"]
            assert stage in ("SPECULATIVE", "FINAL")
    if name == "contentEnd":
        assert body["stopReason"] in NOVA_REASONS[body["type"]]


@cache
def service() -> Any:  # noqa: ANN401  botocore is not typed
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    return model.operation_model("InvokeModelWithBidirectionalStream")


def frame(side: str) -> Any:  # noqa: ANN401
    shape = service().output_shape if side == "output" else service().input_shape
    return shape.members["body"].members["chunk"].members["bytes"]


JUDGES: dict[str, Callable[[str | bytes], None]] = {
    "ultravox": judge_ultravox,
    "phonic": judge_phonic,
    "nova_sonic": judge_nova,
}
NAMES = list(JUDGES)


# What clients write


def text(words: str = "hi", urgency: str = "soon", **more: object) -> Json:
    return {"type": "user_text_message", "text": words, "urgency": urgency} | more


def reply(words: str = "hi") -> Json:
    return {"type": "generate_reply", "system_message": words}


def block(name: str = "q", words: str = "hi", **fields: object) -> list[Json]:
    ids = {"promptName": PROMPT, "contentName": name}
    start = {"type": "TEXT", "interactive": True, "role": "USER"} | fields
    start |= {"textInputConfiguration": {"mediaType": "text/plain"}}
    events: list[Json] = [
        {"contentStart": ids | start},
        {"textInput": ids | {"content": words}},
        {"contentEnd": ids},
    ]
    return [{"event": event} for event in events]


def tool_result(name: str) -> list[Json]:
    ids = {"promptName": PROMPT, "contentName": "result"}
    form = {"toolUseId": name, "type": "TEXT"} | {
        "textInputConfiguration": {"mediaType": "text/plain"}
    }
    start = {"type": "TOOL", "interactive": False, "role": "TOOL"}
    events: list[Json] = [
        {"contentStart": ids | start | {"toolResultInputConfiguration": form}},
        {"toolResult": ids | {"content": '{"ok":true}'}},
        {"contentEnd": ids},
    ]
    return [{"event": event} for event in events]


def heard(content: str = "AAAA") -> Json:
    return {
        "event": {"audioInput": {"promptName": PROMPT, "contentName": CALLER, "content": content}}
    }


CONFIG = {"input_format": "mulaw_8000", "output_format": "mulaw_8000"}
OPENING: list[Json] = [{"event": event} for event in nova_sonic_opening(16_000)]
END = [{"event": {"contentEnd": {"promptName": PROMPT, "contentName": CALLER}}}]
ASKS: dict[str, list[Json]] = {"ultravox": [text()], "phonic": [reply()], "nova_sonic": block()}


class Server:
    """A model whose every word is judged."""

    def __init__(self, name: str, model: TurnServer) -> None:
        self.name, self.model = name, model

    def told(self, *messages: Json | bytes) -> list[Json | bytes]:
        said: list[str | bytes] = []
        for each in messages:
            if self.name == "phonic" and not isinstance(each, bytes):
                judged_by(PHONIC_TAKES, each)
            said += self.model.receive(each if isinstance(each, bytes) else json.dumps(each), 0)
        return self._judged(said)

    def does(self, act: str, *args: object, **named: object) -> list[Json | bytes]:
        return self._judged(getattr(self.model, act)(*args, **named))

    def speaking(self, ms: int = 100, words: str | None = "") -> str:
        """A turn that has said so much; its name."""
        self.told(*ASKS[self.name])
        name = self.model.latest_response
        self.does("speaks", name, ms, words)
        return name

    def _judged(self, said: list[str | bytes]) -> list[Json | bytes]:
        for each in said:
            JUDGES[self.name](each)
        return [each if isinstance(each, bytes) else fields_of(each) for each in said]


def shapes(said: list[Json | bytes]) -> list[str]:
    """Each message as the one word it is about."""
    return [_shape(each) for each in said]


def _shape(each: Json | bytes) -> str:
    if isinstance(each, bytes):
        return "audio"
    if "event" not in each:
        how = {"state": each.get("state"), "transcript": each.get("role")}
        return str(how.get(each["type"]) or each["type"])
    ((name, body),) = each["event"].items()
    if name == "contentEnd":
        return f"{body['type']} {body['stopReason']}"
    stage = json.loads(body.get("additionalModelFields", "{}")).get("generationStage", "")
    about = f" {body['role']} {stage}".rstrip() if name == "contentStart" else ""
    return f"{name}{about}"


def ultravox(**rules: Any) -> Server:  # noqa: ANN401
    return Server("ultravox", UltravoxServer(rules=UltravoxRules(**rules)))


def phonic_server(config: Json | None = None, **rules: Any) -> Server:  # noqa: ANN401
    return Server("phonic", PhonicServer(config=config or CONFIG, rules=PhonicRules(**rules)))


def nova(**rules: Any) -> Server:  # noqa: ANN401
    server = Server("nova_sonic", NovaSonicServer(rules=NovaSonicRules(**rules)))
    assert shapes(server.told(*OPENING)) == ["completionStart"]
    return server


SERVERS: dict[str, Callable[[], Server]] = {
    "ultravox": ultravox,
    "phonic": phonic_server,
    "nova_sonic": nova,
}


def remembered(server: Server) -> tuple[int, int]:
    (line, *_) = server.model.memory()
    return line.generated_ms, line.remembered_ms


BARE = Plan(name="bare", says="", limits=Limits())


def plan(**server: Any) -> Plan:  # noqa: ANN401
    wanted = {"words": True, "kinds": ("message", "function_call"), "too_few_words": 1}
    return Plan(name="all", says="", limits=Limits(), server=wanted | server)
