"""HOW it runs: the sans-I/O session, its ledger and journal, and the anyio drivers."""
