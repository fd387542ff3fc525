"""Run the benchmarks from a checkout: `python benchmarks/run.py`, the same as `python -m benchmarks`."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    # A script's own folder is on the path in place of the checkout's root, which holds the package.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
