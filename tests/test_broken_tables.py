"""Tables broken in one way each: the code, the place and the words of what `bargein check` says.

In a case, `‸` stands before the character at which the finding must point.
"""

# ruff: noqa: E501 - the cases are a table, one to a line

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bargein.statemachines.checks import check_paths
from bargein.statemachines.diagnostics import (
    CODES,
    TableError,
    closest,
    did_you_mean,
    render,
    summary,
    to_json,
)
from bargein.statemachines.loader import (
    ROOM,
    load_all,
    load_machine,
    load_provider,
    load_transport,
)

from .invented import table

MARK = "‸"
RESPONSE = "response.yaml"
PLAYBACK = "playback.yaml"
OPENAI = "providers/openai.yaml"
TWILIO = "transports/twilio.yaml"


@dataclass(frozen=True)
class Case:
    """What is wrong, and what must be said of it; `also` are the codes of what cannot but follow."""

    what: str
    code: str
    says: str
    file: str = ""
    patches: tuple[tuple[str, str], ...] = ()
    also: tuple[str, ...] = ()
    files: dict[str, str | bytes | None] = field(default_factory=dict)


def broken(
    what: str,
    code: str,
    says: str,
    file: str,
    *patches: tuple[str, str],
    also: tuple[str, ...] = (),
) -> Case:
    """A shipped table with some of its text replaced."""
    return Case(what, code, says, file, patches, also)


def files(
    what: str, code: str, says: str, also: tuple[str, ...] = (), **contents: str | bytes | None
) -> Case:
    """Files added to the shipped ones, or (None) taken away."""
    paths = {name.replace("__", "/") + ".yaml": text for name, text in contents.items()}
    return Case(what, code, says, files=paths, also=also)


def provider(name: str, extends: str, rest: str = "", is_: str = "Invented.") -> str:
    """A small invented provider."""
    modeline = "# yaml-language-server: $schema=../schema/provider.schema.json"
    return f"{modeline}\nprovider: {name}\nis: {is_}\nextends: {extends}\n{rest}"


def acme(
    what: str,
    code: str,
    says: str,
    *changes: tuple[str, str],
    also: tuple[str, ...] = (),
    **sections: str,
) -> Case:
    """An invented provider with something wrong in it."""
    text = table("provider", *changes, **sections)
    return Case(what, code, says, files={"providers/acme.yaml": text}, also=also)


def pigeon(
    what: str,
    code: str,
    says: str,
    *changes: tuple[str, str],
    also: tuple[str, ...] = (),
    **sections: str,
) -> Case:
    """An invented transport with something wrong in it."""
    text = table("transport", *changes, **sections)
    return Case(what, code, says, files={"transports/pigeon.yaml": text}, also=also)


SOUND = "\n  sound: {event: audio, audio: sound}\n"
NO_TAG = "{frames: text, format: json}"
MIXED = "{frames: mixed, format: json, tag: type}"

EVENTS_OF_PLAYBACK = ", ".join(load_all().machines["playback"].events)
WAYS_TO_SKIPPED = (ROOM / PLAYBACK).read_text("utf-8").count("go: skipped")

CASES = [
    # The file and its YAML.
    files("a table that is not UTF-8", "E001", "not UTF-8: byte 0xe9", providers__x=b"provider: x\nis: caf\xe9\n"),
    broken("a tab for indentation", "E002", "not YAML", RESPONSE, ("  lost:      {is: The conn", "‸\tlost:  {is: The conn")),
    broken("a colon in an unquoted sentence", "E002", "mapping values are not allowed here", RESPONSE, ("is: One response of the model, from", "is: One response‸: of the model, from")),
    broken("an open bracket", "E002", "expected ',' or ']'", TWILIO, ("[{send: media}]\n  session.mark:", "[{send: media}\n  ‸session.mark:")),
    files("an empty file", "E003", "empty", providers__x=f"{MARK}# nothing\n"),
    files("a list for a table", "E003", "not a mapping", providers__x=f"{MARK}- provider\n"),
    broken("two documents", "E003", "a second document", TWILIO, ("  response.clear: [{send: clear}]\n", "  response.clear: [{send: clear}]\n‸---\na: b\n")),
    broken("a key twice", "E004", "'created' stands twice; the first is in line", RESPONSE, ("  content:   {is: \"First", "  ‸created:   {is: \"First"), also=("E012",) * 6),
    broken("a timeout twice", "E004", "'created_ms' stands twice", OPENAI, ("\nreceive:", "  ‸created_ms: {is: 2}\nreceive:")),
    broken("on as a key", "E005", "unquoted 'on' is true in YAML 1.1", RESPONSE, ("start: requested", "start: requested\n‸on: {}")),
    broken("no as a value", "E005", "unquoted 'no' is false in YAML 1.1", OPENAI, ("announces:         {is: created,", "announces:         {is: ‸no,")),
    broken("no as a key of a message, and nothing follows from it", "E005", "unquoted 'no' is false in YAML 1.1", OPENAI, ("      conversation: $conversation", "      ‸no: $conversation")),
    broken("no as a key of how to connect, and nothing follows from it", "E005", "unquoted 'no' is false in YAML 1.1", OPENAI, ("  key: OPENAI_API_KEY", "  ‸no: OPENAI_API_KEY")),
    broken("no as a key of how messages travel, and nothing follows from it", "E005", "unquoted 'no' is false in YAML 1.1", OPENAI, ("format: json, tag: type}", "format: json, ‸no: type}")),
    broken("a base-60 number", "E005", "base-60", OPENAI, ("settled_ms: {is: 5000,", "settled_ms: {is: ‸1:30,")),
    broken("an octal number", "E005", "octal", OPENAI, ("settled_ms: {is: 5000,", "settled_ms: {is: ‸05000,")),
    broken("digits with underscores", "E005", "text in YAML 1.2", OPENAI, ("created_ms: {is: 10000,", "created_ms: {is: ‸10_000,")),
    broken("a date", "E005", "is a date", TWILIO, ("call: start.callSid", "call: ‸2026-11-20")),
    broken("yes in a list", "E005", "is true in YAML 1.1", RESPONSE, ("do: [name, conclude]", "do: [name, ‸Yes]")),
    broken("an anchor and its alias", "E006", "anchor '&who'", RESPONSE, ("start: requested", "start: ‸&who requested")),
    broken("an alias", "E006", "alias '*who'", RESPONSE, ("start: requested", "start: ‸*who")),
    broken("a tag", "E006", "tag", OPENAI, ("rate_hz: 8000", "rate_hz: ‸!!int \"8000\"")),
    broken("a merge key", "E006", "merge key '<<'", OPENAI, ("\nsend:\n", "\nsend:\n  ‸<<: {}\n")),
    files("a provider among the transports", "E007", "this is a provider; a transport belongs here", transports__x="‸provider: x\nis: X.\n"),
    files("no kind of table", "E007", "did you mean 'machine'?", x="‸machin: x\nis: X.\n"),
    broken("no modeline", "W001", "no modeline", TWILIO, ("# yaml-language-server: $schema=../schema/transport.schema.json\n", "‸")),
    broken("a modeline to nowhere", "W001", "no schema at", RESPONSE, ("$schema=schema/", "$schema=‸schemas/")),
    broken("a modeline to another schema", "W001", "is not machine.schema.json", RESPONSE, ("schema/machine.schema", "schema/provider.schema")),
    files("a file with another name", "E009", "provider 'y' in a file called 'x.yaml'", providers__x=provider("‸y", "openai")),
    files("two tables of one name", "E016", "there is a provider 'openai' already", ("E009",), providers__x=provider("openai", "openai").replace("provider: ", "‸provider: ")),
    # The shape of a table.
    broken("an unknown key", "E010", "unknown key 'gone'; did you mean 'go'?", RESPONSE, ("{go: created,", "{‸gone: created,")),
    broken("a misspelled key that is needed", "E010", "did you mean 'when'?", RESPONSE, ("    when:\n      created:   {go: created", "    ‸whne:\n      created:   {go: created")),
    broken("an unquoted sentence with a comma", "E010", "unknown key 'before we'", RESPONSE, ("why: The handle is resolved and nothing of it plays.", "why: The handle, ‸before we")),
    broken("a missing key", "E011", "key 'is' is missing", RESPONSE, ("  done:\n    is: \"The server has finished generating it, or has fallen silent about it. Its speech may still be playing.\"\n", "  ‸done:\n")),
    broken("a missing section", "E011", "key 'start' is missing", RESPONSE, ("machine: response", "‸machine: response"), ("start: requested\n", "")),
    broken("a row of receive without an event", "E011", "key 'event' is missing", TWILIO, ("stop:      {event: ended}", "‸stop:      {why: At the end.}")),
    broken("an unknown event in a machine", "E012", "unknown event 'craeted'; did you mean 'created'?", RESPONSE, ("created:   {go: created,", "‸craeted:   {go: created,")),
    broken("an unknown event in a comma key", "E012", "did you mean 'refused'?", PLAYBACK, ("confirmed, refused, unanswered:", "‸confirmed, refusd, unanswered:")),
    broken("an event misspelled that is needed", "E012", "did you mean 'created'?", OPENAI, ("{event: created, ", "{event: ‸craeted, ")),
    broken("an unknown event of a provider", "E012", "did you mean 'speech_started'?", OPENAI, ("{event: speech_started}", "{event: ‸speech_startd}")),
    broken("a number for a sentence", "E013", "expected text, found '2024'", RESPONSE, ("machine: response\nis: One response of the model, from the request that asks for it to the last event the server sends about it.", "machine: response\nis: ‸2024")),
    broken("a word for a number", "E013", "expected a whole number, found 'soon'", OPENAI, ("answer_ms:  {is: 5000,", "answer_ms:  {is: ‸soon,")),
    broken("a word for a list", "E013", "expected a list, found 'name'", RESPONSE, ("do: [name]", "do: ‸name")),
    broken("a word for a row", "E013", "expected a mapping or a list, found 'playing'", PLAYBACK, ("started:   {go: playing}", "started:   ‸playing")),
    broken("a key that is a number", "E013", "a key must be text", OPENAI, ("\nsend:\n", "\nsend:\n  ‸7: {type: seven}\n")),
    broken("a name with capitals", "E014", "'Requested' does not have the form: lower_case", RESPONSE, ("start: requested", "start: ‸Requested")),
    broken("a limit of zero", "E014", "0 is too small; it must be above 0", TWILIO, ("mark_every_ms: {is: 100,", "mark_every_ms: {is: ‸0,")),
    broken("an empty sentence", "E014", "empty text", RESPONSE, ("{is: The connection to the provider is gone.}", '{is: ‸""}')),
    broken("a negative rate", "E014", "above 0", TWILIO, ("rate_hz: 8000", "rate_hz: ‸-8000")),
    broken("half a byte per sample", "E014", "no whole number of bytes per sample", TWILIO, ("bytes_per_ms: 8", "bytes_per_ms: ‸4")),
    broken("an intent of nobody", "E015", "did you mean 'transport'?", RESPONSE, ("{by: transport,", "{by: ‸transprot,")),
    broken("an unknown meaning of an error", "E015", "'begnin' is not allowed here; did you mean 'benign'?", OPENAI, ("response_cancel_not_active:               {means: benign", "response_cancel_not_active:               {means: ‸begnin")),
    broken("a hook after nothing known", "E015", "expected 'finished'", OPENAI, ("after: finished", "after: ‸lunch")),
    # extends
    files("a parent that is not there", "E017", "no provider 'openia'; did you mean 'openai'?", providers__x=provider("x", "‸openia")),
    files("a table that extends itself", "E018", "extends itself: x → x", providers__x=provider("x", "‸x")),
    files("tables in a circle", "E018", "extends itself: ", ("E018",), providers__x=provider("x", "‸y"), providers__y=provider("y", "x")),
    files("a null for what is not there", "E019", "nothing to delete: no 'cancl' is inherited; did you mean 'cancel'?", providers__x=provider("x", "openai", "send:\n  ‸cancl: null\n")),
    files("an extending table without a sentence", "E011", "key 'is' is missing", providers__x="# yaml-language-server: $schema=../schema/provider.schema.json\n‸provider: x\nextends: openai\n"),
    files("a mistake in an extending table", "E053", "did you mean 'item_ms'?", providers__x=provider("x", "openai", "can:\n  truncate: {is: ‸item_sm}\n")),
    files("a promise that the extended table breaks", "E057", "sends something, yet truncate is none", providers__x=provider("x", "openai", "can:\n  truncate: {is: none}\n")),
    # Machines.
    broken("a way to nowhere", "E020", "unknown state 'created_'; did you mean 'created'?", RESPONSE, ("{go: created,", "{go: ‸created_,"), also=("E025",)),
    broken("a start that is nowhere", "E020", "did you mean 'requested'?", RESPONSE, ("start: requested", "start: ‸reqested")),
    broken("an unknown action", "E021", "did you mean 'withdraw'?", RESPONSE, ("do: [withdraw, resolve_interrupted]", "do: [‸withdrew, resolve_interrupted]")),
    broken("an unknown guard in a machine", "E022", "did you mean 'unborn'?", RESPONSE, ("{if: unborn,", "{if: ‸unbron,")),
    broken("an unknown guard of a hook", "E022", "did you mean 'has_audio'?", OPENAI, ("{if: has_audio,", "{if: ‸has_adio,")),
    broken("undecided cells", "E023", "'done' does not decide 'finished', 'stopped' and 'lost'", RESPONSE, ("  done:\n", "  ‸done:\n"), ('      finished, stopped: {do: [retire], why: "The last word was said before, or has come after all."}\n', ""), ('      lost:      {do: [retire], why: "All of it has arrived; its speech plays on and concludes it. A last word that is owed will not come."}\n', "")),
    broken("an event decided twice", "E024", "'done' decides 'content' twice; the first is in line", RESPONSE, ("      finished, stopped: {do", "      ‸content, finished, stopped: {do")),
    broken("a state out of reach", "E025", "no way leads from the start to 'timed_out'", RESPONSE, *[("{go: timed_out, do", "{go: cancelled, do")] * 2, ("  timed_out:\n", "  ‸timed_out:\n")),
    broken("a state too many", "E026", "'playback' has no state 'paused'", PLAYBACK, ("states:\n", f"states:\n  ‸paused: {{is: It pauses., when: {{\"{EVENTS_OF_PLAYBACK}\": {{go: full}}}}}}\n"), also=("E025",)),
    broken("a state by another name", "E026", "has no state 'muted'; expected 'skipped'", PLAYBACK, *[("go: skipped", "go: muted")] * WAYS_TO_SKIPPED, ("  skipped:\n", "  ‸muted:\n"), also=("E026",)),
    files("a machine that is not there", "E027", "the machine 'playback' is missing", playback=None),
    broken("nothing done, and no why", "E028", "nothing is done here, and no `why`", PLAYBACK, ("{do: [], why: It has audio.}", "{do: ‸[]}")),
    broken("a reason misspelled", "E010", "did you mean 'why'?", PLAYBACK, ("{do: [], why: It has audio.}", "{do: [], ‸wy: It has audio.}")),
    broken("a row that says nothing", "E029", "neither `go` nor `do`", PLAYBACK, ("started:   {go: playing}", "‸started:   {why: Who knows.}")),
    broken("guards without an otherwise", "E030", "no row without a guard", RESPONSE, ("        - {do: [], why: \"Announced twice; the cancel is on its way.\"}\n", ""), ("- {if: unborn, do: [name, cancel], why: \"Interrupted", "- ‸{if: unborn, do: [name, cancel], why: \"Interrupted")),
    broken("a cell with no row", "E030", "no row without a guard", RESPONSE, ("rejected:  {do: [], why: It was answered.}", "‸rejected:  []")),
    broken("a dead row", "E031", "never reached: row 1", RESPONSE, ("{if: unborn, do: [name, cancel], why: \"Interrupted", "{do: [name, cancel], why: \"Interrupted"), ("- {do: [], why: \"Announced twice; the cancel", "- ‸{do: [], why: \"Announced twice; the cancel")),
    broken("a guard twice", "E032", "'unborn' is asked before", RESPONSE, ("        - {do: [], why: \"Announced twice; the cancel", "        - {if: ‸unborn, go: done}\n        - {do: [], why: \"Announced twice; the cancel")),
    broken("an event that never comes", "E033", "event 'hungry' is declared and never used", RESPONSE, ("\nactions:", "  ‸hungry: {is: The model is hungry.}\nactions:"), also=("E023",) * 6),
    broken("an action that is never done", "E034", "action 'sing' is declared and never used", RESPONSE, ("\nguards:", "  ‸sing: {by: session, is: Sing.}\nguards:")),
    broken("a guard that is never asked", "E035", "guard 'late' is declared and never used", RESPONSE, ("\nstates:", "  ‸late: {is: It is late.}\nstates:")),
    broken("an intent that nobody can say", "E036", "no hook 'response.name' in the vocabulary", RESPONSE, ("  name:                {by: session,", "  ‸name:                {by: provider,"), also=("E041",)),
    # Providers and transports.
    broken("an unknown hook", "E040", "unknown hook 'response.cancl'; did you mean 'response.cancel'?", OPENAI, ("  response.cancel:\n", "  ‸response.cancl:\n")),
    broken("a missing hook", "E041", "no hook 'playback.truncate'", OPENAI, ("hooks:", "‸hooks:"), ("  playback.truncate: [{if: has_audio, send: truncate}]\n", ""), also=("E044",)),
    broken("a hook that says nothing though it could", "E041", "sends nothing, yet truncate is item_ms", OPENAI, ("  playback.truncate: [{if: has_audio, send: truncate}]", "  ‸playback.truncate: []"), also=("E044",)),
    broken("a session hook that says nothing", "E041", "hook 'session.request' sends nothing", OPENAI, ("  session.request:   [{send: create}]", "  ‸session.request: []"), also=("E044",)),
    broken("a hook of the other side", "E042", "'response.clear' belongs to the transport", OPENAI, ("\nerrors:", "  ‸response.clear: [{send: cancel}]\nerrors:"), also=("E046", "E046")),
    broken("a hook of the session", "E042", "'response.name' belongs to the session", TWILIO, ("hooks:\n", "hooks:\n  ‸response.name: []\n")),
    broken("an unknown message", "E043", "no message 'creat' in `send`; did you mean 'create'?", OPENAI, ("[{send: create}]", "[{send: ‸creat}]")),
    broken("a message that nobody sends", "E044", "no hook sends 'wave'", TWILIO, ("\nhooks:", "  ‸wave: {event: wave}\nhooks:")),
    broken("an unknown variable", "E045", "unknown variable '$itm'; did you mean '$item'?", OPENAI, ("item_id: $item, content", "item_id: ‸$itm, content")),
    broken("a variable inside a text", "E045", "a variable stands alone", OPENAI, ("type: response.cancel, event_id: $op", "type: response.cancel, event_id: ‸op-$op")),
    broken("a variable that the hook has not", "E046", "'$heard_ms' is not known to hook 'playback.forget'", OPENAI, ("type: conversation.item.delete, event_id: $op", "type: conversation.item.delete, event_id: ‸$heard_ms")),
    broken("if and unless together", "E047", "stand together", OPENAI, ("{if: has_audio, send", "{if: has_audio, ‸unless: text_only, send")),
    broken("a path badly spelled", "E048", "'item..id' is not a path", OPENAI, ("item: item.id, kind", "item: ‸item..id, kind")),
    broken("a variable in place of a path", "E048", "read from a path", OPENAI, ("{event: truncated, item: item_id,", "{event: truncated, item: ‸$item,")),
    broken("a tag badly spelled", "E048", "'my tag' is not a path", TWILIO, ("tag: event", "tag: ‸my tag")),
    broken("an unknown field", "E049", "event 'audio' has no field 'itm'; did you mean 'item'?", OPENAI, ("{event: audio, response: response_id, item:", "{event: audio, response: response_id, ‸itm:")),
    broken("a needed field that is missing", "E050", "event 'marked' needs the field 'mark'", TWILIO, ("mark:      {event: marked, mark: mark.name}", "‸mark:      {event: marked}")),
    broken("one message, the same event twice", "E051", "'stop' is 'ended' twice", TWILIO, ("{event: ended}", "[{event: ended}, {event: ‸ended}]")),
    broken("a message that becomes nothing", "E051", "'stop' becomes no event", TWILIO, ("stop:      {event: ended}", "‸stop:      []")),
    broken("an unknown capability", "E052", "unknown capability 'concurent'; did you mean 'concurrent'?", OPENAI, ("  concurrent:        {", "  ‸concurent:        {")),
    broken("an unknown value of a capability", "E053", "'clear' cannot be 'hole_buffer'; did you mean 'whole_buffer'?", TWILIO, ("{is: whole_buffer,", "{is: ‸hole_buffer,")),
    broken("a missing capability", "E054", "capability 'clear_ack' is missing", TWILIO, ("can:\n", "‸can:\n"), ("  clear_ack:        {is: none}\n", "")),
    broken("an unknown timeout", "E055", "unknown timeout 'overdew_ms'; did you mean 'overdue_ms'?", TWILIO, ("  overdue_ms:", "  ‸overdew_ms:")),
    broken("a missing timeout", "E056", "timeout 'created_ms' is missing", OPENAI, ("timeouts:\n", "‸timeouts:\n"), ("  created_ms: {is: 10000, why: What clients in production wait for response.created.}\n", "")),
    broken("a cancel where there is none", "E057", "'response.cancel' sends something, yet cancel is none", OPENAI, ("cancel:            {is: by_id,", "cancel:            {is: none,"), ("  response.cancel:\n", "  ‸response.cancel:\n")),
    broken("a cancel by id without the id", "E057", "no message of 'response.cancel' carries $response, yet cancel is by_id", OPENAI, (", response_id: $response}", "}"), ("  response.cancel:\n", "  ‸response.cancel:\n")),
    broken("an anonymous cancel with an id", "E057", "yet cancel is anonymous", OPENAI, ("cancel:            {is: by_id,", "cancel:            {is: anonymous,"), ("  response.cancel:\n", "  ‸response.cancel:\n")),
    broken("a truncate without its milliseconds", "E057", "carries $heard_ms", OPENAI, (", audio_end_ms: $heard_ms}", "}"), ("  playback.truncate:", "  ‸playback.truncate:")),
    broken("echoes of marks that are never set", "E041", "sends nothing, yet marks is echoed", TWILIO, ("  session.mark:   [{send: mark}]", "  ‸session.mark: []"), also=("E044",)),
    broken("marks where there are none", "E057", "'session.mark' sends something, yet marks is none", TWILIO, ("marks:            {is: echoed,", "marks:            {is: none,"), ("  session.mark: ", "  ‸session.mark: "), also=("E057",)),
    broken("a carrier that plays, and does not", "E059", "then it is the transport that plays", TWILIO, ("heard:            {is: marks,", "heard:            {is: ‸server,")),
    broken("a server that plays, and is cut by us", "E059", "who plays knows what was heard", OPENAI, ("playback:          {is: client,", "playback:          {is: server,"), ("truncate:          {is: item_ms,", "truncate:          {is: ‸item_ms,"), also=("E041", "E058", "E058", "E058")),
    broken("a guard that never holds", "E057", "the server never cancels by itself", OPENAI, ("interrupts_itself: {is: on_vad,", "interrupts_itself: {is: never,"), ("{unless: server_cancels", "{unless: ‸server_cancels")),
    broken("an echo that nobody reads", "E057", "neither 'created' nor 'finished' reads `request`", OPENAI, ("correlates:        {is: metadata", "correlates:        {is: ‸metadata"), (", request: response.metadata.client_event_id", ""), (", request: response.metadata.client_event_id", "")),
    broken("an item to cut that nobody names", "E057", "identifies is turn", OPENAI, ("identifies:        {is: item,", "identifies:        {is: turn,"), ("truncate:          {is: item_ms", "truncate:          {is: ‸item_ms")),
    broken("a birth that nobody hears", "E058", "no message becomes 'created': announces is created", OPENAI, ("receive:\n", "‸receive:\n"), ("  response.created:\n    {event: created, response: response.id, request: response.metadata.client_event_id, conversation: response.conversation_id}\n", "")),
    broken("a line without the caller", "E058", "no message becomes 'caller_audio'", TWILIO, ("receive:\n", "‸receive:\n"), ("  media:     {event: caller_audio, audio: media.payload, track: media.track}\n", "")),
    # Messages that must be asked what they are.
    acme("a kind where messages have none", "E048", "`wire.tag` is not said", wire=NO_TAG, receive='\n  s: {event: audio, audio: s}\n  ‸"what ever": {event: finished}\n'),
    acme("messages without a kind where none has one", "E048", "'_' is not a path", wire=NO_TAG, receive="\n  s: {event: audio, audio: s}\n  ‸_: {event: finished}\n"),
    acme("a tag inside the message", "E048", "not a field at the top", wire="{frames: text, format: json, tag: ‸head.type}"),
    acme("a tag of the elements of a list", "E048", "not a field at the top", wire='{frames: text, format: json, tag: ‸"types[]"}'),
    acme("a kind without a name", "E048", "this names no kind", receive=SOUND + '  ‸"": {event: finished}\n'),
    acme("a tag that nothing needs", "E064", "leave `tag` out", wire="{frames: mixed, format: json, ‸tag: type}", receive="{}", send="{ask: {type: ask}}", hooks="{session.configure: [], session.listen: [], session.request: [{send: ask}], response.cancel: [], playback.truncate: [], playback.forget: []}"),
    acme("an index into a list", "E048", "is not a path", receive=SOUND + '  x: {event: transcript, text: ‸"parts[0].text"}\n'),
    acme("a list in a condition badly spelled", "E048", "'a[][]' is not a path", receive=SOUND + '  x: {event: finished, if: {‸"a[][]": 1}}\n'),
    acme("two lists in one row", "E060", "the elements of one list, not of a and b", receive=SOUND + '  ‸x: {event: call, call: "a[].id", arguments: "b[].args"}\n'),
    acme("a list in a list", "E060", "reads the elements of one list", receive=SOUND + '  ‸x: {event: deleted, item: "a[].b[]"}\n'),
    acme("another list than the row is about", "E060", "not of a and b", wire=NO_TAG, receive='\n  s: {event: audio, audio: s}\n  ‸"a[]": {event: deleted, item: "b[].id"}\n'),
    acme("a condition that is no mapping", "E060", "`if` holds paths", receive=SOUND + "  x: {event: finished, if: ‸done}\n"),
    acme("a condition on nothing", "E060", "`unless` holds paths", receive=SOUND + "  x: {event: finished, unless: ‸{}}\n"),
    acme("a comparison with an object", "E060", "can be compared with a word", receive=SOUND + "  x: {event: finished, if: {a: ‸{b: c}}}\n"),
    acme("a comparison with a list of lists", "E060", "can be compared with a word", receive=SOUND + "  x: {event: finished, if: {a: ‸[[b]]}}\n"),
    acme("a comparison with no value at all", "E060", "compared with nothing", receive=SOUND + "  x: {event: finished, if: {a: ‸[]}}\n"),
    acme("a condition misspelled", "E049", "did you mean 'unless'?", receive=SOUND + "  x: {event: finished, ‸unles: {a: 1}}\n"),
    acme("an object for a path", "E060", "is a path, or {is: …}", receive=SOUND + "  x: {event: transcript, text: ‸{path: a}}\n"),
    acme("a constant of another type", "E060", "cannot be always 'yes'; it is bool", receive=SOUND + '  x: {event: configured, manual: ‸{is: "yes"}}\n'),
    acme("the same event twice, and no condition", "E051", "'x' is 'finished' twice", receive=SOUND + "  x: [{event: finished}, {event: ‸finished}]\n"),
    acme("what an item's end needs, whatever messages name", "E050", "event 'truncated' needs the field 'item'", receive=SOUND + "  ‸x: {event: truncated}\n"),
    acme("a path read whole and in parts", "E063", "'a' is read both whole and in parts", receive=SOUND + "  x: [{event: transcript, text: a}, {event: corrected, ‸text: a.b}]\n"),
    acme("the same of two paths that messages are about", "E063", "read both whole and in parts", wire=NO_TAG, receive="\n  s: {event: audio, audio: s.a}\n  ‸s.a.b: {event: transcript, text: s.a.b}\n", also=("E063",)),
    acme("a list read whole", "E063", "'a' is read both as a list and whole", receive=SOUND + '  x: {event: deleted, item: "a[].id", unless: {‸a: null}}\n'),
    acme("audio that is also text", "E063", "'a' is read as bytes and as str", receive=SOUND + "  x: [{event: audio, audio: a, if: {b: 1}}, {event: transcript, ‸text: a, unless: {b: 1}}]\n"),
    acme("audio compared with a word", "E063", "only be compared with null", receive=SOUND + '  x: {event: audio, audio: a, unless: {‸a: ""}}\n'),
    acme("the tag read as a field", "E063", "'type' is the tag", receive=SOUND + "  x: {event: corrected, ‸text: type}\n"),
    acme("the tag asked", "E063", "'type' is the tag", receive=SOUND + "  x: {event: finished, if: {‸type: x}}\n"),
    # What else the grammar has.
    acme("a guard of another hook", "E061", "it can ask 'instructed'", ("session.request: [{", "session.request: [{if: ‸has_audio, ")),
    acme("a guard where nothing can be asked", "E061", "it is always said", ("session.listen: [{", "session.listen: [{unless: ‸instructed, ")),
    pigeon("a guard of the other side", "E061", "says nothing of what 'response.clear' is about", ("response.clear: [{", "response.clear: [{if: ‸server_cancels, ")),
    broken("a truncate that waits", "E065", "only 'playback.forget' can wait", OPENAI, ("[{if: has_audio, send: truncate}]", "[{if: has_audio, ‸after: finished, send: truncate}]")),
    pigeon("a clear that waits", "E065", "'response.clear' is said at once", ("response.clear: [{", "response.clear: [{‸after: finished, ")),
    broken("a request that carries no name of ours", "E057", "no message of 'session.request' carries $request, yet correlates is metadata", OPENAI, ("    event_id: $request\n", ""), ("      metadata: {client_event_id: $request}\n", ""), ("  session.request: ", "  ‸session.request: ")),
    broken("one of two requests without its name", "E057", "carries $request", OPENAI, ("  session.request:   [{send: create}]", "  ‸session.request: [{if: instructed, send: create}, {unless: instructed, send: again}]"), ("  cancel:   {type:", "  again: {type: again, to: $conversation}\n  cancel:   {type:")),
    pigeon("a limit that no carrier has", "E062", "unknown limit 'ahead'; did you mean 'ahead_ms'?", pace="{‸ahead: {is: 5}}"),
    pigeon("a limit of nothing", "E014", "0 is too small", pace="{ahead_ms: {is: ‸0}}"),
    pigeon("frames of an unknown length", "E057", "`pace` names no frame_ms", ("frames: {is: any}", "frames: {is: ‸exact}")),
    pigeon("frames of one length, and of any", "E057", "yet frames is any", pace="{‸frame_ms: {is: 20}}"),
    pigeon("a webhook's answer that leads nowhere", "E057", "does not say $url", answer="{type: text/plain, body: ‸Hello}"),
    acme("a key that nobody names", "E057", "no `key` says which", connect="{url: ‸wss://acme.example?key=$key}"),
    acme("a header filled with something else", "E045", "only '$key' is filled in here", connect="{url: wss://acme.example, key: K, headers: {X: ‸Token $token}}"),
    acme("silence that is no byte", "E014", "256 is no byte", audio="{pcm16: {is: It., rate_hz: 8000, bytes_per_ms: 16, silence: ‸256}}"),
    acme("a caller of half a byte per sample", "E014", "no whole number of bytes per sample", audio="{pcm16: {is: It., rate_hz: 8000, bytes_per_ms: 16, caller: {rate_hz: 16000, bytes_per_ms: ‸8}}}"),
    acme("a server of which nobody hears that it is ready", "E058", "no message becomes 'ready': opens is when_ready", ("can:", "can:\n  opens: {is: when_ready}"), ("receive:", "‸receive:")),
    acme("an answer to pings that never come", "E058", "no message becomes 'ping'", ("  ask: {type: ask}", "  ask: {type: ask}\n  pong: {type: pong}"), ("hooks:", "hooks:\n  session.pong: [{send: pong}]"), ("receive:", "‸receive:")),
    acme("a message for what travels bare", "E057", "yet audio travels bare", ("  session.listen: ", "  ‸session.listen: "), wire=MIXED),
    acme("frames that there are not", "E015", "did you mean 'mixed'?", wire="{frames: ‸mixd, format: json, tag: type}"),
    acme("ids of another kind", "E015", "expected 'number' or 'text'", wire="{frames: text, format: json, tag: type, ids: ‸roman}"),
    acme("a message that is a word", "E045", "a message is a mapping, or a $variable", ("  ask: {type: ask}", "  ask: ‸hello")),
    acme("a part of what has none", "E045", "'$text' has no parts", ("  ask: {type: ask}", "  ask: {type: ask, text: ‸$text.first}")),
    acme("an optional capability misspelled", "E052", "did you mean 'supersedes'?", ("can:", "can:\n  ‸superseds: {is: silently}")),
    acme("a value that an optional capability cannot have", "E053", "'remembers' cannot be 'all'", ("can:", "can:\n  remembers: {is: ‸all}")),
    acme("an optional hook misspelled", "E040", "unknown hook 'session.pon'", ("hooks:", "hooks:\n  ‸session.pon: []")),
    acme("a key of `connect` misspelled", "E010", "did you mean 'headers'?", connect="{url: wss://acme.example, ‸header: {}}"),
]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Shipped tables, to be broken: without those that extend them and would repeat each finding."""
    folder = tmp_path / "tables"
    for name in _FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOM / name, folder / name)
    shutil.copytree(ROOM / "schema", folder / "schema")
    return folder


def _apply(case: Case, root: Path) -> tuple[Path, int, int] | None:
    """Break the tables; the answer is the marked place."""
    contents: dict[str, str | bytes | None] = dict(case.files)
    if case.file:
        text = (root / case.file).read_text("utf-8")
        for old, new in case.patches:
            assert old in text, f"{case.file} no longer says {old!r}"
            text = text.replace(old, new, 1)
        contents[case.file] = text
    marked = None
    for name, content in contents.items():
        path = root / name
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            before, mark, _ = content.partition(MARK)
            if mark:
                marked = path, before.count("\n") + 1, len(before) - before.rfind("\n")
            path.write_text(content.replace(MARK, ""), "utf-8")
    return marked


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code} {case.what}")
def test_a_broken_table_is_reported_at_its_place(case: Case, root: Path) -> None:
    """The right code and words, there; and nothing else but what cannot but follow from it."""
    marked = _apply(case, root)
    found = check_paths([root])
    text = render(found)
    hits = [d for d in found if d.code == case.code and case.says in d.message + (d.hint or "")]
    assert hits, text
    if marked is not None:
        path, line, col = marked
        assert (Path(hits[0].file), hits[0].line, hits[0].col) == (path, line, col), text
    assert sorted(d.code for d in found) == sorted((case.code, *case.also)), text


def test_every_code_has_a_case() -> None:
    """A code that nothing can show is a promise without proof."""
    assert {case.code for case in CASES} == set(CODES)


def test_independent_mistakes_are_all_reported(root: Path) -> None:
    """In one cell, one table and across tables: none hides another."""
    for file, old, new in (
        (RESPONSE, "{go: created, do: [name]}", "{go: craeted, do: [nmae], wy: x}"),
        (RESPONSE, "is: Asked for, perhaps", "is: &a Asked for, perhaps"),
        (OPENAI, "{event: speech_started}", "{event: speech_startd}"),
        (OPENAI, "response_id: $response}", "response_id: $respnse}"),
        (TWILIO, "{is: 2000,", "{is: later,"),
        (TWILIO, "session.mark:   [{send: mark}]", "session.mark:   [{send: mrk}]"),
    ):
        text = (root / file).read_text("utf-8")
        assert old in text
        (root / file).write_text(text.replace(old, new, 1), "utf-8")
    found = check_paths([root])
    by_file = {name: [d.code for d in found if d.file == str(root / name)] for name in _FILES}
    assert by_file == {
        OPENAI: ["E012", "E045"],
        PLAYBACK: [],
        RESPONSE: ["E006", "E020", "E021", "E010", "E025"],
        TWILIO: ["E013", "E043"],
    }


_FILES = (OPENAI, PLAYBACK, RESPONSE, TWILIO)


def test_an_error_that_two_tables_inherit_is_reported_once(root: Path) -> None:
    path = root / OPENAI
    path.write_text(path.read_text("utf-8").replace("rate_hz: 8000", "rate_hz: fast"), "utf-8")
    for name in ("x", "y"):
        (root / f"providers/{name}.yaml").write_text(provider(name, "openai"), "utf-8")
    assert [d.code for d in check_paths([root])] == ["E013"]


def test_a_table_of_ones_own_is_checked_together_with_the_shipped_ones(tmp_path: Path) -> None:
    """One file is enough; where it has the name of a shipped table, it stands in its place."""
    (tmp_path / "schema").symlink_to(ROOM / "schema")
    text = (ROOM / OPENAI).read_text("utf-8").replace("../schema", "schema")
    path = tmp_path / "openai.yaml"
    path.write_text(text, "utf-8")
    assert check_paths([path]) == []
    path.write_text(text.replace("  response.cancel:", "  response.cancl:"), "utf-8")
    assert [d.code for d in check_paths([path])] == ["E040"]
    assert [d.code for d in check_paths([tmp_path])] == ["E040"]
    assert [d.code for d in check_paths([tmp_path, path])] == ["E040"]


def test_a_changed_machine_is_held_against_the_shipped_peers(tmp_path: Path) -> None:
    """A new thing for providers to say is a finding in every provider that does not say it."""
    text = (ROOM / PLAYBACK).read_text("utf-8")
    text = text.replace("forget:   {by: provider,", "forget:   {by: transport,")
    path = tmp_path / PLAYBACK
    path.write_text(text, "utf-8")
    found = {(Path(d.file).name, d.code) for d in check_paths([path]) if d.severity == "error"}
    shipped = load_all()
    hooks = [shipped.where(peer, "hooks", "playback.forget") for peer in shipped.providers.values()]
    other = [shipped.where(peer, "hooks") for peer in shipped.transports.values()]
    assert found == {
        *((Path(place.file).name, "E042") for place in hooks),
        *((Path(place.file).name, "E041") for place in other),
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [("nowhere.yaml", "no such file"), ("", "no tables here"), ("nul\0.yaml", "null byte")],
)
def test_a_path_without_tables_is_a_finding(tmp_path: Path, name: str, says: str) -> None:
    """Whatever a user types, the answer is a diagnostic."""
    (finding,) = check_paths([tmp_path / name])
    assert finding.code == "E001"
    assert says in finding.message


def test_a_loader_refuses_what_is_not_a_table_of_its_kind(tmp_path: Path) -> None:
    for load, path, code in (
        (load_machine, ROOM / OPENAI, "E007"),
        (load_provider, ROOM / TWILIO, "E007"),
        (load_transport, ROOM / RESPONSE, "E007"),
        (load_machine, tmp_path, "E001"),
        (load_provider, tmp_path / "no.yaml", "E001"),
    ):
        with pytest.raises(TableError) as raised:
            load(path)
        assert [d.code for d in raised.value.diagnostics] == [code]


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "{a: " * 3000, "a: \x00", "- " * 2000 + "x", "a: &a [*a]", "? [1]: 2\n: 3", "%"],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text: str) -> None:
    """Deep nesting, control characters, self-reference: a finding each."""
    path = tmp_path / "x.yaml"
    path.write_text(text, "utf-8")
    assert check_paths([path])


def test_a_finding_is_drawn_under_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twilio.yaml"
    text = (ROOM / TWILIO).read_text("utf-8").replace("{is: any, ", "{is: eny, ")
    path.write_text(text, "utf-8")
    (finding,) = [d for d in check_paths([path]) if d.severity == "error"]
    head, line, caret = render([finding]).splitlines()
    assert head == str(finding)
    assert head.endswith("E053 'frames' cannot be 'eny'; did you mean 'any'?")
    assert line[caret.index("^") : caret.rindex("^") + 1] == "eny"
    assert render([finding], source=False) == head


def test_a_long_line_is_cut_around_the_finding(root: Path) -> None:
    path = root / PLAYBACK
    text = path.read_text("utf-8").replace('see: "https://platform', 'sea: "https://platform', 1)
    path.write_text(text, "utf-8")
    (finding,) = check_paths([root])
    _, line, caret = render([finding]).splitlines()
    assert len(line) < 130
    assert line[caret.index("^") : caret.rindex("^") + 1] == "sea"


def test_findings_for_machines_are_flat(root: Path) -> None:
    path = root / TWILIO
    path.write_text(path.read_text("utf-8").replace("{is: any, ", "{is: eny, "), "utf-8")
    found = check_paths([root])
    assert to_json(found) == [
        {
            "file": str(path),
            "line": found[0].line,
            "col": found[0].col,
            "code": "E053",
            "severity": "error",
            "message": "'frames' cannot be 'eny'; did you mean 'any'?",
            "hint": None,
        }
    ]
    assert summary(found) == "1 error in 1 file"
    assert summary([]) == "no errors"


def test_the_probable_word_is_offered_or_else_a_short_choice() -> None:
    words = ("timed_out", "created", "done")
    assert closest("TimedOut", words) == "timed_out"
    assert closest("craeted", words) == "created"
    assert closest("elephant", words) is None
    assert did_you_mean("dnoe", words) == "; did you mean 'done'?"
    assert did_you_mean("elephant", words) == "; expected 'created', 'done' or 'timed_out'"
    assert did_you_mean("elephant", ()) == ""
