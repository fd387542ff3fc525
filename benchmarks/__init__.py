"""What bargein costs, as ratios measured in one run. Start with `python benchmarks/run.py --help`."""
