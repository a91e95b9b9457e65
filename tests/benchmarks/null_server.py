"""A server that takes every request and answers at once, or after a pause: what remains is the client's own time.

With ``--stdlib`` it is Python's own HTTP server, which reads each body into memory, in one process as the others.
"""

from __future__ import annotations

import argparse
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = (
    b'{"dataset_id":"ds_1","model_run_id":"run_1","predictions_processed":%d,"predictions_ignored":0,'
    b'"annotations_processed":%d,"annotations_ignored":0}'
)
ROWS = 5_000  # a request, of either client
JOB = (
    b'{"job_id":"job_1","job_last_known_status":"Running","job_type":"uploadDatasetItems",'
    b'"job_creation_time":"2026-01-01T00:00:00Z"}'
)
ENDED = b'{"job_id":"job_1","status":"Completed","message":{"new_items":20000},"job_progress":"1.00"}'
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def answer(request: bytes, port: int) -> tuple[bytes, bytes]:
    """Answer as a server that knows the contract only; all rows are well, all jobs have ended."""
    if b"_nucleus_pandas" in request:
        return b"404 Not Found", b'{"error":"There is no such route."}'
    if b"signedUrl" in request:
        return b"200 OK", b'{"signed_url":"http://127.0.0.1:%d/upload"}' % port
    if b"async=1" in request:
        return b"200 OK", JOB
    if b"/job/" in request:
        return b"200 OK", b"[]" if b"errors" in request else ENDED
    if b"use_privacy_mode" in request:
        return b"200 OK", b'{"use_privacy_mode":false}'
    return b"200 OK", ANSWER % (ROWS, ROWS)


def serve(connection: socket.socket, pause: float) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    scratch = memoryview(bytearray(1 << 20))
    read = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in read:
                some = connection.recv(65_536)
                if not some:
                    return
                read += some
            head, _, read = read.partition(b"\r\n\r\n")
            found = LENGTH.search(head)
            left = int(found[1]) if found else 0
            if len(read) >= left:
                read = read[left:]
            else:
                left -= len(read)
                read = b""
                while left:
                    count = connection.recv_into(scratch, min(left, len(scratch)))
                    if not count:
                        return
                    left -= count
            if pause:
                time.sleep(pause)
            status, body = answer(head.split(b"\r\n", 1)[0], connection.getsockname()[1])
            head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
            connection.sendall(head + body)


class Handler(BaseHTTPRequestHandler):
    """Answers in Python's own server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    pause = 0.0

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.pause)
        status, body = answer(self.requestline.encode(), self.connection.getsockname()[1])
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        self.wfile.write(head + body)

    do_GET = do_POST = do_PUT = answer


def serve_by_stdlib(pause: float) -> None:
    Handler.pause = pause
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--stdlib", action="store_true", help="answer by Python's own HTTP server")
    arguments = parser.parse_args()
    pause = arguments.pause
    if arguments.stdlib:
        serve_by_stdlib(pause)
        return
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, pause), daemon=True).start()


if __name__ == "__main__":
    main()
