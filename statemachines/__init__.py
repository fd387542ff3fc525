"""WHAT may happen: the YAML tables, and what a table is (typed model, loader, checks)."""
