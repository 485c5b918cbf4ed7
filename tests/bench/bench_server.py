"""What LocalServer costs: requests a second, and its CPU a request, from one connection and from many.

    python -m tests.bench.bench_server [--requests N]

The server is a process of its own, so that the client's work is not counted.
"""
from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEYS = base64.b64encode(b"pk-local:sk-local").decode()


def requests(host, number):
    """The bytes of one request of each kind."""
    score = json.dumps({"id": f"s{number}", "traceId": "t", "name": "exact", "value": 1.0, "comment": "c"}).encode()
    common = f"HTTP/1.1\r\nhost: {host}\r\nauthorization: Basic {KEYS}\r\naccept: */*\r\nuser-agent: bench\r\n"
    posted = f"content-type: application/json\r\ncontent-length: {len(score)}\r\n\r\n"
    return {
        "GET projects": f"GET /api/public/projects {common}\r\n".encode(),
        "POST scores": f"POST /api/public/scores {common}{posted}".encode() + score,
    }


def work(host, kind, numbers):
    address, _, port = host.rpartition(":")
    with socket.create_connection((address, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in numbers:
            connection.sendall(requests(host, number)[kind])
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=5000)
    count = parser.parse_args().requests
    command = [sys.executable, "-m", "interactiveai_eval", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ROOT}) as server:
        host = server.stdout.readline().split("//")[1].strip()
        for kind in ("GET projects", "POST scores"):
            for connections in (1, 16):
                threads = [
                    threading.Thread(target=work, args=(host, kind, range(first, count, connections)))
                    for first in range(connections)
                ]
                cpu, wall = cpu_seconds(server.pid), time.perf_counter()
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                wall, cpu = time.perf_counter() - wall, cpu_seconds(server.pid) - cpu
                print(f"{kind:14} {connections:3} connections {count / wall:8.0f}/s {cpu / count * 1e6:6.0f} us CPU each")
        server.terminate()


if __name__ == "__main__":
    main()
