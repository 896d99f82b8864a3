"""Describes a folder with a tiny and slow network: `python -m tests.describing.child_describe FOLDER OUT`.

It prints a line for each batch, so that whoever started it knows when to kill it.
"""

import sys
import time
from pathlib import Path

from fewlabels.commands.describe import PhotosInput, run_describe
from fewlabels.describing import cache
from fewlabels.describing.network import Describer
from fewlabels.nets import pretrained
from tests.describing.fakes import tiny


def main(photos: str, out: str) -> None:
    pretrained.load_backbone = lambda name=None, **options: tiny()
    cache.SECONDS_BETWEEN_COMMITS = 0.0
    describe = Describer._describe

    def slow(self, squares):
        time.sleep(0.02)
        found = describe(self, squares)
        print("batch", flush=True)
        return found

    Describer._describe = slow
    results = run_describe(PhotosInput(Path(photos)), Path(out), quiet=True)
    print("computed", results["computed"], "known", results["known"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
