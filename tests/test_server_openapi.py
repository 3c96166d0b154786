"""The OpenAPI description: it is one, says what it must, and the server does what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import (
    GenerationConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from longtake.server.app import create_app, described
from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.takes.engines import Engines
from longtake.server.takes.hall import Hall
from tests.rigs.api import Api, api

EXAMPLES = 10  # made up for each operation
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
ENDLESS = "/v1/takes/{take}/events/stream"  # has a test of its own


def description(*, is_open: bool = True) -> dict[str, Any]:
    """Without a model: nothing is opened."""
    with Hall(Engines(["embedded"])) as hall:
        app = create_app(hall, Access.of(), ServeConfig())
        return described(app._app, is_open=is_open)  # type: ignore[arg-type]


DESCRIPTION = description()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DESCRIPTION["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_it_says_who_it_is_and_what_each_part_is_for() -> None:
    about = DESCRIPTION["info"]
    assert about["title"] == "longtake" and about["version"] and about["description"]
    tags = {tag["name"] for tag in DESCRIPTION["tags"]}
    for path, method, operation in operations():
        assert set(operation["tags"]) <= tags, f"{method} {path}"
        assert operation["summary"], f"{method} {path}"


def test_every_body_has_an_example_and_every_number_a_bound() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    for path, method, operation in operations():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None:
            continue
        schema = schemas[body["schema"]["$ref"].rpartition("/")[2]]
        assert schema["examples"], f"{method} {path}"
    for name in ("AnswerInfo", "TakeInfo", "PushedInfo", "ErrorBody"):
        assert schemas[name]["examples"], name
    for name in ("Ask", "OpenTake", "AddAlert", "Chat", "Stretch", "Narrate"):
        for field, schema in schemas[name]["properties"].items():
            for each in schema.get("anyOf", [schema]):
                if each.get("type") in ("number", "integer") and (name, field) != ("Chat", "n"):
                    assert {"maximum", "exclusiveMaximum"} & set(each), f"{name}.{field}"
                if each.get("type") == "array":
                    assert "maxItems" in each, f"{name}.{field}"


def test_errors_are_described_in_their_own_shape() -> None:
    for path, method, operation in operations():
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and path not in ("/healthz", "/readyz"):
                assert list(answer["content"]) == ["application/json"], f"{method} {path}"
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorBody"}, f"{method} {path}"
    assert "HTTPValidationError" not in DESCRIPTION["components"]["schemas"]


def test_it_says_how_to_come_in_where_somebody_is_asked() -> None:
    assert "security" not in DESCRIPTION
    guarded = description(is_open=False)
    assert guarded["security"] == [{"token": []}]
    assert guarded["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert guarded["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in guarded["paths"]["/v1/takes"]["get"]


# ------------------------------------------------------------------ what it says is so


def made_up() -> Any:
    generation = GenerationConfig(
        modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE],
        max_examples=EXAMPLES,
        deterministic=True,
        no_shrink=True,
    )
    project = ProjectConfig(generation=generation)
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_dict(DESCRIPTION, config=config).exclude(path=ENDLESS)


schema = made_up()


@pytest.fixture(scope="module")
def face() -> Iterator[Api]:
    with api(ServeConfig(port=0, max_takes=4)) as made:
        yield made


@schema.parametrize()
@hypothesis.settings(
    deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_requests_that_are_made_up_are_answered_as_described(
    case: schemathesis.Case, face: Api
) -> None:
    if "take" in case.path_parameters:
        is_last = case.method == "DELETE" and case.path == "/v1/takes/{take}"
        case.path_parameters["take"] = "none" if is_last else "live"
    response = case.call(base_url=face.url)
    case.validate_response(response, checks=CHECKS)
    for hosted in face.hall.all():
        if hosted.id != "live":
            face.hall.remove(hosted.id)
