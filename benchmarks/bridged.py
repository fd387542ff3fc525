"""The program under test: bargein's bridge, as it runs a call, on a port of the system's choice.

python -m benchmarks.bridged ws://127.0.0.1:9001/ [JOURNALS]     prints the port it listens on
"""

import sys
from contextlib import suppress

import anyio

from bargein import adapters
from bargein.runtime.bridge import Bridge


async def serve(provider_url: str, journals: str | None) -> None:
    """Bridge every carrier to `provider_url` until cancelled; one journal per call in the folder `journals`."""
    openai, twilio = adapters.provider("openai"), adapters.transport("twilio")
    async with Bridge(openai, twilio, provider_url=provider_url, journals=journals) as bridge:
        print(bridge.authority.rpartition(":")[2], flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        anyio.run(serve, sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
