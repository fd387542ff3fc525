"""Tables → modules in memory: the adapters that tables would become, without writing one.

    provider, transport = adapters(Path("patched"), "openai", "twilio")
    Session(provider.ADAPTER, transport.ADAPTER)

For whoever judges tables before their code is written: `bargein verify`, and the mutants of the tests.
"""

import sys
from itertools import count
from pathlib import Path
from types import ModuleType

from bargein.statemachines.checks import check as findings
from bargein.statemachines.diagnostics import TableError, did_you_mean
from bargein.statemachines.loader import load_all
from bargein.statemachines.model import Machine, Provider, Transport
from bargein.statemachines.tables import ROOM

from .analysis import plan_peer
from .errors import GenerateError, RenderError
from .generate import Change, generate, load
from .render import render_peer

_numbers = count(1)


def adapters(folder: Path | None, provider: str, transport: str) -> tuple[ModuleType, ModuleType]:
    """The modules of one provider and one transport, made from the tables in `folder` and imported.

    The adapter of each is its `ADAPTER`. None stands for the tables that bargein ships; those serve too for
    whatever `folder` does not have. Nothing is written, nothing stays in `sys.modules`, and every call makes
    new modules: what two calls return has nothing in common.

    :raises TableError: with everything that is wrong with the tables.
    :raises GenerateError: if there is no provider or no transport of that name, or what was made is not Python.
    """
    tables = load(ROOM if folder is None else folder)
    if provider not in tables.providers or transport not in tables.transports:
        tables = tables.over(load_all())
        if errors := [found for found in findings(tables) if found.severity == "error"]:
            raise TableError(errors)
    peers: list[Provider | Transport] = []
    for side, name, known in (
        ("provider", provider, dict[str, Provider | Transport](tables.providers)),
        ("transport", transport, dict[str, Provider | Transport](tables.transports)),
    ):
        if name not in known:
            raise GenerateError(f"no {side} '{name}'{did_you_mean(name, known)}")
        peers.append(known[name])
    first, second = (_imported(peer, tables.machines) for peer in peers)
    return first, second


def stale() -> list[Change]:
    """What of the adapters that bargein ships is not what its tables say; empty if all of it is.

    :raises TableError: with everything that is wrong with the tables.
    :raises GenerateError: if an adapter cannot be read.
    """
    room = ROOM.parent / "adapters"
    return [change for change in generate(ROOM.parent, check=True) if change.path.parent == room]


def _imported(peer: Provider | Transport, machines: dict[str, Machine]) -> ModuleType:
    called = peer.provider if isinstance(peer, Provider) else peer.transport
    text = render_peer(plan_peer(peer, machines, ()))
    module = ModuleType(f"bargein_loaded_{next(_numbers)}.{called}")
    try:
        code = compile(text, f"<{called}, as its tables say>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise RenderError(f"{called}: {error}") from error
    sys.modules[module.__name__] = module  # Where a class looks for the names of its module.
    try:
        exec(code, module.__dict__)  # Our own text, as in the files we write.
    finally:
        del sys.modules[module.__name__]
    return module
