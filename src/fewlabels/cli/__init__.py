"""The command line, one file for each command: it parses, calls one function of commands/, prints.

Results go to stdout, progress and warnings to stderr. Nothing heavy is imported before a command runs.
"""
