"""Known vulnerabilities of the versions in constraints.txt, by pip-audit. `make audit`; run it weekly.

Exit status: 0 none known, 1 some known, 2 not all packages could be looked up: then nothing is known of these.
pip-audit itself passes over packages that its service does not answer for, and ends with 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"


def verdict(report: dict) -> tuple[int, list[str]]:
    """(exit status, lines to print) for pip-audit's JSON."""
    found = report["dependencies"]
    unknown = [f"{one['name']}: {one['skip_reason']}" for one in found if "skip_reason" in one]
    known = [
        f"{one['name']} {one['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in found
        for flaw in one.get("vulns", [])
    ]
    lines = [*known, *unknown[:3], *(["..."] if len(unknown) > 3 else [])]
    lines.append(f"{len(found) - len(unknown)} of {len(found)} packages looked up, {len(known)} known vulnerabilities")
    if unknown:
        lines.append("THE AUDIT IS NOT COMPLETE: is the advisory service reachable from here (https://pypi.org)?")
    return (1 if known else 2 if unknown or not found else 0), lines


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip"]
    done = subprocess.run([*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        print(f"THE AUDIT WAS NOT MADE: {reason[0]}", file=sys.stderr)
        return 2
    status, lines = verdict(report)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
