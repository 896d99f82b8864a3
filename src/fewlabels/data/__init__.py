"""Files in, arrays out. Each module is imported by its own name: labels and embeddings must not need Pillow."""
