"""bargein: what the caller heard is what the model remembers."""
