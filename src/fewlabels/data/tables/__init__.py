"""Embeddings and ids from .npy, Parquet and Arrow files."""
