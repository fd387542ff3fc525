"""Who broke the protocol: them (`ProviderError`, `TransportError`) or you (`UsageError`)."""


class BargeinError(Exception):
    """Base of everything bargein raises on purpose."""


class UsageError(BargeinError):
    """You asked for something that cannot be: a wrong argument, an unknown name, a closed session."""


class ProviderError(BargeinError):
    """The provider could not be reached, refused us, or left."""


class TransportError(BargeinError):
    """The carrier could not be reached, refused us, or left."""
