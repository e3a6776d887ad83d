#!/usr/bin/env python3
"""Holds the running server against its own description of the API, by schemathesis. See README.md."""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, os.pardir, "firefox-e2e")]
from fxa_mock import SYNC_SCOPE, FxaMock, b64url  # noqa: E402
from server import OurServer  # noqa: E402

ISSUER, CLIENT = "https://accounts.example.com", "this-server"
SETTINGS = {
    "SYNC_TOKENSERVER__FXA_WEBHOOK_ENABLED": "true",
    "SYNC_TOKENSERVER__FXA_WEBHOOK_SET_ISSUER": ISSUER,
    "SYNC_TOKENSERVER__FXA_WEBHOOK_SET_CLIENT_ID": CLIENT,
}
SECONDS = 600  # for which tokens are good; a run takes a tenth of it


def schemathesis(folder):
    """The program, installed into a virtual environment of its own where it is missing."""
    program = os.path.join(folder, "bin", "schemathesis")
    wanted = os.path.join(HERE, "requirements.txt")
    marker = os.path.join(folder, "installed.txt")
    with open(wanted, encoding="utf-8") as file:
        requirements = file.read()
    if os.path.exists(marker):
        with open(marker, encoding="utf-8") as file:
            if file.read() == requirements:
                return program
    venv.create(folder, with_pip=True, clear=True)
    pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", wanted], check=True)
    with open(marker, "w", encoding="utf-8") as file:
        file.write(requirements)
    return program


def get(url, headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return json.load(answer)


def access_token(fxa, account):
    """As the accounts server would give one to an account."""
    now = int(time.time())
    claims = {"sub": f"{account:032x}", "scope": SYNC_SCOPE, "iat": now, "exp": now + SECONDS, "fxa-generation": now}
    return fxa.key.jwt(claims)


def event(fxa):
    """An event that means nothing here: it is accepted, and nobody is deleted."""
    claims = {"iss": ISSUER, "aud": CLIENT, "sub": "f" * 32, "iat": int(time.time()), "jti": "1"}
    claims["events"] = {"https://schemas.accounts.firefox.com/event/profile-change": {}}
    head = {"alg": "RS256", "typ": "secevent+jwt", "kid": fxa.key.kid}
    data = ".".join(b64url(json.dumps(part).encode()) for part in (head, claims))
    return data + "." + b64url(fxa.key.sign(data.encode()))


def operations(document):
    """Operation id -> path."""
    methods = ("get", "put", "post", "delete")
    found = {}
    for path, item in document["paths"].items():
        found |= {item[method]["operationId"]: path for method in methods if method in item}
    return found


def prepare(server, fxa, folder):
    """Signs a user in for each operation of the storage, and writes down what the hooks need."""
    document = get(server.url + "/api-doc/openapi.json", {})
    found = operations(document)
    tokens = {}
    for number, (operation, path) in enumerate(found.items(), 1):
        if path.startswith("/1.5/"):
            headers = {"Authorization": "Bearer " + access_token(fxa, number), "X-KeyID": "1700000000000-"}
            tokens[operation] = get(server.url + "/1.0/sync/1.5", headers)
    state = {
        "url": server.url,
        "tokens": tokens,
        "access_token": access_token(fxa, 0),
        "event": event(fxa),
        "answers": os.path.join(folder, "answers"),
    }
    for name, content in (("state.json", state), ("openapi.json", document)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(content, file)
    return found


def without_success(found, folder):
    """Operations that never answered 2xx. Prints what all of them answered."""
    answers = collections.defaultdict(collections.Counter)
    with open(os.path.join(folder, "answers"), encoding="utf-8") as file:
        for line in file:
            operation, status = line.split()
            answers[operation][int(status)] += 1
    for operation in found:
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(answers[operation].items()))
        print(f"{operation:26} {counts}")
    return [operation for operation in found if not any(200 <= status < 300 for status in answers[operation])]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/release/syncserver", help="the server")
    parser.add_argument("--environment", default="target/api-check", help="where schemathesis is installed")
    parser.add_argument("--seed", type=int, default=1, help="what the random requests are made from")
    parser.add_argument("--examples", type=int, default=40, help="how many random requests for each operation")
    parser.add_argument("more", nargs="*", help="options for schemathesis, behind --")
    options = parser.parse_args()
    program = schemathesis(os.path.abspath(options.environment))
    fxa, server = FxaMock(0), OurServer(options.binary, settings=SETTINGS)
    with tempfile.TemporaryDirectory(prefix="api-check-") as folder:
        try:
            server.start(fxa.url)
            found = prepare(server, fxa, folder)
            environment = {
                **os.environ,
                "API_CHECK_STATE": os.path.join(folder, "state.json"),
                "SCHEMATHESIS_HOOKS": "hooks",
                "PYTHONPATH": HERE,
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            config = ["--config-file", os.path.join(HERE, "schemathesis.toml")]
            # From a file: of an address schemathesis takes its description, and does not test that address.
            command = [program, *config, "run", "openapi.json", "--url", server.url]
            command += ["--seed", str(options.seed), "--max-examples", str(options.examples), *options.more]
            started = time.monotonic()
            code = subprocess.run(command, env=environment, cwd=folder, timeout=SECONDS / 2).returncode
            print(f"{time.monotonic() - started:.0f} s; what was answered:")
            missing = without_success(found, folder)
            if missing:
                print("never answered with success:", ", ".join(missing))
            if code or missing:
                sys.exit(1)
        finally:
            server.stop()
            server.clean()
            fxa.close()


if __name__ == "__main__":
    main()
