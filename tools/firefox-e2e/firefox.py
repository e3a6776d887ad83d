"""Starts and stops a headless Firefox with a fresh profile."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from marionette import Marionette, MarionetteError

HERE = os.path.dirname(os.path.abspath(__file__))


def prefs(tokenserver_url, fxa_url):
    off = "http://127.0.0.1:1/"  # nobody listens there
    return {
        # The servers under test.
        "identity.sync.tokenserver.uri": tokenserver_url,
        "identity.fxaccounts.auth.uri": fxa_url + "/v1",
        "identity.fxaccounts.remote.root": fxa_url + "/",
        "identity.fxaccounts.remote.oauth.uri": fxa_url + "/v1",
        "identity.fxaccounts.remote.profile.uri": fxa_url + "/v1",
        "identity.fxaccounts.remote.pairing.uri": "ws://127.0.0.1:1",
        "identity.fxaccounts.allowHttp": True,
        # Logs.
        "services.sync.log.appender.file.logOnSuccess": True,
        "services.sync.log.appender.file.level": "Trace",
        "services.sync.log.logger": "Trace",
        "services.sync.log.logger.engine": "Trace",
        "services.sync.log.logger.network.resources": "Trace",
        "services.sync.log.logger.service.main": "Trace",
        # An engine that is there but off; it gets turned on in the course of it.
        "services.sync.engine.addresses.available": True,
        # No dice: always sync extension storage.
        "services.sync.extension-storage.skipPercentageChance": 0,
        "services.sync.syncedTabs.syncDelayAfterTabChange": 0,
        # Marionette picks a free port and writes it into the profile.
        "marionette.port": 0,
        # Quiet: nothing but the servers under test is to be asked for anything.
        "app.update.auto": False,
        "app.update.disabledForTesting": True,
        "app.normandy.enabled": False,
        "app.shield.optoutstudies.enabled": False,
        "browser.aboutConfig.showWarning": False,
        "browser.contentblocking.report.lockwise.enabled": False,
        "browser.discovery.enabled": False,
        "browser.ml.enable": False,
        "browser.newtabpage.activity-stream.feeds.section.topstories": False,
        "browser.newtabpage.activity-stream.feeds.topsites": False,
        "browser.newtabpage.activity-stream.telemetry": False,
        "browser.newtabpage.enabled": False,
        "browser.ping-centre.telemetry": False,
        "browser.policies.runOncePerModification.setDefaultSearchEngine": "",
        "browser.region.network.url": "",
        "browser.safebrowsing.blockedURIs.enabled": False,
        "browser.safebrowsing.downloads.enabled": False,
        "browser.safebrowsing.malware.enabled": False,
        "browser.safebrowsing.phishing.enabled": False,
        "browser.safebrowsing.provider.google4.updateURL": off,
        "browser.safebrowsing.provider.mozilla.updateURL": off,
        "browser.search.update": False,
        "browser.sessionstore.resume_from_crash": False,
        "browser.shell.checkDefaultBrowser": False,
        "browser.startup.homepage_override.mstone": "ignore",
        "browser.startup.page": 0,
        "browser.tabs.firefox-view": False,
        "browser.topsites.contile.enabled": False,
        "browser.translations.enable": False,
        "browser.uitour.enabled": False,
        "browser.urlbar.merino.endpointURL": "",
        "browser.urlbar.quicksuggest.enabled": False,
        "captivedetect.canonicalURL": "",
        "datareporting.healthreport.uploadEnabled": False,
        "datareporting.policy.dataSubmissionEnabled": False,
        "datareporting.usage.uploadEnabled": False,
        "dom.ipc.processCount": 1,
        "dom.ipc.processPrelaunch.enabled": False,
        "dom.push.connection.enabled": False,
        "dom.push.enabled": False,
        "dom.push.serverURL": "",
        "dom.security.https_first": False,
        "extensions.getAddons.cache.enabled": False,
        "extensions.systemAddon.update.enabled": False,
        "extensions.update.enabled": False,
        "geo.provider.network.url": "",
        "media.gmp-manager.updateEnabled": False,
        "media.gmp-manager.url": off,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
        "network.dns.disablePrefetch": True,
        "network.prefetch-next": False,
        "network.proxy.type": 0,
        "network.trr.mode": 5,
        "nimbus.rollouts.enabled": False,
        "privacy.query_stripping.enabled": False,
        "security.OCSP.enabled": 0,
        "security.remote_settings.crlite_filters.enabled": False,
        "security.remote_settings.intermediates.enabled": False,
        "services.settings.server": "data:,#remote-settings-dummy/v1",
        "signon.management.page.breach-alerts.enabled": False,
        "signon.rememberSignons": True,
        "telemetry.fog.test.localhost_port": -1,
        "toolkit.telemetry.enabled": False,
        "toolkit.telemetry.server": "",
        "toolkit.telemetry.unified": False,
    }


class Firefox:
    def __init__(self, registry, name, binary, tokenserver_url, fxa_url, user_js=None):
        """With `user_js`, a text, the profile has that in place of the URL of the tokenserver."""
        self.name = name
        self.process = self.marionette = self.output = None
        self.trace = []
        self.dir = tempfile.mkdtemp(prefix=f"firefox-sync-{name}-")
        self.profile = os.path.join(self.dir, "profile")
        registry.append(self)  # before anything runs, so that it is stopped whatever comes
        os.makedirs(self.profile)
        with open(os.path.join(self.profile, "user.js"), "w") as f:
            for key, value in prefs(tokenserver_url, fxa_url).items():
                if user_js is None or key != "identity.sync.tokenserver.uri":
                    f.write(f"user_pref({json.dumps(key)}, {json.dumps(value)});\n")
            f.write(user_js or "")
        env = {
            **os.environ,
            "HOME": self.dir,
            "TMPDIR": self.dir,
            "XDG_CACHE_HOME": self.dir + "/cache",
            "XDG_CONFIG_HOME": self.dir + "/config",
            "XDG_RUNTIME_DIR": self.dir,
            "MOZ_CRASHREPORTER_DISABLE": "1",
            "MOZ_DISABLE_AUTO_SAFE_MODE": "1",
            "MOZ_HEADLESS": "1",
            "MOZ_DATA_REPORTING": "0",
            "MOZ_REMOTE_SETTINGS_DEVTOOLS": "1",  # else its server pref is not heeded
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        }
        for var in ("DISPLAY", "WAYLAND_DISPLAY", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            env.pop(var, None)
        self.output = open(os.path.join(self.dir, "output.log"), "wb")
        self.process = subprocess.Popen(
            [
                binary,
                "--headless",
                "--marionette",
                "--remote-allow-system-access",
                "--no-remote",
                "--new-instance",
                "--profile",
                self.profile,
            ],
            env=env,
            cwd=self.dir,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def connect(self, timeout=60):
        deadline = time.monotonic() + timeout
        active = os.path.join(self.profile, "MarionetteActivePort")
        while True:
            try:
                with open(active) as f:
                    port = int(f.read().strip())
                break
            except (OSError, ValueError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise MarionetteError(f"Firefox {self.name} did not start:\n{self.output_tail()}") from None
                time.sleep(0.1)
        self.marionette = Marionette(port)
        self.marionette.start_chrome_session()
        for script in ("harness.js", "profile.js"):
            with open(os.path.join(HERE, script)) as f:
                self.marionette.script(f.read(), timeout=30)
        return self.call("ready", timeout=30)

    def call(self, function, *args, timeout=45):
        """Calls H.<function>(...args) of harness.js or profile.js and returns its value."""
        return self.marionette.script(
            f"return H.{function}(...arguments);", args, timeout=timeout
        )

    def js(self, source, *args, timeout=30):
        return self.marionette.script(source, args, timeout=timeout)

    def drain(self, timeout=15):
        """The HTTP requests made since the last time."""
        new = self.call("drain", timeout=timeout)
        for entry in new:
            entry["profile"] = self.name
        self.trace.extend(new)
        return new

    def output_tail(self, size=2000):
        with open(self.output.name, "rb") as f:
            return f.read()[-size:].decode("utf-8", "replace")

    def stop(self, keep=False):
        if self.marionette:
            try:
                if self.process.poll() is None:
                    self.marionette.command("Marionette:Quit", {"flags": ["eForceQuit"]}, timeout=4)
            except (MarionetteError, OSError):
                pass
            self.marionette.close()
        if self.process:
            try:
                self.process.wait(4)
            except subprocess.TimeoutExpired:
                pass
            try:  # its own session: no process but its children is in that group
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(10)
        if self.output:
            self.output.close()
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
