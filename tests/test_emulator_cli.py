"""`bargein emulate`: what people type and what they see."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import anyio
import pytest
from typer.testing import CliRunner, Result

from bargein import calls, cli
from bargein.simulator.emulator import EMULATED, NO_WEBSOCKET

BARGEIN = [sys.executable, "-c", "from bargein.cli import main; main()"]
DOCS = Path(__file__).resolve().parent.parent / "docs" / "emulators.md"

calls.add_to(cli.app)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["emulate", *arguments])


def test_without_a_name_all_are_listed_with_how_to_reach_them() -> None:
    result = run()
    assert result.exit_code == cli.OK
    listed = [line.split()[0] for line in result.stdout.splitlines()]
    assert listed == [*EMULATED, *NO_WEBSOCKET]
    assert "AsyncOpenAI(base_url=…)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("elvenlabs",), "no emulator of 'elvenlabs'; did you mean 'elevenlabs'?"),
        (("nobody",), "no emulator of 'nobody'; `bargein emulate` lists them"),
        (("nova_sonic",), "no websocket. Put its model"),
        (("gemini", "--tls-key", "key.pem"), "--tls-key needs --tls-cert"),
        (("gemini", "--tls-cert", "nowhere.pem"), "--tls-cert nowhere.pem: "),
        (("xai", "--listen", "here"), "expected HOST:PORT"),
        (("xai", "--plans", "nowhere.yaml"), "nowhere.yaml: "),
    ],
)
def test_a_mistake_ends_in_one_clear_line(arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == cli.USAGE
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_every_provider_is_in_the_documentation() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [name for name in (*EMULATED, *NO_WEBSOCKET) if name not in text] == []


def test_every_message_is_a_readable_line_and_ctrl_c_ends_it() -> None:
    """Binary frames as their length, long ones cut."""
    with subprocess.Popen(
        [*BARGEIN, "emulate", "ultravox", "--listen", "127.0.0.1:0", "--verbose"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("ultravox: ws://127.0.0.1:")
        url = first.split()[1]

        async def call() -> None:
            with anyio.fail_after(10):
                async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
                    await socket.send_json({"type": "ping", "timestamp": 1})
                    while (await socket.receive_json())["type"] != "pong":
                        pass
                    await socket.send_bytes(bytes(640))
                    long = {"type": "user_text_message", "text": "x" * 500, "urgency": "later"}
                    await socket.send_json(long)
                    await socket.receive_json()

        anyio.run(call)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    lines = out.splitlines()
    assert '[1] <- {"type": "ping", "timestamp": 1}' in lines
    assert "[1] <- 640 bytes" in lines
    assert any(line.startswith('[1] -> {"type":"pong"') for line in lines)
    assert all(len(line) < 230 for line in lines)
    assert lines[-1] == "bye"
