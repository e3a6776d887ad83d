#!/usr/bin/env python3
"""The examples in config/ that point Firefox to a server do so with the real Firefox, and a policy cannot."""

import json
import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True

from firefox import HERE, Firefox  # noqa: E402

CONFIG = os.path.join(HERE, "..", "..", "config")
PREF = "identity.sync.tokenserver.uri"
URL = "https://sync.example.com/1.0/sync/1.5"
NOWHERE = "http://127.0.0.1:1"


def example(name):
    with open(os.path.join(CONFIG, name)) as f:
        return f.read()


def installation():
    """The folder of the Firefox that is installed."""
    for program in ("firefox-esr", "firefox"):
        path = shutil.which(program)
        if not path:
            continue
        real = os.path.realpath(path)
        # Debian's is a script beside the programs of others.
        for folder in (os.path.dirname(real), f"/usr/lib/{program}", f"/opt/{program}"):
            if os.path.exists(os.path.join(folder, "libxul.so")):
                return folder, program
    sys.exit("no Firefox is installed: apt-get install firefox-esr")


def copy(folder, program, to):
    """An installation of one's own: links, but for what looks where it is itself, and for what gets files of ours."""
    for name in os.listdir(folder):
        if name not in (program, "firefox-bin", "defaults", "distribution"):
            os.symlink(os.path.join(folder, name), os.path.join(to, name))
    shutil.copy(os.path.join(folder, program), to)
    shutil.copytree(os.path.join(folder, "defaults"), os.path.join(to, "defaults"))
    os.mkdir(os.path.join(to, "distribution"))
    return os.path.join(to, program)


def look(name, binary, user_js):
    """The preference in a Firefox that has just started, and whether it is locked."""
    registry = []
    try:
        firefox = Firefox(registry, name, binary, URL, NOWHERE, user_js=user_js)
        firefox.connect()
        return firefox.js(
            f"return [Services.prefs.getStringPref('{PREF}'), Services.prefs.prefIsLocked('{PREF}'),"
            " Services.policies.status === Services.policies.ACTIVE];"
        )
    finally:
        for each in registry:
            each.stop()


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found}, expected {expected}")
    print(f"ok: {what}", flush=True)


def main():
    folder, program = installation()
    with tempfile.TemporaryDirectory(prefix="firefox-preferences-") as work:
        plain = os.path.join(work, "plain")
        os.mkdir(plain)
        binary = copy(folder, program, plain)
        check("config/user.js points a profile to the server", look("user", binary, example("user.js")), [URL, False, False])

        with open(os.path.join(plain, "distribution", "policies.json"), "w") as f:
            json.dump({"policies": {"Preferences": {PREF: {"Value": URL, "Status": "locked"}}}}, f)
        found = look("policy", binary, "")
        check("a policy is there", found[2], True)
        # If this fails, then a policies.json will do, and should be among the examples.
        check("but cannot point Firefox to a server", found[0] != URL, True)
        os.remove(os.path.join(plain, "distribution", "policies.json"))

        shutil.copy(os.path.join(CONFIG, "firefox-autoconfig.js"), os.path.join(plain, "defaults", "pref", "autoconfig.js"))
        shutil.copy(os.path.join(CONFIG, "firefox.cfg"), plain)
        check("firefox.cfg points all profiles to the server", look("autoconfig", binary, ""), [URL, True, False])
        other = f'user_pref("{PREF}", "https://other.example.com/");\n'
        check("whatever a profile says", look("other", binary, other), [URL, True, False])


if __name__ == "__main__":
    main()
