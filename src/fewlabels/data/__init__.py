"""Reading what users hand in: label files, tables of embeddings, images, and the paper's benchmark data sets.

Each module is imported by its own name: labels and embeddings must not need Pillow.
"""
