"""The graph of a review: solved again after each answer, and what to ask next."""
