"""The review of a run: a person labels, the graph answers. Never imports torch."""
