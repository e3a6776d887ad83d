"""What every scenario needs: two Firefoxes and a server started and stopped, checks counted, and each request that a
Firefox made judged."""

import json
import signal
import subprocess
import time
from urllib.parse import urlsplit

from firefox import Firefox
from fxa_mock import FxaMock
from marionette import MarionetteError
from server import ServerError

# Answers other than 2xx that are part of a normal first sync.
NOT_THERE_YET = ("/storage/meta/global", "/storage/meta/syncids", "/storage/crypto/keys")


class Abort(Exception):
    """No use going on."""


class Stop(BaseException):
    """Out of time, or told to stop.  Not an Exception, so that nothing on the
    way takes it for an error of its own."""


def diff(a, b, limit=6):
    """A few words on where two JSON values differ."""
    out = []

    def walk(x, y, path):
        if len(out) >= limit or x == y:
            return
        if isinstance(x, dict) and isinstance(y, dict):
            for k in sorted(set(x) | set(y)):
                walk(x.get(k, "(none)"), y.get(k, "(none)"), f"{path}.{k}")
        elif isinstance(x, list) and isinstance(y, list):
            if len(x) != len(y):
                out.append(f"{path}: {len(x)} items, {len(y)} items")
            for i, (p, q) in enumerate(zip(x, y)):
                walk(p, q, f"{path}[{i}]")
        else:
            out.append(f"{path}: {x!r} != {y!r}")

    walk(a, b, "")
    return "; ".join(out)[:900]


def origin(url):
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


class Run:
    """One run.  A scenario is a subclass with a method scenario()."""

    def __init__(self, args, server):
        self.args = args
        self.server = server
        self.passed = self.failed = 0
        self.logs = {}  # Firefox -> its sync log as of its first failure
        self.firefoxes = []  # all that were started
        self.fxa = self.a = self.b = None
        self.origins = set()

    # ---- reporting ----

    def ok(self, name, note=""):
        self.passed += 1
        print(f"ok   {name}" + (f" ({note})" if note else ""), flush=True)

    def fail(self, name, why, *who):
        self.failed += 1
        print(f"FAIL {name}: {why}", flush=True)
        for f in who:
            if f and f.name not in self.logs:
                try:
                    self.logs[f.name] = f.call("logTail", self.args.log_chars, timeout=5)
                except (AttributeError, MarionetteError, OSError) as e:
                    self.logs[f.name] = f"(no sync log: {e})\n{f.output_tail()}"

    def check(self, name, good, why="", *who, note=""):
        if good:
            self.ok(name, note)
        else:
            self.fail(name, why, *who)
        return good

    def same(self, name, want, got, *who):
        return self.check(name, want == got, diff(want, got), *who)

    # ---- what went over the wire ----

    def is_server(self, entry):
        """Is it a request to the server under test (not the FxA mock, say)?"""
        return origin(entry["url"]) in self.origins

    def take(self, who):
        """The requests `who` made to the server under test since last asked."""
        return [e for e in who.drain() if self.is_server(e)]

    def bad_answers(self, entries, allow=()):
        bad = []
        for e in entries:
            path = urlsplit(e["url"]).path
            status = e["status"]
            if status and 200 <= status < 300:
                continue
            if status == 404 and e["method"] == "GET" and path.endswith(NOT_THERE_YET):
                continue
            if status in allow:
                continue
            bad.append(f"{e['method']} {e['url']} -> {status}")
        return bad

    # ---- steps ----

    def sync(self, who, what):
        """One sync of `who`; it and its requests must go well."""
        return self.judge(who, what, who.call("sync", timeout=60))

    def judge(self, who, what, result, allow=()):
        entries = self.take(who)
        name = f"{what}: {who.name.upper()} syncs with success"
        problems = []
        if result["service"] != "success.status_ok":
            problems.append(f"service status {result['service']}")
        if result["sync"] != "success.sync":
            problems.append(f"sync status {result['sync']}")
        if result["login"] not in ("success.login", "success.status_ok"):
            problems.append(f"login status {result['login']}")
        for engine, code in result["engines"].items():
            if code != "success.engine":
                problems.append(f"engine {engine}: {code}")
        for e in result["failed"]:
            problems.append(f"{e['topic']} {e['data']} {e['detail']}")
        for e in result["counts"]:
            count = json.loads(e["detail"] or "{}")
            if count.get("failed"):
                problems.append(f"{e['topic']} {e['data']}: {e['detail']}")
        problems += self.bad_answers(entries, allow)
        note = ""
        if result.get("ms"):
            note = f"{result['ms'] / 1000:.2f} s, {len(entries)} requests"
        if problems:
            self.fail(name, "; ".join(problems)[:1500], who)
        else:
            self.ok(name, note)
        return entries

    def start(self):
        self.fxa = FxaMock(self.args.fxa_port)
        self.server.start(self.fxa.url)
        self.origins.add(origin(self.server.tokenserver_url))
        for name in ("a", "b"):
            firefox = Firefox(self.firefoxes, name, self.args.firefox, self.server.tokenserver_url, self.fxa.url)
            setattr(self, name, firefox)
        for f in (self.a, self.b):
            version = f.connect()
        self.ok("two Firefoxes start", f"version {version['version']}")

    def sign_in(self, who, name):
        result = who.call("signIn", self.fxa.credentials(), name, timeout=60)
        self.origins.add(origin(who.call("endpoint") or self.server.tokenserver_url))
        who.call("manual", True)
        entries = self.judge(who, "sign-in and first sync", result)
        if result["service"] not in ("success.status_ok", "error.sync.failed_partial"):
            raise Abort("no first sync, nothing else can be tested")
        return entries

    def compare(self, what, x, y):
        """x has what y has."""
        name = f"{what}: {y.name.upper()} has {x.name.upper()}'s"
        self.same(f"{name} bookmarks", x.call("bookmarks"), y.call("bookmarks"), x, y)
        hist = "https://history.example.com/"
        self.same(f"{name} history", x.call("history", hist), y.call("history", hist), x, y)
        self.same(f"{name} logins", x.call("logins"), y.call("logins"), x, y)

    def main(self):
        start = time.monotonic()
        try:
            self.scenario()
        except (Abort, MarionetteError, ServerError, OSError, subprocess.SubprocessError) as e:
            self.fail("the run", f"{type(e).__name__}: {e}", self.a, self.b)
        except Stop as e:
            self.fail("the run", str(e), self.a, self.b)
        except Exception as e:  # a bug of the harness, or an answer it did not expect
            import traceback

            traceback.print_exc()
            self.fail("the run", f"{type(e).__name__}: {e}", self.a, self.b)
        finally:
            signal.alarm(0)
            self.finish()
        print(f"took {time.monotonic() - start:.0f} s")
        print(f"firefox-sync: {self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0

    def finish(self):
        try:
            for name, log in self.logs.items():
                print(f"---- sync log of {name.upper()} at its first failure: {log}----")
            if self.args.trace:
                self.write_trace()
        finally:
            for f in self.firefoxes:
                try:
                    f.stop(keep=self.args.keep)
                except (OSError, subprocess.SubprocessError) as e:
                    print(f"could not stop {f.name.upper()}: {e}")
                if self.args.keep:
                    print("kept", f.dir)
            self.stop_server()
            if self.fxa:
                self.fxa.close()

    def stop_server(self):
        was_started = self.server.process is not None
        try:
            self.server.stop()
            if was_started and self.server.ours:
                self.ok("the server stops when told to")
        except ServerError as e:
            # A server that did not even start has been told of already.
            if was_started and self.origins:
                self.fail("the server stops when told to", str(e))
        log = self.server.log_tail()
        if self.failed and log:
            print(f"---- the end of the server's log:\n{log}\n----")
        self.server.clean()

    def write_trace(self):
        for f in self.firefoxes:
            try:
                if f.marionette:
                    f.drain(timeout=3)
            except (MarionetteError, OSError):
                pass
        with open(self.args.trace, "w") as out:
            rows = [e for f in self.firefoxes for e in f.trace]
            for e in sorted(rows, key=lambda e: e["t"]):
                out.write(json.dumps(e) + "\n")
