"""Label files -> one label for each row, or none."""
