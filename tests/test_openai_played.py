"""The model of the OpenAI server that plays by itself, and a call with it through the driver.

Its events must be such as `openai.types` understands; its rules are those of facts/transports.md 11.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from bargein import adapters
from bargein.runtime.driver import Driver
from bargein.runtime.handles import Handle
from bargein.runtime.nobody import Nobody
from bargein.simulator.openai_played import PlayedRules, PlayedServer

from .streams import MemoryStream

OFFICIAL: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
CLEAR = '{"type":"output_audio_buffer.clear"}'
TELLING = ("output_audio_buffer.", "conversation.item.truncated", "response.done")


class Call:
    """A server with responses that have spoken."""

    def __init__(self, rules: PlayedRules | None = None) -> None:
        form = {"format": {"type": "audio/pcmu"}}
        self.server = PlayedServer(session={"audio": {"output": form, "input": form}}, rules=rules)

    def speaks(self, *items_ms: int, finished: bool = True) -> list[dict[str, Any]]:
        said = self.server.receive('{"type":"response.create"}', self.server.now_ms)
        response = self.server.latest_response
        said += self.server.creates()
        for ms in items_ms:
            said += self.server.announces(response)
            said += self.server.speaks(response, self.server.latest_item, ms)
        return self.told([*said, *(self.server.finishes(response) if finished else [])])

    def cancels(self) -> list[dict[str, Any]]:
        cancel = {"type": "response.cancel", "response_id": self.server.latest_response}
        return self.told(self.server.receive(json.dumps(cancel), self.server.now_ms))

    def clears(self) -> list[dict[str, Any]]:
        return self.told(self.server.receive(CLEAR, self.server.now_ms))

    def told(self, messages: Sequence[str]) -> list[dict[str, Any]]:
        """Of what the server says all that is about playing, and the end of generation."""
        said = [json.loads(message) for message in messages]
        for message in messages:
            if self.server.rules.names_cleared:
                OFFICIAL.validate_json(message)
        return [each for each in said if each["type"].startswith(TELLING)]


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"].rpartition(".")[2] for event in events]


def test_a_buffer_begins_with_the_first_speech_and_is_drained_after_the_response_is_done() -> None:
    """Generation runs ahead of playing."""
    call = Call()
    assert kinds(call.speaks(1_000)) == ["started", "done"]
    assert call.server.next_event_ms == 1_000
    assert call.told(call.server.advance(999)) == []
    assert kinds(call.told(call.server.advance(1_000))) == ["stopped"]
    assert call.server.ear.heard_ms(1) == 1_000
    assert not call.server.ear.faults()


def test_a_response_that_is_played_before_it_is_done_is_drained_when_it_is() -> None:
    """An empty buffer alone says nothing: more may come."""
    call = Call()
    assert kinds(call.speaks(200, finished=False)) == ["started"]
    assert call.told(call.server.advance(500)) == []
    assert kinds(call.told(call.server.finishes(call.server.latest_response))) == [
        "done",
        "stopped",
    ]


def test_responses_play_one_after_the_other() -> None:
    call = Call()
    call.speaks(300)
    assert kinds(call.speaks(300)) == ["done"]
    events = call.told(call.server.advance(300))
    assert [(kind, e["response_id"]) for kind, e in zip(kinds(events), events, strict=True)] == [
        ("stopped", "resp_1"),
        ("started", "resp_2"),
    ]


def test_a_cancel_alone_does_not_stop_the_sound() -> None:
    """What is in the buffer plays on: that is R32."""
    call = Call()
    call.speaks(1_000, finished=False)
    call.server.advance(200)
    call.cancels()
    call.server.finishes(call.server.latest_response)
    call.server.advance(2_000)
    assert call.server.ear.heard_ms(1) == 1_000


@pytest.mark.parametrize("cut_told", ["before_cleared", "after_cleared", "never"])
def test_a_clear_silences_at_once_and_cuts_the_memory_where_it_was(
    cut_told: Literal["before_cleared", "after_cleared", "never"],
) -> None:
    call = Call(PlayedRules(cut_told=cut_told))
    call.speaks(1_000)
    call.server.advance(200)
    order = {
        "before_cleared": ["truncated", "cleared"],
        "after_cleared": ["cleared", "truncated"],
        "never": ["cleared"],
    }
    events = call.clears()
    assert kinds(events) == order[cut_told]
    assert [e["audio_end_ms"] for e in events if "audio_end_ms" in e] == [200] * (len(events) - 1)
    call.server.advance(2_000)
    assert call.server.ear.heard_ms(1) == 200
    (remembered,) = call.server.memory()
    assert remembered.remembered_ms == 200


@pytest.mark.parametrize(("all_cut", "cuts"), [(False, [1]), (True, [1, 2, 3])])
def test_items_that_had_not_begun_are_cut_only_by_that_rule(all_cut: bool, cuts: list[int]) -> None:
    call = Call(PlayedRules(cuts_unplayed=all_cut))
    call.speaks(500, 500, 500)
    call.server.advance(100)
    cut = [e["item_id"] for e in call.clears() if "audio_end_ms" in e]
    assert cut == [f"item_{number}" for number in cuts]


@pytest.mark.parametrize("answers", [True, False])
def test_a_clear_of_nothing_is_answered_by_rule(answers: bool) -> None:
    call = Call(PlayedRules(answers_empty=answers))
    assert call.clears() == []
    call.speaks(100)
    call.server.advance(100)
    assert kinds(call.clears()) == ["cleared"] * answers


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_what_is_generated_after_a_clear_sounds_unless_the_cancel_came_first(
    cancelled_first: bool,
) -> None:
    """That is why the clear follows the cancel: nothing had been buffered yet."""
    call = Call()
    call.speaks(finished=False)
    response = call.server.latest_response
    call.server.announces(response)
    for act in (call.cancels, call.clears)[:: 1 if cancelled_first else -1]:
        act()
    call.server.speaks(response, call.server.latest_item, 300)
    call.server.advance(1_000)
    assert call.server.ear.heard_ms(1) == (0 if cancelled_first else 300)


@pytest.mark.parametrize("interrupts", [True, False])
def test_the_caller_s_voice_clears_only_where_it_interrupts(interrupts: bool) -> None:
    """With generation over there is nothing to cancel, and the buffer is cleared all the same."""
    call = Call()
    turns = {"type": "server_vad", "interrupt_response": interrupts}
    update = {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"input": {"turn_detection": turns}}},
    }
    call.server.receive(json.dumps(update), 0)
    call.speaks(1_000)
    events = call.told(call.server.hears_speech_start(400))
    assert kinds(events) == ["truncated", "cleared"] * interrupts
    call.server.advance(2_000)
    assert call.server.ear.heard_ms(1) == (400 if interrupts else 1_000)


def test_a_copy_goes_its_own_way() -> None:
    call = Call()
    call.speaks(1_000)
    call.server.advance(100)
    twin = call.server.copy()
    assert twin.key() == call.server.key()
    twin.receive(CLEAR, 100)
    assert twin.key() != call.server.key()
    call.server.advance(1_000)
    assert (twin.ear.heard_ms(1), call.server.ear.heard_ms(1)) == (100, 1_000)


# -- through the driver ----------------------------------------------------------------------------


class Sideband(MemoryStream):
    """The call's events, by the model of the server."""

    def __init__(self) -> None:
        super().__init__()
        self.call = Call()
        for message in self.call.server.connects():
            self.says(message)

    async def send(self, data: bytes, binary: bool = False) -> None:
        server = self.call.server
        for message in server.receive(data.decode(), server.now_ms):
            self.says(message)
        await super().send(data, binary)

    def does(self, messages: Sequence[str]) -> None:
        for message in messages:
            self.says(message)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("ends", ["hang up", "provider"])
async def test_a_call_runs_with_nobody_for_a_transport(anyio_backend: str, ends: str) -> None:
    """It begins by itself, is interrupted, and ends with the caller or with the stream of events."""
    sideband, nobody, handles = Sideband(), Nobody("rtc_1"), list[Handle]()
    server = sideband.call.server
    driver = Driver(adapters.provider("openai_webrtc"), adapters.transport("server_played"))

    async def script(driver: Driver) -> None:
        await driver.ready()
        handle = await driver.request(instructions="Speak.")
        handles.append(handle)
        await sideband.until_told("response.create")
        sideband.does(server.creates())
        sideband.does(server.announces("resp_1"))
        sideband.does(server.speaks("resp_1", "item_1", 2_000))
        sideband.does(server.advance(700))
        while not any(item.state == "playing" for item in driver.session.items.values()):
            await anyio.lowlevel.checkpoint()
        await driver.interrupt()
        await sideband.until_told("output_audio_buffer.clear")
        sideband.does(server.finishes("resp_1"))
        await handle.resolved()
        if ends == "provider":
            sideband.ends()
        else:
            nobody.hang_up()

    with anyio.fail_after(10):
        ended = await driver.run(nobody, sideband, script)
    assert ended.code == ("provider_lost" if ends == "provider" else "hung_up")
    (handle,) = handles
    resolved = await handle.resolved()
    assert [(i.state, i.heard_ms, i.memory) for i in resolved.items] == [("partial", 700, "exact")]
    assert sideband.kinds() == ["response.create", "response.cancel", "output_audio_buffer.clear"]
    assert driver.view.carrier_call == "rtc_1"
