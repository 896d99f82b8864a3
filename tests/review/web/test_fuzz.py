"""F9: the API fuzzed from its own schema, through the guard: no 5xx, and every answer as the schema says."""

from __future__ import annotations

from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from fewlabels.review.web.app import build_api, build_app
from fewlabels.review.web.security import Access
from tests.review.review_fakes import CLASSES, fake_desk

HOST = "127.0.0.1:8765"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """(schema with the guarded app, what a request of the page's own tab carries, statuses seen)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fewlabels.review.desk.WAIT_SECONDS", 0.01)
        desk = fake_desk(tmp_path_factory.mktemp("fuzzed") / "run.review")
        desk._writer.read(lambda: desk._store._connection.execute("PRAGMA synchronous = OFF")).result()
        access = Access(frozenset({HOST}), 8765)
        schema = schemathesis.openapi.from_dict(likely(build_api(desk).openapi()))
        schema.app = build_app(desk, access)
        cookie = f"{access.cookie_name}={access.cookie}"
        yield schema, {"Host": HOST, "Origin": f"http://{HOST}", "Cookie": cookie}, Counter()
        desk.close()


def likely(document):
    """The schema, narrowed so that good requests mostly name rows and classes that are there."""
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "row":
                    parameter["schema"]["maximum"] = 55
    fields = document["components"]["schemas"]["OneAnswer"]["properties"]
    fields["row"]["maximum"] = 55
    fields["version"]["maximum"] = 2
    fields["label"] = {"enum": [*CLASSES, None]}
    return document


def strategies(schema, mode):
    operations = [found.ok() for found in schema.get_all_operations()]
    return st.one_of([operation.as_strategy(generation_mode=mode) for operation in operations])


def check(fuzzed, mode, count):
    schema, headers, statuses = fuzzed

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategies(schema, mode))
    def one(case):
        response = case.call(headers=headers, base_url=f"http://{HOST}")
        statuses[mode.name, case.operation.label, response.status_code] += 1
        is_refused_unread = response.status_code == 413  # which the schema cannot say of a body
        strict = [] if mode is GenerationMode.POSITIVE or is_refused_unread else [negative_data_rejection]
        case.validate_response(response, checks=[*CHECKS, *strict])

    one()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
@pytest.mark.parametrize("count", [80, pytest.param(1500, marks=pytest.mark.slow)])
def test_the_api_answers_as_its_schema_says_and_never_fails(fuzzed, tally, mode, count):
    check(fuzzed, mode, count)
    tally(count)
    print(sorted(fuzzed[2].items()))
