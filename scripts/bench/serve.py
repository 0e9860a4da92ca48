"""seqlab serve under load: clients that upload one recording over and over, and what became of them.

.venv/bin/python scripts/bench/serve.py runs/fsdd data/fsdd/audio/a.wav --clients 50 --seconds 60

Prints answers by status, the times of good ones, and the memory of the server along the way. Exit status 1 if there was
an answer besides 200, 429 and 503, or the service did not end well.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np


def memory(pid: int) -> float:
    """Return the resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def client(http: httpx.AsyncClient, name: str, content: bytes, end: float, seen: list[tuple[str, float]]) -> None:
    while (start := time.monotonic()) < end:
        try:
            answer = await http.post("/v1/transcribe", files={"file": (name, content)})
            seen.append((str(answer.status_code), time.monotonic() - start))
            if answer.status_code in (429, 503):
                await asyncio.sleep(float(answer.headers["retry-after"]))
        except httpx.HTTPError as error:
            seen.append((type(error).__name__, time.monotonic() - start))


async def load(address: str, pid: int, path: Path, clients: int, seconds: float) -> list[tuple[str, float]]:
    seen: list[tuple[str, float]] = []
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as http:
        while True:
            try:
                await http.get("/health")
                break
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
        print(f"memory before: {memory(pid):.0f} MB")
        end = time.monotonic() + seconds
        content = path.read_bytes()
        work = [asyncio.create_task(client(http, path.name, content, end, seen)) for _ in range(clients)]
        for part in range(1, 7):
            await asyncio.sleep(seconds / 6)
            print(f"after {seconds * part / 6:.0f} s: {memory(pid):.0f} MB, {len(seen)} answers", flush=True)
        await asyncio.gather(*work)
        text = (await http.get("/metrics")).text
        lines, batches = (
            float(text.partition(f"seqlab_batch_lines_{key} ")[2].split("\n")[0]) for key in ("sum", "count")
        )
        print(f"{lines / batches:.1f} lines a batch")
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    command = [sys.executable, "-u", "-m", "seqlab", "serve", given.model, "--port", "0", "--rate", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        address = line.split()[0]
        seen = asyncio.run(load(address, process.pid, given.file, given.clients, given.seconds))
    finally:
        process.terminate()
        process.wait(60)
    print(f"answers: {dict(Counter(status for status, _ in seen))}; exit status {process.returncode}")
    good = [seconds for status, seconds in seen if status == "200"]
    p50, p95, p99 = np.percentile(good, [50, 95, 99])
    print(f"{len(good) / given.seconds:.1f} a second; seconds: median {p50:.3f}, p95 {p95:.3f}, p99 {p99:.3f}")
    return int(process.returncode != 0 or not {status for status, _ in seen} <= {"200", "429", "503"})


if __name__ == "__main__":
    sys.exit(main())
