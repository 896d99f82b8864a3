"""A person's answers: append-only, in SQLite, with one writer."""
