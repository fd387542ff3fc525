"""Names of the wire become names of Python: deterministic, readable, never colliding."""

import builtins
import keyword
import re
from collections.abc import Iterable

_RESERVED = frozenset(
    {
        "ADAPTER",
        "Any",
        "AudioFormat",
        "Callable",
        "Decoder",
        "Encoder",
        "ErrorRule",
        "ItemFacts",
        "Machine",
        "Other",
        "PLAYBACK",
        "ProviderAdapter",
        "Answer",
        "Connect",
        "RESPONSE",
        "Json",
        "Single",
        "TypeVar",
        "_read",
        "Received",
        "RequestFields",
        "ResponseFacts",
        "Row",
        "Struct",
        "TransportAdapter",
        "Voice",
        "Wire",
    }
)

_SPOKEN = frozenset(
    {
        "Any",
        "Json",
        "Other",
        "Single",
        "bool",
        "bytes",
        "dict",
        "field",
        "float",
        "int",
        "list",
        "str",
        "tuple",
    }
)


def camel(name: str) -> str:
    """`response.output_audio.delta` is the class `ResponseOutputAudioDelta`; inner capitals stay."""
    words = re.split(r"[^A-Za-z0-9]+", name)
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"Kind{joined}"


def snake(name: str) -> str:
    """`streamSid` is the attribute `stream_sid`; a keyword of Python gets a trailing `_`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    lower = re.sub(r"\W+", "_", spaced, flags=re.ASCII).lower()
    if not lower.isidentifier():
        lower = f"field_{lower}"
    return f"{lower}_" if keyword.iskeyword(lower) else lower


def local(name: str) -> str:
    """The same for a local variable, which must not hide a builtin either."""
    plain = snake(name)
    return f"{plain}_" if hasattr(builtins, plain) else plain


class Namespace:
    """Names already given in one module, class or function."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = set(taken)

    @classmethod
    def of_module(cls) -> "Namespace":
        """A namespace that knows what every generated module imports and defines."""
        return cls(_RESERVED | frozenset(dir(builtins)))

    def free(self, name: str) -> bool:
        """Whether `name` can still be given."""
        return name not in self._taken

    def give(self, wanted: str) -> str:
        """`wanted`, or `wanted2`, `wanted3` … when it is given already."""
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}{count}"
        self._taken.add(name)
        return name


def attributes(keys: Iterable[str]) -> dict[str, str]:
    """The attribute of each key of one object; none hides a name that the fields after it are declared with."""
    names = Namespace(_SPOKEN)
    return {key: names.give(snake(key.removesuffix("[]"))) for key in keys}
