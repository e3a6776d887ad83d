#!/usr/bin/env python3
"""Draws the main figures of a server's metrics under load, as docs/src/images/metrics.svg has them.

Starts the load generator (tools/bench), which starts a server; fetches the server's /metrics once a second while it
runs; draws what they came to. Needs nothing but Python and the two programs:

    cargo build --release --bin syncserver && cargo build --release -p bench
    python3 tools/metrics-picture/draw.py docs/src/images/metrics.svg
"""

import argparse
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([0-9.eE+-]+|\+Inf)$")
COLOURS = ["#1a6fb5", "#c8501e", "#2f8f4e", "#8a4fa3", "#8c6d1f", "#555555"]
WIDTH, HEIGHT, LEFT, TOP = 400, 150, 52, 42


def fetch(url):
    """The samples of a server: {(name, labels): value}; none while it does not answer."""
    try:
        text = urllib.request.urlopen(url, timeout=2).read().decode()
    except OSError:
        return None
    samples = {}
    for line in text.splitlines():
        if match := SAMPLE.match(line):
            labels = frozenset(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            samples[match[1], labels] = float(match[3])
    return samples


def watch(arguments):
    """Runs the load, and returns (seconds since the start, samples) once a second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        arguments.bench, "--spawn", arguments.server, "--scenario", arguments.scenario,
        "--seconds", str(arguments.seconds), "--env", f"SYNC_METRICS_LISTEN=127.0.0.1:{port}",
    ]
    process = subprocess.Popen(command, stdout=sys.stderr)
    series, start = [], time.monotonic()
    while process.poll() is None:
        time.sleep(1)
        if samples := fetch(f"http://127.0.0.1:{port}/metrics"):
            series.append((time.monotonic() - start, samples))
    if process.returncode:
        sys.exit(f"the load generator failed: {process.returncode}")
    return series


def rate(before, after, name, **labels):
    """The growth a second of all samples of a name that have these labels."""
    wanted = set(labels.items())
    grown = sum(
        max(0.0, value - before[1].get(key, 0.0))
        for key, value in after[1].items()
        if key[0] == name and wanted <= key[1]
    )
    return grown / (after[0] - before[0])


def quantile(before, after, name, share):
    """A quantile of what a histogram has seen between two fetches, in the histogram's unit."""
    counts = {}
    for (sample, labels), value in after[1].items():
        if sample == name + "_bucket":
            bound = float(dict(labels)["le"].replace("+Inf", "inf"))
            counts[bound] = counts.get(bound, 0) + max(0.0, value - before[1].get((sample, labels), 0.0))
    bounds = sorted(counts)
    total = counts[bounds[-1]] if bounds else 0
    if not total:
        return None
    last_bound, last_count = 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= share * total:
            if bound == float("inf"):
                return last_bound
            inside = counts[bound] - last_count
            return last_bound + (bound - last_bound) * ((share * total - last_count) / inside if inside else 1)
        last_bound, last_count = bound, counts[bound]
    return None


def gauge(after, name):
    values = [value for key, value in after[1].items() if key[0] == name]
    return sum(values) if values else None


def figures(series):
    """The panels: a title, and lines of a name with values, one for each second."""
    steps = list(zip(series, series[1:]))
    requests, latency = "syncserver_http_requests_total", "syncserver_http_request_duration_seconds"
    routes = {}
    for key, value in series[-1][1].items():
        if key[0] == requests:
            labels = dict(key[1])
            name = (labels["method"], labels["route"])
            routes[name] = routes.get(name, 0) + value
    busiest = sorted(routes, key=routes.get, reverse=True)[:5]
    by_route = [
        (f"{method} {route}", [rate(a, b, requests, method=method, route=route) for a, b in steps])
        for method, route in busiest
    ]
    milliseconds = lambda value: None if value is None else value * 1000
    quantiles = [
        (f"{round(share * 100)} of 100", [milliseconds(quantile(a, b, latency, share)) for a, b in steps])
        for share in (0.5, 0.95, 0.99)
    ]
    commits = "syncserver_sqlite_commit_writes"
    per_commit = []
    for a, b in steps:
        count = rate(a, b, commits + "_count")
        per_commit.append(rate(a, b, commits + "_sum") / count if count else None)
    process = [
        ("CPU, cores", [rate(a, b, "process_cpu_seconds_total") for a, b in steps]),
        ("memory, 100 MB", [(gauge(b, "process_resident_memory_bytes") or 0) / 1e8 for _, b in steps]),
    ]
    writer = [
        ("writes in one transaction", per_commit),
        ("writes that wait", [gauge(b, "syncserver_sqlite_writer_queue_length") for _, b in steps]),
    ]
    return [
        ("Requests a second, by route", by_route),
        ("Latency, ms", quantiles),
        ("The process", process),
        ("SQLite's writer", writer),
    ]


def nice(most):
    """The next round number."""
    for power in range(-4, 10):
        for step in (1, 2, 5):
            if step * 10.0**power >= most:
                return step * 10.0**power
    return most


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def panel(x, y, title, lines, seconds):
    most = nice(max([value for _, values in lines for value in values if value is not None] or [1]) or 1)
    at = lambda second: x + LEFT + WIDTH * second / max(1, seconds - 1)
    up = lambda value: y + TOP + HEIGHT * (1 - value / most)
    out = [f'<text x="{x + LEFT}" y="{y + 24}" class="title">{escape(title)}</text>']
    for part in (0, 0.5, 1):
        value = most * part
        out.append(f'<path d="M{x + LEFT} {up(value):.1f}h{WIDTH}" class="grid"/>')
        out.append(f'<text x="{x + LEFT - 6}" y="{up(value) + 4:.1f}" class="axis end">{value:g}</text>')
    for second in range(0, seconds, 20):
        out.append(f'<text x="{at(second):.1f}" y="{y + TOP + HEIGHT + 16}" class="axis mid">{second} s</text>')
    for index, (name, values) in enumerate(lines):
        colour, pen, path = COLOURS[index], "M", ""
        for second, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            path += f"{pen}{at(second):.1f} {up(value):.1f}"
            pen = "L"
        below = y + TOP + HEIGHT + 34 + 15 * index
        out.append(f'<path d="{path}" class="line" stroke="{colour}"/>')
        out.append(f'<path d="M{x + LEFT} {below - 4}h16" class="line" stroke="{colour}"/>')
        out.append(f'<text x="{x + LEFT + 22}" y="{below}" class="axis">{escape(name)}</text>')
    return out


def draw(panels):
    seconds = max(len(values) for _, lines in panels for _, values in lines)
    column, row = WIDTH + LEFT + 28, TOP + HEIGHT + 34 + 15 * 5
    width, height = 2 * column, 2 * row
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" role="img" '
        'aria-label="Requests, latency, CPU and memory, and the work of SQLite\'s writer during a load test">',
        "<style>.title{font-size:14px;font-weight:bold}.axis{font-size:11px;fill:#333}.end{text-anchor:end}"
        ".mid{text-anchor:middle}.grid{stroke:#ddd}.line{fill:none;stroke-width:1.6}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for index, (title, lines) in enumerate(panels):
        out += panel(column * (index % 2), row * (index // 2), title, lines, seconds)
    return "\n".join(out + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="the SVG file to write")
    parser.add_argument("--server", default=ROOT / "target/release/syncserver")
    parser.add_argument("--bench", default=ROOT / "target/release/bench")
    parser.add_argument("--scenario", default="info,put,post10,mix", help="as the load generator has them")
    parser.add_argument("--seconds", type=float, default=20, help="of each scenario")
    arguments = parser.parse_args()
    series = watch(arguments)
    if len(series) < 5:
        sys.exit("there are no metrics to draw")
    arguments.picture.write_text(draw(figures(series)))


if __name__ == "__main__":
    main()
