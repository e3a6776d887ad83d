"""Chromium, by chromedriver and its HTTP API. Standard library only."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the name that WebDriver gives to references of elements
TAB = "\ue004"
# Chromium is to speak to the page under test and to nobody else.
SWITCHES = [
    "--headless=new",
    "--no-sandbox",  # it has none for root, as whom CI runs; nothing but our own page is opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-lcd-text",  # smaller pictures
]


class WebDriverError(Exception):
    """What chromedriver said that it could not do."""


class Browser:
    """A window of a browser with a profile of its own. `names`: where it finds hosts, as a name server would say."""

    def __init__(self, names):
        self.profile = tempfile.mkdtemp(prefix="browser-test-")
        self.log = open(os.path.join(self.profile, "chromedriver.log"), "w+b")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=self.log, stderr=subprocess.STDOUT)
        self.session = None
        try:
            self.base = f"http://127.0.0.1:{self._port()}"
            args = SWITCHES + [f"--user-data-dir={self.profile}/profile"]
            args.append("--host-resolver-rules=" + ",".join(f"MAP {name} {to}" for name, to in names.items()))
            options = {
                "goog:chromeOptions": {"args": args},
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            self.session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]
        except BaseException:
            self.close()
            raise

    def _port(self):
        """Where chromedriver listens: it says so when it does."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with open(self.log.name, encoding="utf-8", errors="replace") as log:
                for line in log:
                    if "started successfully on port" in line:
                        return int(line.rstrip().rstrip(".").rsplit(" ", 1)[1])
            if self.driver.poll() is not None:
                break
            time.sleep(0.05)
        raise WebDriverError("chromedriver did not start")

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise WebDriverError(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}") from None

    def ask(self, method, path, body=None):
        """A request about this session."""
        return self._ask(method, f"/session/{self.session}{path}", body)

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *args):
        """Runs the body of a function in the page, and waits where it returns a promise."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    def devtools(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def click(self, css):
        found = self.ask("POST", "/element", {"using": "css selector", "value": css})
        self.ask("POST", f"/element/{found[ELEMENT]}/click", {})

    def press(self, key):
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def size(self, width, height, mobile=False):
        """The size of the page in CSS pixels, also below what a window can have."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    def scheme(self, name):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def logged(self, kind):
        """What was logged since the last time: `browser` is the console, `performance` what the browser did."""
        return self.ask("POST", "/se/log", {"type": kind})

    def picture(self, path, width, height):
        shot = self.devtools(
            "Page.captureScreenshot",
            format="png",
            clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
            captureBeyondViewport=True,
        )
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def close(self):
        try:
            if self.session:
                self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            try:
                self.driver.wait(10)
            except subprocess.TimeoutExpired:
                self.driver.kill()
                self.driver.wait(10)
            self.log.close()
            shutil.rmtree(self.profile, ignore_errors=True)
