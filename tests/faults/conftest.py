"""Cases are no test files, and yet their asserts shall say what they compared."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "tests.faults.catalogue", *(f"tests.faults.{path.stem}" for path in Path(__file__).parent.glob("cases_*.py"))
)
