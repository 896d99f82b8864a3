"""The paper's experiments: their cells, run, read back and printed."""
