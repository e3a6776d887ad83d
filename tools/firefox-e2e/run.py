#!/usr/bin/env python3
"""Two real Firefoxes sync through a Sync server.  See README.md."""

import argparse
import os
import shutil
import signal
import sys

sys.dont_write_bytecode = True

from runner import Stop  # noqa: E402
from scenario import Scenario  # noqa: E402
from server import OtherServer, OurServer  # noqa: E402

SCHEMES = {"sqlite": ("sqlite",), "postgres": ("postgres", "postgresql"), "mysql": ("mysql", "mariadb")}
# Where `testdb run` tells of the server that it has started.
VARIABLES = {"postgres": "TEST_POSTGRES_URL", "mysql": "TEST_MYSQL_URL"}


def backend_name(name):
    return {"mariadb": "mysql", "postgresql": "postgres"}.get(name, name)


def parser():
    p = argparse.ArgumentParser(description=__doc__)
    ours = p.add_argument_group("our server")
    ours.add_argument("--binary", metavar="FILE", help="the server to start, such as target/release/syncserver")
    ours.add_argument(
        "--backend",
        type=backend_name,
        choices=sorted(SCHEMES),
        help="its database (sqlite, unless --database-url says otherwise)",
    )
    ours.add_argument(
        "--database-url",
        metavar="URL",
        help="where that is; else, but for sqlite, what TEST_POSTGRES_URL or TEST_MYSQL_URL says",
    )
    ours.add_argument(
        "--env", metavar="NAME=VALUE", action="append", default=[], help="another setting for it (may be repeated)"
    )
    other = p.add_argument_group("another server")
    other.add_argument("--tokenserver-url", metavar="URL", help="such as http://127.0.0.1:8000/1.0/sync/1.5")
    other.add_argument("--fxa-port", type=int, help="port for the mock FxA, as that server was told (else any)")
    other.add_argument("--server", metavar="COMMAND", help="start it with this once the mock FxA runs, and stop it at the end")
    p.add_argument("--firefox", default="firefox-esr", help="the Firefox to run (%(default)s)")
    p.add_argument("--trace", metavar="FILE", help="write every HTTP request, as JSON lines")
    p.add_argument("--timeout", type=int, default=600, help="seconds for the whole run (%(default)s)")
    p.add_argument("--log-chars", type=int, default=6000, help="how much of a failed profile's sync log to show")
    p.add_argument("--keep", action="store_true", help="keep the profiles and the server's data folder")
    return p


def our_server(p, args):
    for given, option in ((args.tokenserver_url, "--tokenserver-url"), (args.server, "--server")):
        if given:
            p.error(f"--binary starts our own server, {option} is for others")
    if not os.path.isfile(args.binary):
        p.error(f"there is no {args.binary}; build it first: cargo build --release -p syncserver")
    if not os.access(args.binary, os.X_OK):
        p.error(f"{args.binary} is not executable")
    if not args.database_url and args.backend in VARIABLES:
        args.database_url = os.environ.get(VARIABLES[args.backend])
    scheme = args.database_url.split(":")[0] if args.database_url else None
    backend = args.backend or next((b for b, known in SCHEMES.items() if scheme in known), "sqlite")
    if scheme and scheme not in SCHEMES[backend]:
        p.error(f"--database-url {scheme}:… is no {backend} database")
    if backend != "sqlite" and not scheme:
        p.error(f"--backend {backend} needs a --database-url; `make e2e BACKEND={backend}` starts a server for it")
    for setting in args.env:
        if "=" not in setting:
            p.error(f"--env {setting} has no =")
    settings = (setting.split("=", 1) for setting in args.env)
    return OurServer(args.binary, args.database_url, settings, keep=args.keep)


def other_server(p, args):
    for given, option in ((args.backend, "--backend"), (args.database_url, "--database-url"), (args.env, "--env")):
        if given:
            p.error(f"{option} is for our own server, which --binary starts")
    if not args.tokenserver_url or not args.fxa_port:
        p.error("give --binary for our server, or --tokenserver-url and --fxa-port for another one")
    if not args.tokenserver_url.startswith(("http://", "https://")):
        p.error(f"--tokenserver-url {args.tokenserver_url} is no URL")
    return OtherServer(args.tokenserver_url, args.server)


def main():
    p = parser()
    args = p.parse_args()
    server = our_server(p, args) if args.binary else other_server(p, args)
    args.fxa_port = args.fxa_port or 0
    if not shutil.which(args.firefox):
        p.error(f"there is no {args.firefox} to run; install it (apt-get install firefox-esr), or name one by --firefox")

    def on_alarm(*_):
        raise Stop(f"not done after {args.timeout} s")

    def on_term(*_):
        raise Stop("told to stop")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, on_term)
    signal.alarm(args.timeout)
    return Scenario(args, server).main()


if __name__ == "__main__":
    sys.exit(main())
