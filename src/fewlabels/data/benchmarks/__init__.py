"""The paper's benchmark data sets: facts, files and splits."""
