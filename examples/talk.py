"""Talk to a speech-to-speech model through your microphone and loudspeaker, and interrupt it. Use headphones.

pip install "bargein[soundcard]"
export OPENAI_API_KEY=...
python examples/talk.py openai
"""

import argparse
import os

import aiohttp
import anyio

from bargein import BargeinError, adapters
from bargein.runtime.actions import Action, ItemSettled, Problem, TextArrived
from bargein.runtime.bridge import session_settings
from bargein.runtime.dialing import Dial
from bargein.runtime.driver import Driver, Ended
from bargein.runtime.formats import agreed
from bargein.runtime.soundcard import Device, SoundCard
from bargein.runtime.streams import WebSocketStream


async def talk(
    name: str, *, url: str | None = None, greet: str = "Hello.", device: Device | None = None
) -> Ended:
    """Hold one call with a provider until Ctrl-C, or until the provider or the sound card is gone."""
    provider, transport = adapters.provider(name), adapters.transport("soundcard")
    audio = agreed(provider, transport)
    key = provider.connect.key if provider.connect else None
    dial = Dial(provider, url=url, key=os.environ.get(key) if key else None)
    card = SoundCard(transport.audio[audio.name], device)
    driver = Driver(provider, transport, on_action=show)
    await driver.configure(session_settings({}, audio.asks))

    async def begin(driver: Driver) -> None:
        await driver.ready()
        await driver.request(instructions=f"Say exactly this: {greet}")

    async with aiohttp.ClientSession() as http:

        async def connect() -> WebSocketStream:
            return await dial.open(http, within_s=10, close_s=1)

        return await driver.run(card.open, connect, begin)


def show(action: Action) -> None:
    """Print what is said, and of each item what was heard of it."""
    match action:
        case TextArrived(text=text):
            print(text, end="", flush=True)
        case ItemSettled(outcome=outcome):
            print(f"\n  [{outcome.state}: {outcome.heard_ms} ms heard, memory {outcome.memory}]")
        case Problem(message=message):
            print(f"\n  [{message}]")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("provider", nargs="?", default="openai")
    parser.add_argument("--url", help="the provider's websocket, if not as its table says")
    parser.add_argument("--greet", default="Hello.", help="what it says first")
    arguments = parser.parse_args()
    try:
        ended = anyio.run(
            lambda: talk(arguments.provider, url=arguments.url, greet=arguments.greet)
        )
    except KeyboardInterrupt:
        return
    except BargeinError as error:
        raise SystemExit(str(error)) from None
    print(f"\n{ended.reason}")


if __name__ == "__main__":
    main()
