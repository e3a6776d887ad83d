"""The server under test: ours, started for the run, or another one."""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

TOKEN_PATH = "/1.0/sync/1.5"


class ServerError(Exception):
    """The server did not start, or did not stop as it should."""


def free_port():
    """One that the system does not give to those who ask for any, so that it is still free when the server starts."""
    while True:
        with socket.socket() as s:
            port = random.randrange(20000, 32000)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class OurServer:
    """The binary of this project, with a free port and a data folder of its own."""

    ours = True

    def __init__(self, binary, database_url=None, settings=(), keep=False):
        self.binary = os.path.abspath(binary)
        self.database_url = database_url
        self.settings = dict(settings)
        self.keep = keep
        self.process = self.dir = self.log = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.tokenserver_url = self.url + TOKEN_PATH

    def environment(self, fxa_url):
        # Settings of whoever runs this are not part of the test; above all not SYNC_PUBLIC_URL.
        env = {k: v for k, v in os.environ.items() if not k.startswith("SYNC_")}
        env["SYNC_HOST"] = "127.0.0.1"
        env["SYNC_PORT"] = str(self.port)
        env["SYNC_METRICS_LISTEN"] = "off"
        env["SYNC_MASTER_SECRET"] = secrets.token_hex(32)
        env["SYNC_DATA_DIR"] = self.dir
        env["SYNC_METRICS_LISTEN"] = f"127.0.0.1:{free_port()}"
        env["SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL"] = fxa_url
        if self.database_url:
            env["SYNC_SYNCSTORAGE__DATABASE_URL"] = self.database_url
        env.update(self.settings)
        return env

    def start(self, fxa_url):
        """Starts it and waits until it and its database answer; the run's own time limit bounds that."""
        self.dir = tempfile.mkdtemp(prefix="firefox-e2e-server-")
        self.log = open(os.path.join(self.dir, "server.log"), "wb")
        self.process = subprocess.Popen(
            [self.binary],
            env=self.environment(fxa_url),
            cwd=self.dir,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        why = "no answer"
        while True:
            try:
                urllib.request.urlopen(self.url + "/__heartbeat__", timeout=5).close()
                return
            except urllib.error.HTTPError as e:
                why = f"/__heartbeat__ is {e.code}"
                if e.code < 500:
                    raise ServerError(why) from None
            except OSError as e:
                why = str(e)
            if self.process.poll() is not None:
                raise ServerError(f"the server ended with {self.process.returncode} at its start ({why})")
            time.sleep(0.05)

    def stop(self):
        """Stops it as an operator would; a ServerError if it does not end well by that."""
        try:
            if self.process:
                self._stop()
        finally:
            if self.log:
                self.log.close()

    def _stop(self):
        if self.process.poll() is not None:
            raise ServerError(f"the server ended by itself with {self.process.returncode}")
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            raise ServerError("the server had to be killed") from None
        finally:
            try:  # its own session: also a child that it left behind is in that group
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(5)
        if code:
            raise ServerError(f"the server, told to stop, ended with {code}")
        if "panicked at" in self.log_text():
            raise ServerError("the server's log tells of a panic")

    def log_text(self):
        if not self.log:
            return ""
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def log_tail(self, lines=60):
        """The end of what it wrote."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def clean(self):
        """Removes the data folder."""
        if self.dir and self.keep:
            print("kept", self.dir)
        elif self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)


class OtherServer:
    """A server that runs, or that a command starts."""

    ours = False

    def __init__(self, tokenserver_url, command=None):
        self.tokenserver_url = tokenserver_url.rstrip("/")
        self.command = command
        self.process = None

    def start(self, _fxa_url):
        if not self.command:
            return
        self.process = subprocess.Popen(self.command, shell=True, stdin=subprocess.DEVNULL, start_new_session=True)
        where = urlsplit(self.tokenserver_url)
        while True:  # until the run's time is over
            try:
                socket.create_connection((where.hostname, where.port or 80), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise ServerError(f"the server's command ended with {self.process.returncode}") from None
                time.sleep(0.1)

    def stop(self):
        if not self.process:
            return
        for sig in (signal.SIGTERM, signal.SIGKILL):  # its own session, so only what it started
            try:
                os.killpg(self.process.pid, sig)
                self.process.wait(5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass

    def log_tail(self):
        return ""  # its output went to ours

    def clean(self):
        pass
