"""Requests made from the service's own OpenAPI description."""

import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis")


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_whatever_is_sent_no_answer_is_a_fault_of_the_server(application, mode):
    schema = schemathesis.openapi.from_asgi("/openapi.json", application())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 5
    seen = set()
    for operation in operations:
        if mode == "NEGATIVE" and operation.method == "get":
            continue  # has nothing that could be wrong

        @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode]))
        @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def send(case):
            answer = case.call()
            assert answer.status_code < 500, answer.text
            assert "Traceback" not in answer.text
            schema[case.path][case.method].validate_response(answer)
            seen.add(answer.status_code)

        send()
    assert 422 in seen
