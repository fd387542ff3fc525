"""Tables become adapters, JSON Schema and reference tables."""
