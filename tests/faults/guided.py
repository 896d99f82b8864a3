"""Coverage-guided fuzzing of the parsers of lane F10, by atheris, which is no dependency: `pip install atheris` first.

python -m tests.faults.guided --seconds 600 [NAME ...]      names as in parsers.PARSERS; all where none is given

A file that breaks the contract (fuzz.problem_with) is kept in build/guided/, and the exit status is 1. What was tried
so far is kept there as well, and the next call goes on from it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE.parent.parent / "build" / "guided"


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one parser in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["fewlabels"]):
        from fewlabels.storage import durable
        from tests.faults.fuzz import problem_with
        from tests.faults.parsers import PARSERS
    durable._fsync = lambda descriptor: None
    parser = PARSERS[name]()
    corpus = KEPT / name.replace(" ", "-")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(parser.files):
        (corpus / f"seed-{number}").write_bytes(data)
    path = Path(tempfile.mkdtemp()) / parser.name

    def one(data: bytes) -> None:
        path.write_bytes(data)
        if found := problem_with(parser.read, path):
            raise AssertionError(f"{name}: {found}")

    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=4096", "-max_len=20000", "-len_control=0"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={corpus}.broken-", str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=int, default=600, help="for each parser")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        fuzz(given.names[0], given.seconds)
    broken = []
    for name in given.names or _all():
        command = [sys.executable, "-m", "tests.faults.guided", "--alone", "--seconds", str(given.seconds), name]
        broken += [name] * bool(subprocess.run(command).returncode)
    print(f"broken: {', '.join(broken)}" if broken else "nothing broken")
    return int(bool(broken))


def _all() -> list[str]:
    from tests.faults.parsers import PARSERS

    return list(PARSERS)


if __name__ == "__main__":
    sys.exit(main())
