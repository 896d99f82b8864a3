"""Propagation over rows that no one machine holds: stages over files of a folder that all workers see."""
