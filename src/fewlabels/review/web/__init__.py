"""The page of a review: its routes, the process that serves it, and who may speak to it."""
