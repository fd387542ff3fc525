"""The models of the other side are themselves held to something: recordings of the wire, and their own size.

`recorded.py` says what a recording is. A recording that no broken model fails would prove nothing, so each
one is tied to a break it must notice.
"""

# ruff: noqa: ANN401  an override passes on what it does not look at

import base64
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import pytest

from bargein.simulator.buffer import Echo, MarksOnClear, PlayoutBuffer
from bargein.simulator.openai import Bounds, Choice, OpenAIServer
from bargein.simulator.openai_state import Response
from bargein.simulator.openai_wire import Json, Refusal, ResponseCancel, ResponseCreate, Truncate
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.voice import speech

from .recorded import Difference, Recording, recordings, replay

RECORDINGS = {each.name: each for each in recordings()}


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_model_says_what_was_recorded(name: str) -> None:
    replay(RECORDINGS[name])


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_says_where_it_comes_from(name: str) -> None:
    """A section of the facts or an address, and how good the evidence is."""
    head = RECORDINGS[name].head
    assert re.search(r"facts/\w+\.md \S|https://", head["source"])
    assert re.search(r"\[(D|C|C-run|R|T|X|I|INF|U)[ \]]", head["source"])
    assert head["says"].endswith(".")


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_that_lacks_a_message_no_longer_replays(name: str) -> None:
    """What the model says beyond the recording is a difference too."""
    recording = RECORDINGS[name]
    for at, line in enumerate(recording.lines):
        if "server" in line or "carrier" in line:
            rest = recording.lines[:at] + recording.lines[at + 1 :]
            with pytest.raises(Difference):
                replay(replace(recording, lines=rest))


# Broken models. Each is what somebody believed of the server, or a slip of the pen in the model.


class CancelEndsInSilence(OpenAIServer):
    def _stop(self, response_id: str, reason: str) -> None:
        self._change(response_id, state="cancelled", reason=reason)


class DeltasAfterDone(OpenAIServer):
    def finishes(self, response_id: str, *args: Any, **fields: Any) -> list[str]:
        events = super().finishes(response_id, *args, **fields)
        for item in self.responses[response_id].items:
            if self.conversation.items[item].modality == "audio":
                events += self.trailing_delta(response_id, item)
        return events


class DoneBeforeTheItems(OpenAIServer):
    def finishes(self, *args: Any, **fields: Any) -> list[str]:
        events = super().finishes(*args, **fields)
        return events[-1:] + events[:-1]


class SilentAboutIdleCancels(OpenAIServer):
    def _nothing_to_cancel(self, code: str | None) -> Refusal:
        return _Silence("")

    def receive(self, message: str | bytes, now_ms: int) -> list[str]:
        errors = len(self.errors)
        events = super().receive(message, now_ms)
        silent = len(self.errors) > errors and not self.errors[-1].message
        return [] if silent else events


class _Silence(Refusal):
    pass


class CancelReachesTheUnborn(OpenAIServer):
    def _cancel(self, event: ResponseCancel) -> list[str]:
        for name in self.waiting:
            del self.responses[name]
            return []
        return super()._cancel(event)


class CancelFreesTheSlot(OpenAIServer):
    def slot_holder(self) -> Response | None:
        holder = super().slot_holder()
        return None if holder is not None and holder.state == "cancelling" else holder


class TakesASecondCreate(OpenAIServer):
    def _create_response(self, event: ResponseCreate) -> list[str]:
        self._accept("client", request=event.event_id, params=event.response)
        return []


class LosesMetadata(OpenAIServer):
    def _response_json(self, response: Response) -> Json:
        return super()._response_json(response) | {"metadata": None}


class ErrorsNameNobody(OpenAIServer):
    def sends_error(self, message: str, **fields: Any) -> list[str]:
        return super().sends_error(message, **fields | {"event_id": None})


class ErrorsTakeTheClientsEventId(OpenAIServer):
    def sends_error(self, message: str, **fields: Any) -> list[str]:
        (event,) = super().sends_error(message, **fields)
        taken = {"event_id": fields.get("event_id")} if fields.get("event_id") else {}
        return [json.dumps(json.loads(event) | taken)]


class ErrorsEndTheSession(OpenAIServer):
    def sends_error(self, message: str, **fields: Any) -> list[str]:
        events = super().sends_error(message, **fields)
        self.closed = True
        return events


class IgnoresItsRules(OpenAIServer):
    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields | {"rules": None})


class _TruncatesItsOwnWay(OpenAIServer):
    def _truncate(self, event: Truncate) -> list[str]:
        try:
            return super()._truncate(event)
        except Refusal:
            if self.takes(event):
                return self._acknowledges(event)
            raise

    def takes(self, event: Truncate) -> bool:
        raise NotImplementedError

    def _acknowledges(self, event: Truncate) -> list[str]:
        what = {"item_id": event.item_id, "content_index": 0, "audio_end_ms": event.audio_end_ms}
        return [self._event("conversation.item.truncated", **what)]

    def _length_ms(self, event: Truncate) -> int:
        item = self.conversation.items.get(event.item_id)
        return item.generated_ms if item else -1


class ClampsATruncate(_TruncatesItsOwnWay):
    def takes(self, event: Truncate) -> bool:
        return 0 < self._length_ms(event) < int(event.audio_end_ms)


class TruncatesBeforeAnyAudio(_TruncatesItsOwnWay):
    def takes(self, event: Truncate) -> bool:
        return self._length_ms(event) == 0


class TruncatesAFraction(_TruncatesItsOwnWay):
    def takes(self, event: Truncate) -> bool:
        return isinstance(event.audio_end_ms, float)


class TruncatesTheUnknown(_TruncatesItsOwnWay):
    def takes(self, event: Truncate) -> bool:
        return event.item_id not in self.conversation.order


class CountsThroughTheResponse(_TruncatesItsOwnWay):
    """Takes positions that count from the response's first sample."""

    def takes(self, event: Truncate) -> bool:
        items = self.conversation.items
        owner = self.responses[items[event.item_id].response or ""]
        total_ms = sum(items[item].generated_ms for item in owner.items)
        return self._length_ms(event) < int(event.audio_end_ms) <= total_ms


class TruncateKeepsTheTranscript(OpenAIServer):
    def _truncate(self, event: Truncate) -> list[str]:
        events = super()._truncate(event)
        self.conversation.change(event.item_id, truncates=0)
        return events


class TruncateKeepsTheAudio(OpenAIServer):
    def _truncate(self, event: Truncate) -> list[str]:
        before = self.conversation.items.get(event.item_id)
        events = super()._truncate(event)
        assert before is not None
        self.conversation.change(event.item_id, remembered_ms=before.remembered_ms)
        return events


class TruncateIsNotAcknowledged(OpenAIServer):
    def _truncate(self, event: Truncate) -> list[str]:
        super()._truncate(event)
        return []


class TruncateWaitsForDone(OpenAIServer):
    def _truncate(self, event: Truncate) -> list[str]:
        if self._is_busy(event.item_id):
            raise Refusal("The item is still being generated.", code="invalid_value")
        return super()._truncate(event)


class DeletesAnything(OpenAIServer):
    def _delete(self, event: Any) -> list[str]:
        return [self._event("conversation.item.deleted", item_id=event.item_id)]


class ItemsAppearTwice(OpenAIServer):
    def _create_item(self, event: Any) -> list[str]:
        self.conversation.items.pop(event.item.id, None)
        return super()._create_item(event)


class DeafToBargeIn(OpenAIServer):
    def _vad(self, key: str) -> bool:
        return key != "interrupt_response" and super()._vad(key)


class AlwaysInterrupts(OpenAIServer):
    def _vad(self, key: str) -> bool:
        return key == "interrupt_response" or super()._vad(key)


class AlwaysAnswers(OpenAIServer):
    def _vad(self, key: str) -> bool:
        return key == "create_response" or super()._vad(key)


class NeverAnswersTheCaller(OpenAIServer):
    def _accept(self, by: Any, **fields: Any) -> Response:
        response = super()._accept(by, **fields)
        if by != "client":
            del self.responses[response.id]
        return response


class AnswersBeforeTheSlotIsFree(OpenAIServer):
    def _vad_response(self) -> list[str]:
        response = self._accept("vad")
        return self.creates(response.id)


class AnswersTheCallerInTheClientsName(OpenAIServer):
    def _accept(self, by: Any, **fields: Any) -> Response:
        response = super()._accept(by, **fields)
        if by == "client":
            return response
        return self._change(response.id, metadata=(("client_event_id", "req_1"),))


class SpeechStopsEverything(OpenAIServer):
    def hears_speech_start(self, now_ms: int) -> list[str]:
        events = super().hears_speech_start(now_ms)
        for response in list(self.responses.values()):
            if response.state == "in_progress":
                self._stop(response.id, "turn_detected")
        return events


class SpeechTruncates(OpenAIServer):
    """What it does on WebRTC and SIP."""

    def hears_speech_start(self, now_ms: int) -> list[str]:
        events = super().hears_speech_start(now_ms)
        what = {"item_id": self.latest_item, "content_index": 0, "audio_end_ms": 0}
        return [*events, self._event("conversation.item.truncated", **what)]


class HearsWithDetectionOff(OpenAIServer):
    detects_turns = True


class OneReasonForAll(OpenAIServer):
    def _stop(self, response_id: str, reason: str) -> None:
        super()._stop(response_id, "client_cancelled")


class SaysCancelled(OpenAIServer):
    """The event of the guide's prose, which no schema has."""

    def _cancel(self, event: ResponseCancel) -> list[str]:
        said = super()._cancel(event)
        return [*said, self._event("response.cancelled", response_id=event.response_id)]


class CancelWithoutIdStopsAll(OpenAIServer):
    def _cancel(self, event: ResponseCancel) -> list[str]:
        if event.response_id is not None:
            return super()._cancel(event)
        for response in list(self.responses.values()):
            if response.state == "in_progress":
                self._stop(response.id, "client_cancelled")
        return []


class CancelWithoutIdStopsNothing(OpenAIServer):
    def _cancel(self, event: ResponseCancel) -> list[str]:
        return [] if event.response_id is None else super()._cancel(event)


class CancelIgnoresTheId(OpenAIServer):
    def _cancel(self, event: ResponseCancel) -> list[str]:
        holder = self.slot_holder()
        return [] if holder is None else super()._cancel(ResponseCancel("", holder.id))


class EverythingJoinsTheConversation(OpenAIServer):
    def announces(self, *args: Any, **fields: Any) -> list[str]:
        events = super().announces(*args, **fields)
        item = self.conversation.items[self.latest_item]
        if not item.in_conversation:
            shown = item.to_json(empty=True)
            events.append(self._event("conversation.item.added", previous_item_id=None, item=shown))
        return events


class AnItemEndsTheOneBefore(OpenAIServer):
    def announces(self, response_id: str, *args: Any, **fields: Any) -> list[str]:
        before = self.open_items(response_id)
        ended = [event for item in before for event in self.ends_item(response_id, item)]
        return ended + super().announces(response_id, *args, **fields)


class EndsCompleted(OpenAIServer):
    def ends_item(self, response_id: str, item_id: str, status: Any = None) -> list[str]:
        return super().ends_item(response_id, item_id, "completed")


class AllIsCompleted(OpenAIServer):
    def _response_json(self, response: Response) -> Json:
        shown = super()._response_json(response)
        return shown | {"status": "completed"} if response.done else shown


class NothingTrailsAnEndedItem(OpenAIServer):
    def trailing_delta(self, response_id: str, item_id: str, *args: Any) -> list[str]:
        self._open_item(self.responses[response_id], item_id)
        return super().trailing_delta(response_id, item_id, *args)


class CreatesBeforeItEnds(OpenAIServer):
    """A done always has a created before it."""

    def finishes(self, response_id: str, *args: Any, **fields: Any) -> list[str]:
        unborn = self.responses[response_id].state == "requested"
        before = self.creates(response_id) if unborn else []
        return before + super().finishes(response_id, *args, **fields)


class OneNameForAllResponses(OpenAIServer):
    def _accept(self, *args: Any, **fields: Any) -> Response:
        self.responses.pop("resp_1", None)
        self._response_count = 0
        return super()._accept(*args, **fields)


class TextIsSpoken(OpenAIServer):
    def announces(self, response_id: str, *args: Any, **fields: Any) -> list[str]:
        self._change(response_id, text_only=False)
        return super().announces(response_id, *args, **fields)


class CallsAreNotFinished(OpenAIServer):
    def ends_item(self, *args: Any) -> list[str]:
        return [x for x in super().ends_item(*args) if "arguments.done" not in x]


class RefusedAndBorn(OpenAIServer):
    def refuses(self, *args: Any, **fields: Any) -> list[str]:
        waiting = self.responses[self.waiting[0]]
        events = super().refuses(*args, **fields)
        self.responses[waiting.id] = waiting
        return events


class AcknowledgesEverything(OpenAIServer):
    def receive(self, message: str | bytes, now_ms: int) -> list[str]:
        return super().receive(message, now_ms) or [self._event("input_audio_buffer.committed")]


class CommitsNothing(OpenAIServer):
    def _commit_by_client(self) -> list[str]:
        return self._commit()


class Undying(OpenAIServer):
    def loses_connection(self) -> list[str]:
        return []


class UpdateReplaces(OpenAIServer):
    def _update_session(self, changes: Json) -> list[str]:
        self._set_session(changes)
        return [self._event("session.updated", session=changes)]


class Deafened(OpenAIServer):
    def transcribes(self, *args: Any, **fields: Any) -> list[str]:
        return []


class HearsItsOwnWay(OpenAIServer):
    """The caller's speech is announced only once what it interrupts has ended."""

    def hears_speech_start(self, now_ms: int) -> list[str]:
        started = super().hears_speech_start(now_ms)
        holder = self.slot_holder()
        ends = holder is not None and holder.state == "cancelling"
        return self.finishes(holder.id) + started if holder and ends else started


class _Carrier(TwilioCarrier):
    """Twilio with another buffer."""

    kind: type[PlayoutBuffer] = PlayoutBuffer

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        made = self.buffer
        self.buffer = self.kind(
            made.ear, marks_on_clear=made.marks_on_clear, marks_echoed=made.marks_echoed
        )


def carrier(buffer: type[PlayoutBuffer]) -> type[TwilioCarrier]:
    return type(f"With{buffer.__name__}", (_Carrier,), {"kind": buffer})


class LastMarkFirst(PlayoutBuffer):
    def clear(self) -> list[Echo]:
        return super().clear()[::-1]


class ClearDropsMarks(PlayoutBuffer):
    def clear(self) -> list[Echo]:
        super().clear()
        return []


class ClearReturnsMarks(PlayoutBuffer):
    """Twilio's way, whatever the carrier."""

    def clear(self) -> list[Echo]:
        pending = self.pending_marks
        super().clear()
        self.undecided = ()
        return [Echo(name, True, self.now_ms) for name in pending]


class ClearKeepsTheAudio(PlayoutBuffer):
    def clear(self) -> list[Echo]:
        entries, left = [x for x in self._entries if isinstance(x, bytes)], self._left_bytes
        head = self._head_bytes
        echoes = super().clear()
        self._entries, self._left_bytes, self._head_bytes = deque(entries), left, head
        return echoes


class ClearTakesTheFirstItem(PlayoutBuffer):
    """A clear of what plays now, up to its mark."""

    def clear(self) -> list[Echo]:
        entries = list(self._entries)
        echoes = super().clear()
        rest = entries[entries.index(echoes[0].name) + 1 :] if echoes else []
        for entry in rest:
            if isinstance(entry, bytes):
                self.put(entry)
            else:
                self.mark(entry)
        return echoes[:1]


class ClearIsForEver(PlayoutBuffer):
    cleared = False

    def clear(self) -> list[Echo]:
        self.cleared = True
        return super().clear()

    def put(self, audio: bytes) -> bool:
        return True if self.cleared else super().put(audio)


class MarksDoNotWait(PlayoutBuffer):
    def mark(self, name: str) -> list[Echo]:
        return [Echo(name, False, self.now_ms)]


class MarksNeedAudio(PlayoutBuffer):
    def mark(self, name: str) -> list[Echo]:
        return super().mark(name) if self._entries else []


class NeverDecided(PlayoutBuffer):
    def decide(self, returned: bool) -> list[Echo]:
        self.undecided = ()
        return []


class DecidedTwice(PlayoutBuffer):
    def decide(self, returned: bool) -> list[Echo]:
        names = self.undecided
        echoes = super().decide(returned)
        self.undecided = names
        return echoes


class Bottomless(PlayoutBuffer):
    def put(self, audio: bytes) -> bool:
        self.limit_ms = 10**9
        return super().put(audio)


class EchoesRegardless(PlayoutBuffer):
    def mark(self, name: str) -> list[Echo]:
        self.marks_echoed = True
        return super().mark(name)


class AcknowledgesClear(TwilioCarrier):
    def receive(self, message: str | bytes, now_ms: int) -> list[str]:
        said = super().receive(message, now_ms)
        return [*said, self._message("clear", {})] if '"clear"' in str(message) else said


class FlagsMarks(TwilioCarrier):
    def _mark(self, echo: Echo) -> dict[str, object]:
        return {"name": echo.name, "event": "cleared" if echo.cleared else "playout"}


class HidesTheFlag(TwilioCarrier):
    def _mark(self, echo: Echo) -> dict[str, object]:
        return super()._mark(echo._replace(cleared=False))


class StopReturnsMarks(TwilioCarrier):
    def stop(self, now_ms: int) -> list[str]:
        pending = self.buffer.pending_marks
        said = super().stop(now_ms)
        return said + [self._message("mark", {"name": name}) for name in pending]


class ComplainsInBand(TwilioCarrier):
    def receive(self, message: str | bytes, now_ms: int) -> list[str]:
        warned = len(self.warnings)
        said = super().receive(message, now_ms)
        return [*said, self._message("error", {})] if len(self.warnings) > warned else said


class SaysNumbers(TwilioCarrier):
    def _message(self, event: str, body: Any) -> str:
        said = json.loads(super()._message(event, body))
        return json.dumps(said | {"sequenceNumber": int(said["sequenceNumber"])})


BROKEN: dict[type[OpenAIServer] | type[TwilioCarrier], str] = {
    CancelEndsInSilence: "cancel_by_id cancel_before_the_first_item cancel_without_id",
    DeltasAfterDone: "deltas_in_flight_after_a_cancel cancel_by_id response_order",
    DoneBeforeTheItems: "response_order interrupted_by_the_caller cancel_by_id",
    SilentAboutIdleCancels: "cancel_after_done cancel_with_nothing_ever_asked cancel_races_with_completion "
    "cancel_after_the_server_cancelled truncate_after_done_only",
    CancelReachesTheUnborn: "cancel_before_created",
    CancelFreesTheSlot: "create_before_the_slot_is_free truncate_leaves_the_session_alive",
    TakesASecondCreate: "create_while_another_is_active create_while_busy_code_null "
    "create_against_a_vad_response tool_result_against_a_vad_response",
    LosesMetadata: "response_order created_late",
    ErrorsNameNobody: "create_refused_after_all delete_unknown_item cancel_races_with_completion",
    ErrorsTakeTheClientsEventId: "cancel_after_done create_while_another_is_active",
    ErrorsEndTheSession: "truncate_leaves_the_session_alive item_errors cancel_after_done",
    IgnoresItsRules: "truncate_twice truncate_mutes_the_session truncate_held_85_ms_shorter "
    "cancel_without_id_two_in_flight_documented delete_unknown_item_event_id_null "
    "create_while_busy_code_null cancel_kills_a_response_nobody_meant",
    ClampsATruncate: "truncate_beyond_the_audio truncate_with_a_stale_clock",
    TruncatesBeforeAnyAudio: "truncate_before_any_audio text_only",
    TruncatesAFraction: "truncate_a_fraction",
    TruncatesTheUnknown: "truncate_unknown_item delete_what_was_never_played",
    CountsThroughTheResponse: "truncate_each_item_by_itself",
    TruncateKeepsTheTranscript: "truncate_then_retrieve",
    TruncateKeepsTheAudio: "truncate_then_retrieve",
    TruncateIsNotAcknowledged: "truncate_after_done_only interrupted_by_the_caller",
    TruncateWaitsForDone: "truncate_while_generating",
    DeletesAnything: "delete_unknown_item delete_what_was_never_played",
    ItemsAppearTwice: "item_errors",
    DeafToBargeIn: "caller_interrupts_and_is_answered interrupted_by_the_caller",
    AlwaysInterrupts: "caller_speaks_without_interrupting turn_detection_events_only",
    AlwaysAnswers: "turn_detection_events_only",
    NeverAnswersTheCaller: "caller_interrupts_and_is_answered idle_timeout transcript_after_the_response",
    AnswersBeforeTheSlotIsFree: "caller_interrupts_and_is_answered",
    AnswersTheCallerInTheClientsName: "caller_interrupts_and_is_answered",
    SpeechStopsEverything: "caller_interrupts_only_the_conversation",
    SpeechTruncates: "interrupted_by_the_caller caller_interrupts_and_is_answered",
    HearsWithDetectionOff: "turn_detection_off",
    HearsItsOwnWay: "interrupted_by_the_caller",
    OneReasonForAll: "interrupted_by_the_caller caller_interrupts_and_is_answered",
    SaysCancelled: "cancel_by_id",
    CancelWithoutIdStopsAll: "cancel_without_id_two_in_flight",
    CancelWithoutIdStopsNothing: "cancel_without_id late_cancel_hits_the_answer "
    "cancel_overtaken_by_create cancel_kills_a_response_nobody_meant",
    CancelIgnoresTheId: "cancel_by_id_two_in_flight",
    EverythingJoinsTheConversation: "out_of_band",
    AnItemEndsTheOneBefore: "two_messages_in_one_response",
    EndsCompleted: "cancel_by_id interrupted_by_the_caller",
    AllIsCompleted: "ends_incomplete_and_failed cancel_by_id",
    NothingTrailsAnEndedItem: "trailing_delta_after_audio_done",
    CreatesBeforeItEnds: "done_without_created",
    OneNameForAllResponses: "cancel_after_done",
    TextIsSpoken: "text_only",
    CallsAreNotFinished: "message_and_function_call tool_result_against_a_vad_response",
    RefusedAndBorn: "create_refused_after_all",
    AcknowledgesEverything: "input_buffer",
    CommitsNothing: "input_buffer",
    Undying: "connection_lost",
    UpdateReplaces: "session_defaults_and_update",
    Deafened: "transcript_after_the_response",
    carrier(LastMarkFirst): "clear_twilio clear_jambonz clear_with_six_marks_outstanding",
    carrier(ClearDropsMarks): "clear_twilio clear_long_after_generation",
    carrier(ClearReturnsMarks): "clear_plivo clear_unknown_returned clear_unknown_never",
    carrier(ClearKeepsTheAudio): "clear_twilio clear_plivo clear_is_not_acknowledged",
    carrier(ClearTakesTheFirstItem): "clear_with_three_items_queued",
    carrier(ClearIsForEver): "media_after_a_clear_plays clear_twilio",
    carrier(MarksDoNotWait): "mark_when_played",
    carrier(MarksNeedAudio): "mark_when_played twilio_connection",
    carrier(NeverDecided): "clear_unknown_returned",
    carrier(DecidedTwice): "clear_unknown_never",
    carrier(Bottomless): "ten_minutes",
    carrier(EchoesRegardless): "no_mark_echoes",
    AcknowledgesClear: "clear_is_not_acknowledged",
    FlagsMarks: "clear_twilio",
    HidesTheFlag: "clear_jambonz",
    StopReturnsMarks: "stop_with_marks_outstanding",
    ComplainsInBand: "malformed_messages ten_minutes",
    SaysNumbers: "twilio_connection",
}
"""Each broken model and the recordings that must notice it."""


def differs(model: type[OpenAIServer] | type[TwilioCarrier], recording: Recording) -> bool:
    try:
        if issubclass(model, OpenAIServer):
            replay(recording, openai=model)
        else:
            replay(recording, twilio=model)
    except Difference:
        return True
    return False


@pytest.mark.parametrize("model", BROKEN, ids=lambda model: model.__name__)
def test_a_broken_model_fails_the_recordings_that_are_about_it(
    model: type[OpenAIServer] | type[TwilioCarrier],
) -> None:
    noticed = [name for name in BROKEN[model].split() if differs(model, RECORDINGS[name])]
    assert noticed == BROKEN[model].split()


def test_every_recording_notices_some_broken_model() -> None:
    noticing = {name for names in BROKEN.values() for name in names.split()}
    assert set(RECORDINGS) == noticing


def test_a_model_that_only_has_another_name_passes_every_recording() -> None:
    """So it is the break that is noticed, not the subclass."""
    for recording in RECORDINGS.values():
        replay(recording, openai=Renamed, twilio=carrier(PlayoutBuffer))


class Renamed(OpenAIServer):
    pass


# How big the models are.


class Size(NamedTuple):
    """What a search found: keys of the model, states (a key and the inputs left), steps between them, and
    how many of these steps make the model say something."""

    keys: int
    states: int
    edges: int
    answered: int


class Unsound(AssertionError):
    """`copy` or `key` does not keep its promise."""


Left = tuple[int, ...]
"""How often each kind of input may still be given."""


@dataclass(frozen=True)
class World:
    """A model, and what may be done to it. A step is done to the model it is given."""

    start: Callable[[], Any]
    left: Left
    steps: Callable[[Any, Left], Iterator[tuple[Any, Left]]]
    do: Callable[[Any, Any], list[str]]


_COUNTED = re.compile(r'"(event_id":"event_|sequenceNumber":")\d+"')
"""The numbers of events, which `key` leaves out: nothing depends on them."""

LIMIT = 100_000


def explored(world: World) -> Size:
    """Breadth first, each state once. On the way, at every step: a copy is stepped and the original keeps its
    key; models that met in one key answer alike and meet again. Raises `Unsound`.
    """
    answers: dict[Any, dict[Any, Any]] = {}
    seen: set[Any] = set()
    frontier = deque([(world.start(), world.left)])
    edges = answered = 0
    while frontier:
        model, left = frontier.popleft()
        key = model.key()
        new = (key, left) not in seen
        seen.add((key, left))
        assert len(seen) < LIMIT
        known = answers.setdefault(key, {})
        for step, rest in world.steps(model, left):
            twin = model.copy()
            if twin.key() != key:
                raise Unsound("a copy has another key")
            said = [_COUNTED.sub("", message) for message in world.do(twin, step)]
            after = twin.key()
            if model.key() != key:
                raise Unsound(f"{step} of a copy changed the original")
            if known.setdefault(step, (said, after)) != (said, after):
                raise Unsound(f"{step} is answered in two ways")
            if new:
                edges += 1
                answered += bool(said)
                frontier.append((twin, rest))
    return Size(len(answers), len(seen), edges, answered)


def walked(world: World) -> Size:
    """The same by another way: every path to its end, nothing merged but in the counting."""
    keys: set[Any] = set()
    states: set[Any] = set()
    edges: dict[Any, bool] = {}

    def walk(model: Any, left: Left) -> None:
        here = (model.key(), left)
        keys.add(here[0])
        states.add(here)
        for step, rest in world.steps(model, left):
            twin = model.copy()
            edges[here, step] = bool(world.do(twin, step))
            walk(twin, rest)

    walk(world.start(), world.left)
    return Size(len(keys), len(states), len(edges), sum(edges.values()))


def spent(left: Left, at: int) -> Left:
    return (*left[:at], left[at] - 1, *left[at + 1 :])


def server_world(
    bounds: Bounds,
    *,
    creates: int = 0,
    beside: int = 0,
    cancels: int = 0,
    truncates: int = 0,
    deletes: int = 0,
    model: type[OpenAIServer] = OpenAIServer,
) -> World:
    """A client that asks, also out of band (`beside`), and cancels, truncates at 50 ms and deletes whatever
    the server has named, each so many times; the server does all its `bounds` allow."""

    def steps(server: OpenAIServer, left: Left) -> Iterator[tuple[Any, Left]]:
        told: list[tuple[int, list[Json]]] = [
            (0, [{"type": "response.create"}]),
            (1, [{"type": "response.create", "response": {"conversation": "none"}}]),
            (2, [{"type": "response.cancel", "response_id": x} for x in server.responses]),
            (3, [_CUT | {"item_id": x} for x in server.conversation.items]),
            (
                4,
                [
                    {"type": "conversation.item.delete", "item_id": x}
                    for x in server.conversation.items
                ],
            ),
        ]
        for at, messages in told:
            if left[at]:
                for message in messages:
                    yield json.dumps(message), spent(left, at)
        for choice in server.choices():
            yield choice, left

    def do(server: OpenAIServer, step: str | Choice) -> list[str]:
        return server.receive(step, 0) if isinstance(step, str) else server.take(step, 0)

    left = (creates, beside, cancels, truncates, deletes)
    return World(lambda: model(session=PCMU, bounds=bounds), left, steps, do)


PCMU = {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}
_CUT = {"type": "conversation.item.truncate", "content_index": 0, "audio_end_ms": 50}

ONE_ITEM = Bounds(items=1, deltas=1)
EVERYTHING = Bounds(
    items=1,
    deltas=1,
    kinds=("message", "text", "function_call"),
    ends=("completed", "failed", "incomplete"),
    separate_ends=True,
    silent_creates=True,
    unborn_deaths=True,
    refusals=True,
    drops=True,
)

SERVER_WORLDS = {
    "one request, cancelled twice, cut and deleted": (
        server_world(ONE_ITEM, creates=1, cancels=2, truncates=1, deletes=1),
        Size(274, 274, 470, 416),
    ),
    "one request, two items of two deltas": (
        server_world(Bounds(), creates=1, cancels=1, truncates=1, deletes=1),
        Size(928, 928, 1802, 1692),
    ),
    "two requests, cancelled": (
        server_world(ONE_ITEM, creates=2, cancels=2),
        Size(570, 570, 813, 706),
    ),
    "a request beside another, cancelled": (
        server_world(ONE_ITEM, creates=1, beside=1, cancels=1),
        Size(847, 847, 1638, 1466),
    ),
    "a request and the caller": (
        server_world(Bounds(items=1, deltas=1, speech_turns=1), creates=1, cancels=1, truncates=1),
        Size(1953, 1953, 3666, 3476),
    ),
    "two requests and the caller, cancelled": (
        server_world(Bounds(items=1, deltas=1, speech_turns=1), creates=2, cancels=1),
        Size(7012, 7012, 9651, 8927),
    ),
    "all a server may do with one request": (
        server_world(EVERYTHING, creates=1, cancels=1),
        Size(534, 629, 735, 344),
    ),
}


@pytest.mark.parametrize("name", SERVER_WORLDS)
def test_the_server_is_as_big_as_it_was(name: str) -> None:
    """A change of these numbers is a change of what the server may do: say in the commit what it means."""
    world, size = SERVER_WORLDS[name]
    assert explored(world) == size


@pytest.mark.parametrize("trailing", [0, 1, 3])
@pytest.mark.parametrize("deltas", [1, 2, 4])
def test_a_response_of_one_item_is_as_big_as_counted_by_hand(deltas: int, trailing: int) -> None:
    """One request, one item of D deltas, one cancel, T trailing deltas.

    A running response has said nothing, or announced its item and spoken 0…D deltas: R = D + 2 shapes, of
    which D + 1 have an item. Without the cancel: nothing asked, asked, R running, R completed. Cancelled
    before it is created: refused, and the same again from asked on, 1 + 2R. Cancelled while running, in each
    shape: ending and done, and the same after each of 1…T trailing deltas where there is an item,
    2R + 2T(D + 1). Cancelled when completed: refused too, and the same key as refused first and completed
    then. Steps: a path of shapes has R - 1 steps and R ends; so has the one after a refusal; R + 1 cancels
    from asked and running and R from completed; ending has R + T(D + 1) ends and T(D + 1) deltas. The
    server says nothing to the request, nor to a cancel of what is running.
    """
    shapes, audible = deltas + 2, deltas + 1
    keys = (2 + 2 * shapes) + (1 + 2 * shapes) + (2 * shapes + 2 * trailing * audible)
    asked = 1
    life = 1 + (shapes - 1) + shapes
    edges = asked + 2 * life + (2 * shapes + 1) + (shapes + 2 * trailing * audible)
    world = server_world(
        Bounds(items=1, deltas=deltas, trailing_deltas=trailing), creates=1, cancels=1
    )
    assert explored(world) == Size(keys, keys, edges, edges - 1 - shapes)


@pytest.mark.parametrize(("items", "deltas"), [(1, 1), (2, 2), (3, 2), (2, 5)])
def test_a_response_nobody_cancels_is_a_tree_counted_by_hand(items: int, deltas: int) -> None:
    """A next item begins when the one before has said something, and then that one is silent. So with n
    items the first n - 1 have 1…D deltas and the last 0…D: D to the power n - 1 times (D + 1) shapes.
    Each shape runs or is completed; before them nothing asked, and asked. Every state has one way in. Only the
    request is not answered at once.
    """
    shapes = 1 + sum(deltas ** (n - 1) * (deltas + 1) for n in range(1, items + 1))
    states = 2 + 2 * shapes
    world = server_world(Bounds(items=items, deltas=deltas), creates=1)
    assert explored(world) == Size(states, states, states - 1, states - 2)


@pytest.mark.parametrize(
    "world",
    [
        server_world(ONE_ITEM, creates=1, cancels=1, truncates=1, deletes=1),
        server_world(Bounds(items=1, deltas=0, speech_turns=1), creates=1, cancels=1),
        server_world(Bounds(items=1, deltas=0), creates=1, beside=1, cancels=1),
    ],
)
def test_merging_what_has_one_key_loses_nothing_of_the_server(world: World) -> None:
    assert explored(world) == walked(world)


def carrier_world(
    marks_on_clear: MarksOnClear,
    *,
    media: int,
    marks: int,
    clears: int,
    model: type[TwilioCarrier] = TwilioCarrier,
) -> World:
    """An app that sends 20 ms of a new item, marks and clears, each so many times; the carrier plays 10 ms, or
    to the next mark, and where it may, decides what became of cleared marks."""
    sid = TwilioCarrier.stream_sid

    def steps(carrier: TwilioCarrier, left: Left) -> Iterator[tuple[Any, Left]]:
        for at, event in enumerate(("media", "mark", "clear")):
            if left[at]:
                yield (event, left[at]), spent(left, at)
        if carrier.buffer.buffered_ms:
            yield ("plays", 10), left
            yield ("plays_to_next_mark",), left
        if carrier.buffer.undecided:
            yield ("decides", True), left
            yield ("decides", False), left

    def do(carrier: TwilioCarrier, step: tuple[Any, ...]) -> list[str]:
        act, *rest = step
        if act not in ("media", "mark", "clear"):
            said: list[str] = getattr(carrier, act)(*rest)
            return said
        body: Json = {}
        if act == "media":
            payload = base64.b64encode(speech(media - rest[0], 0, 20)).decode()
            body = {"media": {"payload": payload}}
        elif act == "mark":
            body = {"mark": {"name": f"m{marks - rest[0]}"}}
        return carrier.receive(json.dumps({"event": act, "streamSid": sid} | body), 0)

    def start() -> TwilioCarrier:
        carrier = model(marks_on_clear=marks_on_clear)
        carrier.start(0)
        return carrier

    return World(start, (media, marks, clears), steps, do)


CARRIERS: dict[MarksOnClear, Size] = {
    "returned_unflagged": Size(407, 1414, 4312, 1819),
    "returned_flagged": Size(407, 1414, 4312, 1819),
    "dropped": Size(407, 1414, 4312, 1335),
    "unknown": Size(865, 2692, 9572, 3211),
}


@pytest.mark.parametrize("meaning", CARRIERS)
def test_the_carrier_is_as_big_as_it_was(meaning: MarksOnClear) -> None:
    """A change of these numbers is a change of what a carrier may do: say in the commit what it means."""
    world = carrier_world(meaning, media=3, marks=3, clears=2)
    assert explored(world) == CARRIERS[meaning]


@pytest.mark.parametrize("meaning", CARRIERS)
def test_a_carrier_given_one_of_each_is_as_big_as_counted_by_hand(meaning: MarksOnClear) -> None:
    """One audio, one mark, one clear; 20 ms that play in one piece or in two.

    Keys: nothing yet (E); audio queued, whole (A) or half played (a), with the mark behind it (Am, am) or
    without; after a clear half heard (h); all heard (H). E, A, a, Am, am, h, H: 7, and where the meaning of
    a clear is unknown the mark in limbo after nothing (Eu) and after a half (hu): 9.

    States, by what is left of (audio, mark, clear): E six, the four with the audio left and those where it
    went with the clear, (0,1,0) and (0,0,0). A and a four each. Am and am two each, the mark is not left. h
    two, the clear is not left. H four. In all 24. Eu and hu have nothing left: 26.

    Steps: E 9. A and a: a mark or a clear while left, 4, and two ways to play in each of four states, 8: 12
    each. Am and am: a clear in one of two, two ways to play in both: 5 each. h one mark. H 4. In all 48.
    Where unknown, two decisions from each limbo more: 52.

    Answered are marks with nothing to wait for, 3 in E, 1 in h, 2 in H; from Am playing on to the mark, 2;
    from am either way of playing, 4: 12. To these come the two clears with a mark pending, unless the mark
    is dropped; where unknown the two decisions that return it.
    """
    limbo = meaning == "unknown"
    answered = 12 if meaning == "dropped" else 14
    expected = Size(9, 26, 52, answered) if limbo else Size(7, 24, 48, answered)
    assert explored(carrier_world(meaning, media=1, marks=1, clears=1)) == expected


@pytest.mark.parametrize("meaning", CARRIERS)
def test_merging_what_has_one_key_loses_nothing_of_the_carrier(meaning: MarksOnClear) -> None:
    world = carrier_world(meaning, media=2, marks=1, clears=1)
    assert explored(world) == walked(world)


# What the search would notice.


class SharesResponses(OpenAIServer):
    __slots__ = ()

    def copy(self) -> Self:
        twin = super().copy()
        twin.responses = self.responses
        return twin


class SharesItems(OpenAIServer):
    __slots__ = ()

    def copy(self) -> Self:
        twin = super().copy()
        twin.conversation = self.conversation
        return twin


class KeyForgetsItems(OpenAIServer):
    __slots__ = ()

    def key(self) -> Any:
        return (tuple(self.responses.values()), self.closed)


class CopyLosesTheItems(OpenAIServer):
    __slots__ = ()

    def copy(self) -> Self:
        twin = super().copy()
        twin.conversation.items.clear()
        return twin


class SharesTheBuffer(TwilioCarrier):
    def copy(self) -> "SharesTheBuffer":
        twin = super().copy()
        twin.buffer = self.buffer
        return twin


class KeyForgetsMarks(TwilioCarrier):
    def key(self) -> tuple[object, ...]:
        return (self.buffer.buffered_ms, self.ear.key(), self.buffer.undecided)


@pytest.mark.parametrize(
    "model", [SharesResponses, SharesItems, KeyForgetsItems, CopyLosesTheItems]
)
def test_a_server_that_copies_or_names_itself_badly_is_found_out(
    model: type[OpenAIServer],
) -> None:
    world = server_world(ONE_ITEM, creates=1, cancels=1, truncates=1, deletes=1, model=model)
    with pytest.raises(Unsound):
        explored(world)


@pytest.mark.parametrize("model", [SharesTheBuffer, KeyForgetsMarks])
def test_a_carrier_that_copies_or_names_itself_badly_is_found_out(
    model: type[TwilioCarrier],
) -> None:
    world = carrier_world("returned_unflagged", media=2, marks=2, clears=1, model=model)
    with pytest.raises(Unsound):
        explored(world)
