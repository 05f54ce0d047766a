"""Writing and reading files, whatever is in them: atomic, verified, by one writer at a time."""
