#!/usr/bin/env python3
"""Looks at the front page of the real server in a real browser. See README.md."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, os.pardir, "firefox-e2e")]
from server import OurServer  # noqa: E402
from webdriver import TAB, Browser  # noqa: E402

AXE = "4.14.1"
AXE_FOLDER = os.path.join(HERE, os.pardir, os.pardir, "target", "browser", "axe-core-" + AXE)
LAN = "sync.test"  # another name of this machine: not a secure context, and not the public URL
NOBODY = "http://127.0.0.1:9"  # no accounts server is needed
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = [320, 360, 768, 1440]


def check(truth, what):
    if not truth:
        raise AssertionError(what)


def wait(question, what, seconds=10):
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        check(time.monotonic() < end, what)
        time.sleep(0.05)


def axe():
    """The text of axe-core, the accessibility checker, fetched by npm where it is missing."""
    if not os.path.exists(AXE_FOLDER):
        with tempfile.TemporaryDirectory(prefix="axe-") as folder:
            command = ["npm", "install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund", "--silent"]
            command.append("axe-core@" + AXE)
            # Once more if it fails, as a network sometimes does.
            if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            # Under another name until it is complete.
            part = AXE_FOLDER + ".part"
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(os.path.join(folder, "node_modules", "axe-core"), part)
            os.rename(part, AXE_FOLDER)
    with open(os.path.join(AXE_FOLDER, "axe.min.js"), encoding="utf-8") as file:
        return file.read()


class FrontPage:
    def __init__(self, browser, server, axe_source):
        self.browser, self.server, self.axe = browser, server, axe_source
        # So that what is in the clipboard can be read here; the page itself only writes.
        browser.devtools("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])

    def run(self, script, *args):
        return self.browser.run(script, *args)

    def open(self, url=None):
        self.browser.open((url or self.server.url) + "/")

    def health(self):
        return self.run("return document.getElementById('health').innerText")

    def said(self):
        return self.run("return document.getElementById('said').textContent")

    # The tests. Each begins by opening the page.

    def test_the_state_of_the_server_shows(self):
        self.open()
        wait(lambda: self.health() == "Running well", f"the health is {self.health()!r}")
        check("Version" in self.run("return document.querySelector('header').innerText"), "no version")
        check(self.run("return document.getElementById('elsewhere').hidden"), "there is a warning without a reason")

    def test_each_button_copies_what_stands_beside_it(self):
        self.open()
        check(self.run("return isSecureContext"), "this machine is no secure context?")
        ids = self.run("return [...document.querySelectorAll('main button:not([hidden])')].map(b => b.dataset.copy)")
        ids = [name for name in ids if name != "setting"]  # that one belongs to the warning
        check(ids == ["desktop-name", "desktop-url", "android-url", "ios-url"], f"the buttons are {ids}")
        for name in ids:
            text = self.run("return document.getElementById(arguments[0]).textContent", name)
            expected = "identity.sync.tokenserver.uri" if name == "desktop-name" else self.server.tokenserver_url
            check(text == expected, f"{name} is {text!r}")
            self.run("return navigator.clipboard.writeText('something else')")
            # Else it may still say what it said of the button before, whose text is the same.
            self.run("document.getElementById('said').textContent = ''")
            self.browser.click(f"button[data-copy={name}]")
            wait(lambda: self.said() == "Copied: " + text, f"{name}: it says {self.said()!r}")
            got = self.run("return navigator.clipboard.readText()")
            check(got == text, f"{name}: the clipboard has {got!r}")

    def test_copying_works_without_tls_on_another_machine(self):
        self.open(f"http://{LAN}:{self.server.port}")
        check(not self.run("return isSecureContext"), "this should be no secure context")
        check(self.run("return navigator.clipboard === undefined"), "there should be no clipboard here")
        self.browser.click("button[data-copy=android-url]")
        wait(lambda: self.said().startswith("Copied: "), f"it says {self.said()!r}")
        selected = self.run("return getSelection().toString().trim()")
        check(selected == self.server.tokenserver_url, f"selected is {selected!r}")
        self.open()  # where the clipboard may be read
        got = self.run("return navigator.clipboard.readText()")
        check(got == self.server.tokenserver_url, f"the clipboard has {got!r}")
        # A browser that copies nothing at all leaves the text selected, and says so.
        self.open(f"http://{LAN}:{self.server.port}")
        self.run("document.execCommand = () => false")
        self.browser.click("button[data-copy=ios-url]")
        wait(lambda: "selected" in self.said(), f"it says {self.said()!r}")
        selected = self.run("return getSelection().toString().trim()")
        check(selected == self.server.tokenserver_url, f"selected is {selected!r}")

    def test_another_address_than_the_public_url_is_warned_of(self):
        other = f"http://{LAN}:{self.server.port}"
        self.open(other)
        shown = self.run("const e = document.getElementById('elsewhere'); return [e.hidden, e.getClientRects().length]")
        check(shown == [False, 1], f"the warning is {shown}")
        text = self.run("return document.getElementById('elsewhere').innerText")
        check(f"at {other}," in text and self.server.url in text, text)
        check(f"SYNC_PUBLIC_URL={other}\n" in text, text)
        # Another name of this very machine makes no difference.
        self.open(f"http://localhost:{self.server.port}")
        check(self.run("return document.getElementById('elsewhere').hidden"), "localhost is warned of")

    def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(self):
        self.open()
        wait(lambda: self.health() == "Running well", "no health")
        order = []
        while True:
            self.browser.press(TAB)
            stop = self.run(
                "const e = document.activeElement; if (e === document.body) return null;"
                "const style = getComputedStyle(e), box = e.getBoundingClientRect();"
                "return {name: e.dataset.copy || e.getAttribute('href'),"
                " outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,"
                " seen: box.top >= 0 && box.bottom <= innerHeight, top: box.top + scrollY}"
            )
            if stop is None or len(order) > 20:
                break
            check(stop["outline"], f"no focus to be seen on {stop['name']}")
            check(stop["seen"], f"{stop['name']} has the focus and is out of sight")
            order.append((stop["name"], stop["top"]))
        names = [name for name, _ in order]
        expected = ["desktop-name", "desktop-url", "android-url", "ios-url"]
        expected += ["/__heartbeat__", "/__version__", "/api-doc/openapi.json"]
        check(names == expected, f"Tab goes to {names}")
        check([top for _, top in order] == sorted(top for _, top in order), f"Tab jumps about: {order}")
        self.run("document.querySelector('button[data-copy=ios-url]').focus()")
        self.browser.press("\ue007")  # Enter
        wait(lambda: self.said().startswith("Copied: "), "Enter does not press the button")

    def test_it_is_accessible_in_both_colour_schemes(self):
        for scheme in ("light", "dark"):
            for url in (None, f"http://{LAN}:{self.server.port}"):
                self.open(url)
                self.browser.scheme(scheme)
                wait(lambda: self.health() == "Running well", "no health")
                self.browser.click("button[data-copy=desktop-url]")  # so that the message is looked at, too
                wait(self.said, "no message")
                self.run(self.axe)
                result = self.run(
                    "const told = (v) => v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join('; ');"
                    "return axe.run({runOnly: arguments[0]}).then(r => ({passes: r.passes.map(p => p.id),"
                    " unsure: r.incomplete.map(told), violations: r.violations.map(told)}))",
                    RULES,
                )
                check(not result["violations"], f"{scheme}: {result['violations']}")
                check("color-contrast" in result["passes"], f"{scheme}: contrast was not looked at: {result}")
                check(not result["unsure"], f"{scheme}: to be looked at by a person: {result['unsure']}")
        light, dark = [self._background(scheme) for scheme in ("light", "dark")]
        check(light != dark, f"the dark page is as light as the light one: {light}")

    def _background(self, scheme):
        self.browser.scheme(scheme)
        return self.run("return getComputedStyle(document.body).backgroundColor")

    def test_nothing_is_wider_than_the_window(self):
        for width in WIDTHS:
            self.browser.size(width, 800, mobile=width < 600)
            for url in (None, f"http://{LAN}:{self.server.port}"):
                self.open(url)
                wait(lambda: self.health() == "Running well", "no health")
                wide = self.run(
                    "return [...document.querySelectorAll('body *')].filter(e => !e.closest('.unseen') &&"
                    " e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"
                )
                check(not wide, f"{width} px: too wide is {wide}")
                sizes = self.run("return [document.documentElement.scrollWidth, innerWidth]")
                check(sizes == [width, width], f"{width} px: the page is {sizes}")
                heights = self.run(
                    "return [...document.querySelectorAll('main button')].filter(b => b.getClientRects().length)"
                    ".map(b => b.getBoundingClientRect().height)"
                )
                check(min(heights) >= 36, f"{width} px: buttons of {heights} px are too small for a finger")
        self.browser.size(1280, 900)

    def test_it_works_without_javascript(self):
        self.browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
        try:
            self.open()
            seen = self.run("return document.body.innerText")
        finally:
            self.browser.devtools("Emulation.setScriptExecutionDisabled", value=False)
        check(seen.count(self.server.tokenserver_url) == 3, f"the addresses are not there: {seen}")
        check("Is it well?" in seen, "there is no link to the health")
        check("Copy" not in seen and "not the address" not in seen, f"what needs the script shows: {seen}")

    def test_a_server_whose_database_is_gone_is_told_as_such(self):
        self.open()
        for answer, text in [
            ("new Response('{\"status\":\"Err\"}', {status: 503})", "Its database does not answer"),
            ("new Response('0', {status: 404})", "It does not say how it is"),
        ]:
            self.run(f"window.fetch = async () => {answer}; " + self.run("return document.scripts[0].textContent"))
            wait(lambda: self.health() == text, f"the health is {self.health()!r}, not {text!r}")

    def finish(self):
        """Over all that was opened: nothing was blocked or failed, and nobody else was spoken to."""
        console = [entry for entry in self.browser.logged("browser") if entry["level"] in ("SEVERE", "WARNING")]
        check(not console, f"the console says {console}")
        asked = set()
        for entry in self.browser.logged("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.add(message["params"]["request"]["url"])
        # The browser's own new tab (chrome:) and the icon in the page (data:) come from nowhere else.
        asked = {urlsplit(url) for url in asked if not url.startswith(("chrome:", "data:"))}
        others = {url.geturl() for url in asked if url.hostname not in ("127.0.0.1", "localhost", LAN)}
        check(not others, f"requests went to {others}")
        paths = {url.path for url in asked}
        check(paths == {"/", "/__heartbeat__"}, f"the page asks for {paths}")


def storage_node(binary, browser):
    """A server without a tokenserver says that Firefox is not to be pointed at it."""
    server = OurServer(binary, settings={"SYNC_TOKENSERVER__ENABLED": "false"})
    try:
        server.start(NOBODY)
        browser.open(server.url + "/")
        text = browser.run("return document.body.innerText")
        check("Do not point Firefox here" in text, text)
        check("identity.sync.tokenserver.uri" not in text, text)
    finally:
        server.stop()
        server.clean()


def below_a_path(binary, browser):
    """A server whose public URL has a path is well there, and says so where it is opened elsewhere."""
    server = OurServer(binary)
    server.settings["SYNC_PUBLIC_URL"] = server.url + "/my/sync"
    try:
        server.start(NOBODY)
        for path, is_warned in [("/my/sync/", False), ("/my/sync", False), ("/", True)]:
            browser.open(server.url + path)
            health = "return document.getElementById('health').className"
            wait(lambda: browser.run(health) == "well", f"{path}: no health")
            hidden = browser.run("return document.getElementById('elsewhere').hidden")
            check(hidden != is_warned, f"{path}: the warning is {'hidden' if hidden else 'shown'}")
        links = browser.run("return [...document.links].map(link => link.href)")
        check(len(links) == 3 and all(link.startswith(server.url + "/my/sync/") for link in links), f"links: {links}")
    finally:
        server.stop()
        server.clean()


def pictures(binary, folder):
    """The page as it is shown in the book, and in other ways to look at."""
    url = "http://127.0.0.1:8000"  # as in the quick start, whatever port the server really has
    server = OurServer(binary, settings={"SYNC_PUBLIC_URL": url})
    browser = None
    try:
        server.start(NOBODY)
        browser = Browser(names={f"{host}:8000": f"127.0.0.1:{server.port}" for host in ("127.0.0.1", LAN)})
        for name, width, scheme, at in [
            ("front-page", 820, "light", url),
            ("front-page-dark", 820, "dark", url),
            ("front-page-narrow", 360, "light", url),
            ("front-page-elsewhere", 820, "light", f"http://{LAN}:8000"),
        ]:
            browser.size(width, 700, mobile=width < 600)
            browser.scheme(scheme)
            browser.open(at + "/")
            wait(lambda: "well" in browser.run("return document.getElementById('health').className"), "no health")
            height = browser.run("return document.documentElement.scrollHeight")
            browser.picture(os.path.join(folder, name + ".png"), width, height)
    finally:
        if browser:
            browser.close()
        server.stop()
        server.clean()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/release/syncserver", help="the server")
    parser.add_argument("--pictures", metavar="FOLDER", help="take pictures of the page instead of testing it")
    options = parser.parse_args()
    if options.pictures:
        return pictures(options.binary, options.pictures)
    started = time.monotonic()
    axe_source = axe()
    server = OurServer(options.binary)
    browser = None
    try:
        server.start(NOBODY)
        browser = Browser(names={LAN: "127.0.0.1"})
        page = FrontPage(browser, server, axe_source)
        tests = [name for name in dir(page) if name.startswith("test_")]
        for name in tests:
            browser.size(1280, 900)
            browser.scheme("light")
            getattr(page, name)()
            print("ok  ", name.removeprefix("test_").replace("_", " "), flush=True)
        page.finish()
        more = [storage_node, below_a_path]
        for test in more:
            test(options.binary, browser)
            print("ok  ", test.__name__.replace("_", " "), flush=True)
        print(f"all of {len(tests) + len(more)} passed in {time.monotonic() - started:.0f} s")
    finally:
        if browser:
            browser.close()
        server.stop()
        server.clean()


if __name__ == "__main__":
    main()
