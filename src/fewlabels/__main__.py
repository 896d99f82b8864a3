"""`python -m fewlabels`."""

from .cli.main import main

main()
