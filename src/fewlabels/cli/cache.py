"""`fewlabels cache`: where descriptors and weights are kept, how much there is, and how to clear it."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .app import app, print_json


@app.command(
    short_help="Show or clear the cache of descriptors.",
    epilog="Example: fewlabels cache\n\nExample: fewlabels cache efficientnet-lite0 --clear",
)
def cache(
    model: Annotated[
        str | None, typer.Argument(help="A model as `fewlabels cache` names it, or the beginning of its name.")
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove the descriptors of MODEL, or of all; they can be computed again.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show where descriptors of photos are kept, for which models, how many and how large; or remove them.

    The place is $FEWLABELS_CACHE, else fewlabels in $XDG_CACHE_HOME, else ~/.cache/fewlabels. It may be removed by
    hand, too, as long as nothing is being described.
    """
    from ..commands.cache import format_cache, run_cache

    found = run_cache(model, clear=clear)
    if as_json:
        print_json(found)
    else:
        print(format_cache(found))
