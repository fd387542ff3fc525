"""The page of `examples/browser` speaks the protocol of the table, and counts what it plays as the model does.

Its worklet runs in Node here, as it is; what a browser would give it is given by the lines of `DEVICE`.
"""

import base64
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bargein import adapters
from bargein.runtime import events as ev
from bargein.simulator.browser import FORMATS, BrowserCarrier
from bargein.simulator.voice import caller_speech, speech

PAGE = Path(__file__).parent.parent / "examples" / "browser"
BROWSER = adapters.transport("browser")
BLOCK = 128
"""The samples that Web Audio asks for at a time."""

DEVICE = """
import { readFileSync } from "node:fs";
const [page, format, rateHz, everyMs] = process.argv.slice(1);
const processors = {};
globalThis.registerProcessor = (name, made) => { processors[name] = made; };
globalThis.AudioWorkletProcessor = class {
  port = { said: [], postMessage(message) { this.said.push(message); } };
};
const codec = await import(page + "/codec.js");
await import(page + "/worklet.js");
const player = new processors.player({ processorOptions: { rateHz: +rateHz, reportEveryMs: +everyMs } });
const ear = new processors.microphone({ processorOptions: { fromHz: 48000, toHz: +rateHz } });
const answers = JSON.parse(readFileSync(0, "utf8")).map((step) => {
  player.port.said = []; ear.port.said = [];
  const sound = [];
  if (typeof step === "string") player.port.onmessage({ data: codec.fromBridge(step, format) });
  else if (step.hears) ear.process([[codec.decode(step.hears, "pcm16")]], []);
  else for (let block = 0; block < step.blocks; block++) {
    const out = new Float32Array(128);
    player.process([], [[out]]);
    sound.push(...out);
  }
  const heard = ear.port.said.map((frame) => codec.encode(frame, format));
  return { said: player.port.said, sound: codec.encode(Float32Array.from(sound), format), heard };
});
console.log(JSON.stringify(answers));
"""

Step = str | dict[str, Any]


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node is not installed; it runs the page's worklet")
    return found


def played(node: str, steps: list[Step], audio: str = "pcm16_16k", every_ms: int = 64) -> list[Any]:
    """What the worklet answered to each step."""
    rate_hz = BROWSER.audio[audio].rate_hz
    arguments = [PAGE.as_uri(), audio, str(rate_hz), str(every_ms)]
    done = subprocess.run(
        [node, "--input-type=module", "-e", DEVICE, *arguments],
        input=json.dumps(steps),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def audio(item: int, from_ms: int, duration_ms: int, generation: int = 0, per_ms: int = 32) -> str:
    sound = speech(item, from_ms, duration_ms, per_ms)
    [data] = BROWSER.play(None, sound, f"item_{item}", generation)
    return data.decode()


def flush(generation: int) -> str:
    [data] = BROWSER.clear(None, generation)
    return data.decode()


def blocks(duration_ms: int, rate_hz: int = 16000) -> Step:
    """Whole blocks, as many as fit."""
    return {"blocks": duration_ms * rate_hz // 1000 // BLOCK}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(1, 3), st.integers(1, 12)),
        st.tuples(st.just("plays"), st.just(0), st.integers(1, 20)),
        st.tuples(st.just("flush"), st.just(0), st.just(0)),
        st.tuples(st.just("late"), st.integers(1, 3), st.integers(1, 4)),
    ),
    max_size=25,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_the_worklet_reports_what_the_model_reports(
    node: str, steps: list[tuple[str, int, int]]
) -> None:
    """Step by step the same messages, where audio comes in whole blocks of 8 ms."""
    model = BrowserCarrier(audio="pcm16_16k", report_every_ms=64)
    model.start(0)
    given_steps: list[Step] = []
    expected: list[list[Any]] = []
    now_ms = generation = 0
    sent = [0, 0, 0, 0]
    for what, item, count in [*steps, ("plays", 0, 300)]:
        message: Step
        if what == "plays":
            now_ms += 8 * count
            message, said = blocks(8 * count), model.advance(now_ms)
        else:
            if what == "flush":
                generation += 1
                message = flush(generation)
            elif what == "late":
                message = audio(item, sent[item], 8 * count, generation - 1)
                if not generation:
                    continue
            else:
                message = audio(item, sent[item], 8 * count, generation)
                sent[item] += 8 * count
            said = model.receive(message, now_ms)
        given_steps.append(message)
        expected.append([json.loads(each) for each in said])
    assert model.warnings == ()
    answers = played(node, given_steps)
    assert [answer["said"] for answer in answers] == expected


def test_positions_are_exact_to_the_sample_wherever_items_end(node: str) -> None:
    """Items end inside of blocks; what is reported is what had left the worklet by then, and never more."""
    random.seed(7)
    steps: list[Step] = []
    for item in range(1, 9):
        at_ms = 0
        for _ in range(random.randint(1, 4)):
            ms = random.randint(1, 90)
            steps.append(audio(item, at_ms, ms))
            at_ms += ms
            steps.append(blocks(random.randint(8, 120)))
    steps.append(blocks(4000))
    played_ms: dict[str, float] = {}
    sounded = bytearray()
    for answer in played(node, steps, every_ms=50):
        sounded += base64.b64decode(answer["sound"])
        heard = bytes(sounded)
        for report in answer["said"]:
            item = int(report["item"].removeprefix("item_"))
            ms = report["played_ms"]
            assert speech(item, ms - 1, 1, 32) in heard
            assert ms > played_ms.get(report["item"], 0)
            played_ms[report["item"]] = ms
    whole = b"".join(base64.b64decode(json.loads(s)["audio"]) for s in steps if isinstance(s, str))
    assert bytes(sounded).replace(b"\0" * 32, b"") == whole
    for item in range(1, 9):
        assert speech(item, int(played_ms[f"item_{item}"]) - 1, 1, 32) in whole
        assert speech(item, int(played_ms[f"item_{item}"]), 1, 32) not in whole


def test_the_table_reads_what_the_worklet_says(node: str) -> None:
    """As JSON, just as the page sends it."""
    steps = [audio(1, 0, 100), blocks(80), flush(1), flush(2), audio(1, 80, 20, 2), blocks(40)]
    said = [message for answer in played(node, steps, every_ms=50) for message in answer["said"]]
    events = [event for message in said for event in BROWSER.decode(json.dumps(message))]
    assert events == [
        ev.Played(item="item_1", played_ms=56, generation=0),
        ev.Played(item="item_1", played_ms=80, generation=0),
        ev.Cleared(),
        ev.Cleared(),
        ev.Played(item="item_1", played_ms=20, generation=2),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_sound_passes_unchanged(node: str, name: str) -> None:
    """In every format, from the bridge's base64 to the loudspeaker's floats and back."""
    voice = BROWSER.audio[name]
    samples = bytes(each for each in range(256) if each != 0x7F)  # 0x7F is a second zero.
    if name != "mulaw":
        samples = b"".join(
            each.to_bytes(2, "little", signed=True) for each in range(-32768, 32768, 9)
        )
    [data] = BROWSER.play(None, samples, "item_1", 0)
    count = -(-len(samples) * voice.rate_hz // (1000 * voice.bytes_per_ms) // BLOCK)
    [_, answer] = played(node, [data.decode(), {"blocks": count}], name)
    assert base64.b64decode(answer["sound"])[: len(samples)] == samples


def test_the_microphone_speaks_at_the_callers_rate(node: str) -> None:
    """Whatever the device's rate is: here 48 kHz, averaged to 16 kHz in frames of 20 ms."""
    quarter = base64.b64encode((8192).to_bytes(2, "little") * 128).decode()
    answers = played(node, [{"hears": quarter}] * 75)
    frames = [base64.b64decode(frame) for answer in answers for frame in answer["heard"]]
    assert [len(frame) for frame in frames] == [640] * 10
    assert set(frames) == {(8192).to_bytes(2, "little") * 320}


def test_a_square_wave_keeps_its_length(node: str) -> None:
    """Resampling neither loses nor makes time: a second in is a second out."""
    sound = caller_speech(1000, 96)
    chunks = [sound[at : at + 256] for at in range(0, len(sound), 256)]
    answers = played(node, [{"hears": base64.b64encode(each).decode()} for each in chunks])
    assert sum(len(answer["heard"]) for answer in answers) == 50
