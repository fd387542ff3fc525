"""bargein: what the caller heard is what the model remembers, and nothing plays that nobody asked for.

`Session` is one call without I/O; `bargein.runtime.driver.Driver` carries it out over two streams of messages.
`bargein.adapters.provider(name)` and `bargein.adapters.transport(name)` say how each side speaks. The command line
is `bargein`.
"""

from bargein.runtime.errors import BargeinError, ProviderError, TransportError, UsageError
from bargein.runtime.session import Session, Settings

__version__ = "0.1.0"

__all__ = [
    "BargeinError",
    "ProviderError",
    "Session",
    "Settings",
    "TransportError",
    "UsageError",
    "__version__",
]
