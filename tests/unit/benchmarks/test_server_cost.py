"""What the benchmarks count of the requests to Prefect's server."""

from tests.benchmarks.server_cost import kinds

HEAD = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def test_requests_are_counted_by_kind() -> None:
    """Each request counts once, whatever its body and the answers say."""
    paths = ["POST /api/logs/", "POST /api/artifacts/", "POST /api/artifacts/latest/filter"]
    paths += ["POST /api/flow_runs/1/set_state", "GET /api/events/in", "GET /api/flow_runs/1"]
    sent = b"".join(path.encode() + HEAD + b'{"message": "POST /api/logs/"}' for path in paths)
    answers = b'HTTP/1.1 200 OK\r\n\r\n{"detail": "GET /api/flow_runs/1"}'
    assert kinds(sent + answers) == {"logs": 1, "artifacts": 2, "states": 1, "events": 1, "others": 1}
