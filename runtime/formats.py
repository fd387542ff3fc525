"""Which audio format a provider and a carrier speak with each other. Nothing is resampled: both must mean the same.

Formats are compared by name and, for each of the two voices, by rate. The agent's voice and the caller's may differ.
"""

from collections.abc import Iterable

from .adapter import AudioFormat, ProviderAdapter, TransportAdapter
from .errors import UsageError


def agreed(
    provider: ProviderAdapter, transport: TransportAdapter, wanted: str | None = None
) -> AudioFormat:
    """The provider's description of the format of a call; that of the carrier has the same name and the same voices.

    `wanted` names it; None takes the first of the provider's that fits the carrier both ways.

    :raises UsageError: if nothing fits, or not what is wanted; it names both rates and what would fit.
    """
    fitting = [name for name in provider.audio if not _differences(provider, transport, name)]
    if wanted is None:
        if fitting:
            return provider.audio[fitting[0]]
        raise UsageError(
            f"{provider.name} and {transport.name} have no audio format in common: {provider.name} "
            f"speaks {_all(provider.audio.values())}; {transport.name} speaks "
            f"{_all(transport.audio.values())}; nothing is resampled"
        )
    if wanted not in provider.audio or wanted not in transport.audio:
        raise UsageError(
            f"audio format {wanted!r} is not spoken by both {provider.name} and "
            f"{transport.name}; common: {', '.join(fitting) or 'none'}"
        )
    different = _differences(provider, transport, wanted)
    if different:
        raise UsageError(
            f"audio format {wanted!r}: {'; '.join(different)}; nothing is resampled; "
            f"common: {', '.join(fitting) or 'none'}"
        )
    return provider.audio[wanted]


def _differences(provider: ProviderAdapter, transport: TransportAdapter, name: str) -> list[str]:
    """What keeps two sides apart that both know a format of that name, voice by voice."""
    if name not in transport.audio:
        return [f"{transport.name} does not speak it"]
    theirs, ours = provider.audio[name], transport.audio[name]
    voices = (
        ("the agent's voice", theirs, ours),
        ("the caller's voice", theirs.heard, ours.heard),
    )
    return [
        f"{whose} is {one.rate_hz} Hz ({one.bytes_per_ms} bytes per ms) for {provider.name} and "
        f"{other.rate_hz} Hz ({other.bytes_per_ms} bytes per ms) for {transport.name}"
        for whose, one, other in voices
        if (one.rate_hz, one.bytes_per_ms) != (other.rate_hz, other.bytes_per_ms)
    ]


def _all(formats: Iterable[AudioFormat]) -> str:
    return ", ".join(map(_said, formats)) or "nothing"


def _said(each: AudioFormat) -> str:
    if each.heard.rate_hz == each.rate_hz:
        return f"{each.name} ({each.rate_hz} Hz)"
    return f"{each.name} ({each.rate_hz} Hz, the caller's voice {each.heard.rate_hz} Hz)"
