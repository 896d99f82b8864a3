"""`python -m fewlabels`."""

from .main import main

main()
