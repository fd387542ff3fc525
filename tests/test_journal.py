"""The journal keeps a call well enough to run it again, and keeps nothing else."""

import json
import logging
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bargein import adapters
from bargein.runtime import masking
from bargein.runtime.actions import Side
from bargein.runtime.adapter import ItemFacts, ProviderAdapter, Wire
from bargein.runtime.errors import UsageError
from bargein.runtime.journal import Journal, JournalError, check_folder, header
from bargein.runtime.lines import Line, Lines
from bargein.runtime.replay import Difference, ReplayResult, replay
from bargein.runtime.session import Session, Settings
from bargein.runtime.tap import tapped
from bargein.runtime.view import split

OPENAI = adapters.provider("openai")
TWILIO = adapters.transport("twilio")
SPEECH = bytes(range(1, 201)) * 4  # 100 ms, and unmistakable in a file


class Recorded:
    """A session whose every step goes into a journal, as a driver does it."""

    made: ClassVar[list["Recorded"]] = []

    def __init__(
        self,
        path: Path,
        *,
        audio: bool = False,
        settings: Settings | None = None,
        provider: ProviderAdapter = OPENAI,
    ) -> None:
        self.path = path
        tapped_provider, self._provider_tap = tapped(provider)
        tapped_transport, self._transport_tap = tapped(TWILIO)
        self.session = Session(tapped_provider, tapped_transport, settings)
        self.journal = Journal(path, audio=audio)
        first = header(provider, TWILIO, settings or Settings(), audio=audio)
        self.journal.begin(first, provider, TWILIO)
        self.now_ms = 0
        self.made.append(self)

    def hears(self, side: Side, message: str | bytes | dict[str, Any]) -> None:
        self.now_ms += 10
        if isinstance(message, dict):
            message = json.dumps(message)
        receive, tap = (
            (self.session.provider_received, self._provider_tap)
            if side == "provider"
            else (self.session.transport_received, self._transport_tap)
        )
        actions = receive(message, self.now_ms)
        self.journal.message(self.now_ms, side, message, tap.events, actions)

    def does(self, verb: str, **arguments: Any) -> Any:  # noqa: ANN401
        self.now_ms += 10
        gave, actions = split(getattr(self.session, verb)(now_ms=self.now_ms, **arguments))
        self.journal.verb(self.now_ms, verb, arguments, gave, actions)
        return gave

    def ends(self) -> str:
        self.journal.close(self.now_ms, "hung_up: the caller hung up")
        return self.path.read_text()

    def replays(self, engine: str = "table", provider: ProviderAdapter = OPENAI) -> ReplayResult:
        return replay(self.path, {"openai": provider}, {"twilio": TWILIO}, engine)


@pytest.fixture(autouse=True)
def closes_files() -> Iterator[None]:
    """Tests that are not about the end of a call may leave it out."""
    yield
    for call in Recorded.made:
        call.journal.close(0, "the test is over")
    Recorded.made.clear()


@pytest.fixture
def call(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path / "call.jsonl")


def start(**custom: str) -> dict[str, Any]:
    return {
        "event": "start",
        "streamSid": "MZ1",
        "start": {"streamSid": "MZ1", "callSid": "CA1", "customParameters": custom},
    }


def frame(audio: bytes = SPEECH[:160]) -> dict[str, Any]:
    return {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"track": "inbound", "payload": b64encode(audio).decode()},
    }


def delta(audio: bytes = SPEECH, item: str = "item_1") -> dict[str, Any]:
    return {
        "type": "response.output_audio.delta",
        "response_id": "resp_1",
        "item_id": item,
        "content_index": 0,
        "delta": b64encode(audio).decode(),
    }


def created(ref: str) -> dict[str, Any]:
    return {
        "type": "response.created",
        "response": {"id": "resp_1", "metadata": {"client_event_id": ref}},
    }


def a_call_with_everything(call: Recorded) -> None:
    """Speech, marks, a barge-in, a timeout, text, a function call, an error, and both losses."""
    call.does("configure", settings={"type": "realtime"})
    call.hears("transport", start())
    call.hears("transport", frame())
    ref = call.does("request", instructions="Say hello.", input=None, tools=None, beside=False)
    call.hears("provider", created(ref))
    for _ in range(4):
        call.hears("provider", delta())
        call.hears("transport", frame())
    call.hears(
        "transport", {"event": "mark", "streamSid": "MZ1", "mark": {"name": "bargein_mark_1"}}
    )
    call.hears("provider", {"type": "input_audio_buffer.speech_started"})
    assert call.does("interrupt", scope=None, cause="api")["covered"] == []
    call.hears("provider", delta())
    call.does("request", instructions="Never answered.")
    call.now_ms += 10_000
    call.does("advance")
    call.hears(
        "provider", {"type": "error", "error": {"code": "odd", "message": "Something is odd."}}
    )
    call.hears("provider", {"type": "response.unheard_of", "some": ["thing"]})
    call.does("tell", message=b'{"type":"conversation.item.create","item":{}}')
    call.does("provider_lost", reason="closed with code 1006")
    call.does("transport_lost", reason="closed with code 1001")


@pytest.mark.parametrize("engine", ["table", "transitions"])
def test_a_call_replays_byte_for_byte(call: Recorded, engine: str) -> None:
    """The same inputs at the same times give the same outputs, whatever engine runs the tables."""
    a_call_with_everything(call)
    call.ends()
    result = call.replays(engine)
    assert result.same, result.difference
    assert result.warnings == ()
    assert result.outputs > 30
    assert result.duration_ms == call.now_ms


def test_audio_is_left_out_and_its_length_is_kept(call: Recorded) -> None:
    """Whoever reads a journal must not hear the caller; whoever replays it needs every millisecond."""
    call.hears("transport", start())
    call.does("request", instructions="Speak.")
    call.hears("provider", created("bargein_req_1"))
    sizes = [1, 2, 3, 50, 160, 799, 800]
    for size in sizes:
        call.hears("provider", delta(SPEECH[:size]))
        call.hears("transport", frame(SPEECH[:size]))
    text = call.ends()
    for line in text.splitlines():
        for size in sizes[3:]:
            assert b64encode(SPEECH[:size]).decode()[:20] not in line
    kept = [f"@audio:{size}" for size in sizes]
    assert all(text.count(f'"{marker}"') >= 3 for marker in kept[3:])
    assert all(f'"{marker}"' in text for marker in kept)
    assert call.replays().same


def test_audio_is_kept_when_asked_for(tmp_path: Path) -> None:
    """A bug report about sound needs the sound."""
    call = Recorded(tmp_path / "call.jsonl", audio=True)
    call.hears("transport", start())
    call.hears("transport", frame())
    text = call.ends()
    assert text.count(b64encode(SPEECH[:160]).decode()) == 2
    assert "@audio" not in text
    assert call.replays().same


def test_audio_in_messages_nobody_understands_is_left_out_too(call: Recorded) -> None:
    """An unknown event, a malformed one and a torn one may all hold a second of speech."""
    payload = b64encode(SPEECH).decode()
    call.hears("transport", start())
    call.hears("provider", {"type": "item.retrieved", "item": {"parts": [{"audio": payload}]}})
    call.hears("provider", {"type": "response.output_audio.delta", "delta": payload, "item_id": 7})
    call.hears("transport", f'{{"event":"media","media":{{"payload":"{payload}')
    call.hears("transport", SPEECH)
    text = call.ends()
    assert payload[100:120] not in text  # Of a binary frame the first 6 ms are kept.
    assert call.replays().same


@pytest.mark.parametrize(
    ("hide", "where"),
    [
        ({"api_key": "S3CR3T"}, {}),
        ({"deep": [{"Authorization": "Bearer S3CR3T"}]}, {}),
        ({"client_secret": {"value": "S3CR3T", "expires_at": 1}}, {}),
        ({"token": "S3CR3T"}, {}),
        ({"headers": {"X-Anything": "S3CR3T"}}, {}),
    ],
)
def test_secrets_are_left_out_at_any_depth(
    call: Recorded, hide: dict[str, Any], where: dict[str, Any]
) -> None:
    """In what arrives, in what is asked, in what is sent, and in what is passed on."""
    call.hears("provider", {"type": "session.updated", "session": hide})
    call.hears("provider", {"type": "who.knows", "session": hide})
    call.does("configure", settings=hide)
    call.does("tell", message=json.dumps({"type": "x", **hide}).encode())
    call.does("request", instructions="Hi.", tools=[hide])
    text = call.ends()
    assert "S3CR3T" not in text
    assert text.count("@secret") >= 7
    assert call.replays().same


def test_what_a_carrier_hands_through_for_its_customer_is_a_secret(call: Recorded) -> None:
    """Twilio's customParameters are the customer's own; their names are kept, their values are not."""
    call.hears("transport", start(account="S3CR3T"))
    text = call.ends()
    assert "S3CR3T" not in text
    assert '"account":"@secret"' in text


def test_a_secret_in_text_that_is_no_json_is_left_out(call: Recorded) -> None:
    """A torn message is journaled by its looks."""
    call.hears("provider", '{"type":"session.created","client_secret":"S3CR3T", "x":')
    call.hears("provider", "Authorization: Bearer S3CR3T")
    assert "S3CR3T" not in call.ends()
    assert call.replays().same


def test_counts_of_tokens_are_no_secrets(call: Recorded) -> None:
    """A usage report is the first thing an engineer looks for."""
    message = {"type": "response.done", "response": {"usage": {"total_tokens": 253, "tokens": 1}}}
    call.hears("provider", message)
    assert '"total_tokens": 253' in call.ends()


@pytest.mark.parametrize(
    "message",
    [
        "",
        "no json",
        "{",
        "[]",
        "null",
        "7",
        '{"type": "response.done"}\n',
        '{\n  "type": "session.created"\n}',
        ' {"type":"x"}',
        '{"type":"@audio:3"}',
        '{"type":"x","y":"@chars:9"}',
        "@chars:9",
        '{"type":"\\u0000\\ud834\\udd1e"}',
        '{"type":"ü\u2028"}',
        "[" * 5000,
        '{"a":' * 5000,
        b"",
        b"\xff\xfe\x00",
        b"\x00" * 160,
        b'{"type":"response.done"}',
        b'{"event":"stop"}',
        b"{" + b" " * 60 + b"\xff",
    ],
)
@pytest.mark.parametrize("side", ["provider", "transport"])
def test_any_message_replays(tmp_path: Path, side: Side, message: str | bytes) -> None:
    """Junk is the input that is most likely to be needed again."""
    call = Recorded(tmp_path / "call.jsonl")
    call.hears(side, message)
    call.hears("transport", start())
    call.ends()
    result = call.replays()
    assert result.same, result.difference
    assert result.inputs == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "event", "token", "delta", "response", "audio", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["provider", "transport"]),
            st.text(max_size=60) | st.binary(max_size=200) | json_values.map(json.dumps),
        ),
        max_size=5,
    )
)
def test_whatever_arrives_replays(
    tmp_path_factory: pytest.TempPathFactory, arrives: list[tuple[Side, str | bytes]]
) -> None:
    """Always: masking and expanding change nothing that a session can see."""
    call = Recorded(tmp_path_factory.mktemp("fuzz") / "call.jsonl")
    call.hears("transport", start())
    for side, message in arrives:
        call.hears(side, message)
    call.ends()
    assert call.replays().difference is None


@given(st.binary(max_size=400), st.integers(0, 3))
def test_masked_audio_expands_to_as_many_bytes(audio: bytes, spaces: int) -> None:
    """Whatever the spacing of its JSON and whatever the padding of its base64."""
    message = f'{{"type":{" " * spaces}"x","delta":{" " * spaces}"{b64encode(audio).decode()}"}}'
    message = message.replace('"x"', '"response.output_audio.delta"')
    message = message.replace("}", ',"response_id":"r","item_id":"i","content_index":0}')
    lines = Lines()
    for _ in range(2):  # The second takes the short way.
        lines.message(5, "provider", message, OPENAI.decode(message))
    for text in lines.out:
        back = msgspec.json.decode(text, type=Line).message()
        assert len(json.loads(back)["delta"]) == len(b64encode(audio))
        assert json.loads(back).keys() == json.loads(message).keys()


# -- differences ------------------------------------------------------------------------------------


def changed(path: Path, change: Callable[[list[str]], None]) -> None:
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


def output_at(lines: list[str], holding: str) -> int:
    return next(i for i, line in enumerate(lines) if line.startswith('{"to":') and holding in line)


def test_the_first_difference_is_named_by_its_line(call: Recorded) -> None:
    """An engineer opens the file there."""
    a_call_with_everything(call)
    call.ends()
    lines = call.path.read_text().splitlines()
    at = output_at(lines, "conversation.item.truncate")
    was = lines[at]
    changed(call.path, lambda lines: lines.__setitem__(at, was.replace(":100", ":900")))
    assert call.replays().difference == Difference(at + 1, was.replace(":100", ":900"), was)


def test_a_missing_output_and_one_too_many_are_differences(call: Recorded) -> None:
    """Silence is an answer too: expected nothing and got something, or the other way round."""
    a_call_with_everything(call)
    call.ends()
    original = call.path.read_text()
    lines = original.splitlines()
    clear = output_at(lines, '"clear"')
    changed(call.path, lambda lines: lines.insert(clear, lines[clear]))
    difference = call.replays().difference
    assert difference is not None and difference.line == clear + 2
    last = max(i for i, line in enumerate(lines) if line.startswith('{"app":'))
    call.path.write_text(original)
    changed(call.path, lambda lines: lines.__delitem__(last))
    assert call.replays().difference == Difference(last + 1, None, lines[last])


def test_other_tables_are_a_warning_and_the_replay_goes_on(call: Recorded) -> None:
    """What a change of the tables does to a recorded call is the question replay answers."""
    a_call_with_everything(call)
    call.ends()
    other = structs.replace(OPENAI, digest="0" * 16)
    result = call.replays(provider=other)
    assert result.same
    assert result.warnings and OPENAI.digest in result.warnings[0]

    def mute(op: str, item: ItemFacts) -> Wire:
        return ()

    result = call.replays(provider=structs.replace(other, truncate=mute))
    assert result.difference is not None and result.warnings


def test_a_replay_uses_the_times_of_the_call_not_those_of_the_tables(tmp_path: Path) -> None:
    """A table's timeout that is changed later must not change an old call."""
    call = Recorded(tmp_path / "call.jsonl", settings=Settings(created_ms=700))
    call.does("request", instructions="Hello?")
    call.now_ms = 800
    call.does("advance")
    text = call.ends()
    assert "timed_out" in text
    assert json.loads(text.splitlines()[0])["settings"]["answer_ms"] == 5000
    other = structs.replace(OPENAI, timeouts_ms={"created_ms": 1, "settled_ms": 1, "answer_ms": 1})
    assert call.replays(provider=other).same


def test_a_bug_is_in_the_journal_and_comes_back(tmp_path: Path) -> None:
    """A journal must hold the input that broke the session, or it is of no use that day."""

    def breaks(op: str, item: ItemFacts) -> Wire:
        raise ZeroDivisionError("a bug")

    broken = structs.replace(OPENAI, truncate=breaks)
    call = Recorded(tmp_path / "call.jsonl", provider=broken)
    call.hears("transport", start())
    call.hears("provider", {"type": "response.created", "response": {"id": "resp_1"}})
    call.hears("provider", delta())
    call.hears(
        "transport", {"event": "mark", "streamSid": "MZ1", "mark": {"name": "bargein_mark_1"}}
    )
    with pytest.raises(ZeroDivisionError) as bug:
        call.does("interrupt", scope=None, cause="api")
    call.journal.broke(
        bug.value, lambda lines: lines.verb(call.now_ms, "interrupt", {"cause": "api"})
    )
    assert '{"raised":"ZeroDivisionError: a bug"}' in call.ends()
    assert call.replays(provider=broken).same
    difference = call.replays().difference
    assert difference is not None and "ZeroDivisionError" in (difference.expected or "")


def test_a_journal_without_an_end_says_so(call: Recorded) -> None:
    """Killed, or still running: what is there replays, and the reader is told that there may be more."""
    call.hears("transport", start())
    call.journal.flush()
    result = call.replays()
    assert result.same
    assert "no end" in result.warnings[0]


# -- broken files -----------------------------------------------------------------------------------

HEADER = "HEADER"


@pytest.mark.parametrize(
    ("lines", "line", "says"),
    [
        ([], 1, "empty"),
        (['{"at":1,"note":"x"}'], 1, "header is missing"),
        (["[]"], 1, "header is missing"),
        (["junk"], 1, "no journal"),
        (['{"journal":99}'], 1, "version 99"),
        (['{"journal":1}'], 1, "header is damaged"),
        ([HEADER, "junk"], 2, "no line of a journal"),
        ([HEADER, '{"at":1,"from":"provider","json":{}}', '{"to":"provider","js'], 3, "no line"),
        ([HEADER, '{"to":"provider","json":{}}'], 2, "output without an input"),
        ([HEADER, '{"at":1,"note":"x"}', '{"gave":1}'], 3, "output without an input"),
        ([HEADER, '{"at":1,"do":"dance"}'], 2, "unknown verb 'dance'"),
        ([HEADER, '{"at":1,"do":"copy"}'], 2, "unknown verb 'copy'"),
        ([HEADER, '{"at":1}'], 2, "neither"),
        ([HEADER, '{"do":"advance"}'], 2, "no line of a journal"),
        ([HEADER, '{"at":1,"from":"provider"}'], 2, "no line of a journal"),
        ([HEADER, '{"at":1,"from":"nobody","json":{}}'], 2, "no line of a journal"),
        ([HEADER, '{"at":1,"do":"request","with":[]}'], 2, "no line of a journal"),
        ([HEADER, '{"at":1,"do":"advance","odd":1}'], 2, "unknown field"),
    ],
)
def test_a_broken_journal_is_an_error_that_names_the_line(
    call: Recorded, lines: list[str], line: int, says: str
) -> None:
    """A file that was damaged must not look like a session that changed."""
    first = call.ends().splitlines()[0]
    text = "".join(f"{first if each == HEADER else each}\n" for each in lines)
    call.path.write_text(text)
    with pytest.raises(JournalError, match=says) as error:
        call.replays()
    assert error.value.line == line
    assert f"{call.path}:{line}: " in str(error.value)


def test_a_torn_last_line_is_an_error_that_names_it(call: Recorded) -> None:
    """A process that was killed while it wrote."""
    text = call.ends()
    call.path.write_text(text[:-9])
    with pytest.raises(JournalError, match="cut off") as error:
        call.replays()
    assert error.value.line == 2


def test_no_file_an_unknown_provider_and_an_unknown_engine_are_told_apart(call: Recorded) -> None:
    """Each with what would have worked."""
    call.ends()
    with pytest.raises(JournalError, match="cannot be read"):
        replay(call.path / "no", {}, {})
    with pytest.raises(UsageError, match=r"openai.*there are: none"):
        replay(call.path, {}, {"twilio": TWILIO})
    with pytest.raises(UsageError, match="unknown engine"):
        call.replays("warp")


def test_a_journal_that_cannot_be_written_is_refused_at_the_start(
    call: Recorded, tmp_path: Path
) -> None:
    """Better no call than a call nobody can look into; a file is never overwritten."""
    with pytest.raises(JournalError, match="exists"):
        Journal(call.path)
    with pytest.raises(JournalError, match="cannot be written"):
        Journal(call.path / "below" / "a-file.jsonl")
    with pytest.raises(JournalError, match="cannot be written"):
        check_folder(call.path)
    check_folder(tmp_path / "new" / "folder")
    call.ends()


def test_a_full_disk_costs_the_journal_not_the_call(
    call: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once; the session goes on."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        healthy, call.journal._file = call.journal._file, full
        with caplog.at_level(logging.ERROR, logger="bargein"):
            for _ in range(3):
                call.hears("transport", start())
    assert healthy is not None
    healthy.close()
    assert [record.message for record in caplog.records] == [
        f"journal {call.path} ends here: No space left on device"
    ]
    assert call.journal.broken == "No space left on device"
    call.journal.close(0, "over")


def test_text_that_arrives_as_bytes_is_no_binary_audio(call: Recorded) -> None:
    """Some send their JSON in binary frames; what an adapter reads of it must be read again in a replay."""
    call.hears("transport", start())
    media = {"event": "media", "streamSid": "MZ1", "media": {"payload": b64encode(SPEECH).decode()}}
    call.hears("transport", json.dumps(media).encode())
    text = call.ends()
    assert (
        b64encode(SPEECH).decode() not in text and '"frame":"binary","masked":true,"json"' in text
    )
    assert call.replays().same


def test_the_beginning_of_a_word_of_json_is_no_secret() -> None:
    """Masked, it made a parser stumble elsewhere, and the replay of such a journal differed."""
    text = '{"":{"":null,"TOKEN":n'
    assert masking.mask_text(text, audio=False) == text
    assert "sesame" not in masking.mask_text('{"token":"sesame', audio=False)


@pytest.mark.parametrize(
    "value",
    ["-", "0:", "012", "[", "{", "[7", "{}", "tx", "nullx", '"\\x', '"ab\\', "-5.2e", "[,1"],
)
def test_a_mask_breaks_where_the_secret_broke(value: str) -> None:
    """What a parser says of broken JSON is an output, and must be the same when the journal is replayed."""
    text = '{"token":' + value
    masked = masking.mask_text(text, audio=False)
    assert len(masked) == len(text)
    errors = []
    for broken in (text, masked):
        with pytest.raises(msgspec.DecodeError) as error:
            msgspec.json.decode(broken)
        errors.append(str(error.value))
    assert errors[0] == errors[1]
