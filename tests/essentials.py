"""What must be heard of every peer, or an interruption goes wrong: by facts/providers.md and facts/transports.md."""

Rules = dict[str, str]

_CREATED: Rules = {"response.created": "created", "response.output_item.added": "announced"}
_LIFE: Rules = {**_CREATED, "response.done": "finished"}
_HEARS: Rules = {"input_audio_buffer.speech_started": "speech_started", "error": "error"}
_CUTS: Rules = {
    "conversation.item.truncated": "truncated",
    "conversation.item.deleted": "deleted",
}
_SESSION: Rules = {"session.created": "configured", "session.updated": "configured"}
_GA: Rules = {**_LIFE, **_HEARS, "response.output_audio.delta": "audio"}
_BETA: Rules = {**_LIFE, **_HEARS, "response.audio.delta": "audio"}
_STREAM: Rules = {
    "start": "started",
    "media": "caller_audio",
    "mark": "marked",
    "dtmf": "dtmf",
    "stop": "ended",
}
_PLAYER: Rules = {
    "start": "started",
    "position": "played",
    "flushed": "played cleared",
    "stop": "ended",
}

ESSENTIAL: dict[str, tuple[str, Rules]] = {
    "openai": ("providers 2.2, 2.5, 2.6", {**_GA, **_CUTS, **_SESSION}),
    "azure": ("providers 3.1", {**_GA, **_CUTS, **_SESSION}),
    "azure_preview": ("providers 3.2", {**_BETA, **_CUTS, **_SESSION}),
    "xai": ("providers 4.2, 4.5, 4.6", {**_GA, **_CUTS, **_SESSION}),
    "gemini": (
        "providers 5.2, 5.5",
        {
            "serverContent.modelTurn.parts[].inlineData": "audio",
            "serverContent.interrupted": "interrupted",
            "serverContent.generationComplete": "ended",
            "serverContent.turnComplete": "finished",
            "goAway": "closing",
        },
    ),
    "ultravox": (
        "providers 6.2, 6.4",
        {"state": "created finished", "playback_clear_buffer": "interrupted"},
    ),
    "phonic": (
        "providers 7.2, 7.4",
        {
            "assistant_started_speaking": "created",
            "assistant_finished_speaking": "finished",
            "audio_chunk": "audio",
            "user_started_speaking": "speech_started",
            "interrupted_response": "corrected",
        },
    ),
    "nova_sonic": (
        "providers 8.3, 8.4",
        {
            "event.contentStart": "announced",
            "event.audioOutput": "audio",
            "event.contentEnd": "ended interrupted finished",
        },
    ),
    "openai_webrtc": (
        "transports 11",
        {
            "output_audio_buffer.started": "playback_started",
            "output_audio_buffer.stopped": "playback_stopped",
            "output_audio_buffer.cleared": "playback_cleared",
            **_LIFE,
            **_HEARS,
            **_CUTS,
        },
    ),
    "elevenlabs": (
        "transports 18, 28",
        {
            "audio": "audio",
            "interruption": "interrupted",
            "agent_response_correction": "corrected",
            "ping": "ping",
        },
    ),
    "deepgram": (
        "transports 19, 28",
        {
            "UserStartedSpeaking": "speech_started",
            "AgentThinking": "created",
            "AgentAudioDone": "finished",
            "ConversationText": "finished",
            "InjectionRefused": "error",
        },
    ),
    "voicelive": ("transports 21", {**_BETA, **_CUTS, **_SESSION, "warning": "error"}),
    "qwen": ("transports 22", _BETA),
    "inworld": ("transports 23", {**_GA, **_CUTS, "ping": "ping"}),
    "assemblyai": (
        "transports 25, 28",
        {"reply.started": "created", "reply.audio": "audio", "reply.done": "interrupted finished"},
    ),
    "speaches": ("transports 26.1", _BETA),
    "localai": ("transports 26.2", {**_GA, **_CUTS}),
    "hf_speech_to_speech": ("transports 26.3", _GA),
    "vllm_omni": ("transports 26.4", {**_GA, **_CUTS}),
    "twilio": ("transports 2.1", {**_STREAM, "connected": "connected"}),
    "telnyx": ("transports 3", {**_STREAM, "connected": "connected", "error": "error"}),
    "plivo": (
        "transports 4",
        {
            "start": "started",
            "media": "caller_audio",
            "playedStream": "marked",
            "clearedAudio": "cleared",
            "dtmf": "dtmf",
        },
    ),
    "vonage": (
        "transports 5",
        {
            "websocket:connected": "started",
            "websocket:notify": "marked",
            "websocket:cleared": "cleared",
            "websocket:dtmf": "dtmf",
        },
    ),
    "signalwire": ("transports 6", {**_STREAM, "connected": "connected"}),
    "jambonz": ("transports 7", {"_": "started dtmf", "mark": "marked mark_cleared"}),
    "livekit": ("transports 10", _PLAYER),
    "browser": ("transports 12", _PLAYER),
    "soundcard": ("transports 13", _PLAYER),
    "server_played": ("transports 11", {"start": "started", "stop": "ended"}),
}
"""By peer: the section of the facts that says so, and which messages have to become which events."""
