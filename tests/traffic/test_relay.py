"""Requests and answers pass, whole and in pieces."""

from __future__ import annotations

import json

from tests.traffic.wire import Node, RawBackend

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_request_and_its_answer_pass_and_leave_one_line_and_one_count(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"GET /a%2Fb?q=1 HTTP/1.1\r\nHost: shop\r\nX-One: 1\r\nx-two:  2\r\nX-One: 3\r\n\r\n")
        with legacy.accept() as backend:
            head = backend.head()
            assert head.startswith(b"GET /a%2Fb?q=1 HTTP/1.1\r\nHost: shop\r\nX-One: 1\r\nx-two:  2\r\nX-One: 3\r\n")
            backend.send(OK)
            assert client.answer() == (200, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok")
            (line,) = node.log_lines(1)
    told = json.loads(line)
    assert (told["method"], told["path"], told["status"], told["backend"]) == ("GET", "/a%2Fb", 200, "legacy")
    assert node.count('strangler_requests_total{area="-",backend="legacy",status="2xx"}') == 1
