"""`python -m fewlabels`."""

from .cli import main

main()
