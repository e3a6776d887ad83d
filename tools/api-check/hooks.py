"""What schemathesis has to know of this API besides its description: how to sign, what to send where, and what a
description cannot say. `run.py` starts schemathesis with this module, and leaves it a file with tokens."""

import json
import os
import re
from urllib.parse import urlsplit

import requests
import schemathesis
from hawk import authorization
from requests.auth import AuthBase
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData, UndefinedStatusCode, UseAfterFree

with open(os.environ["API_CHECK_STATE"], encoding="utf-8") as _file:
    STATE = json.load(_file)
# Each operation has a user of its own, so that what one deletes another one still finds.
TOKENS = STATE["tokens"]  # operation id -> storage token
BY_UID = {str(token["uid"]): token for token in TOKENS.values()}
SEED = {"id": "toolbar_____", "payload": "a record", "sortindex": 7}
SEEDS = [SEED, {"id": "another/one+{2}", "payload": "{}"}, {"id": "a third", "payload": "\u00e9\U0001f98a"}]
LINES = "application/newlines"
CONDITIONS = ["X-If-Modified-Since", "X-If-Unmodified-Since"]


class Sign(AuthBase):
    """Signs what is sent, when all of it is known."""

    def __call__(self, request):
        path = urlsplit(request.url).path
        user = re.match(r"/1\.5/([^/?]*)", path)
        if user:
            # With the token of somebody else, where the path names nobody that we know.
            token = BY_UID.get(user[1]) or next(iter(BY_UID.values()))
            request.headers["Authorization"] = authorization(token, request.method, request.url)
        elif path == "/1.0/sync/1.5":
            request.headers["Authorization"] = "Bearer " + STATE["access_token"]
        elif path == "/1.0/webhooks/fxa/events":
            request.headers["Authorization"] = "Bearer " + STATE["event"]
        return request


schemathesis.auth.set_from_requests(Sign())


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Gives each operation its user."""
    for path, item in raw_schema["paths"].items():
        for operation in item.values():
            token = isinstance(operation, dict) and TOKENS.get(operation.get("operationId"))
            if token:
                uid = {"name": "uid", "in": "path", "required": True, "schema": {"const": token["uid"]}}
                operation["parameters"] = [uid, *operation.get("parameters", [])]


@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    """Clients of HTTP resolve dots in a path, so that these are never sent."""
    return not any(str(value) in (".", "..") for value in (path_parameters or {}).values())


def is_time(value):
    return bool(re.fullmatch(r"[0-9]+(\.[0-9]+)?", str(value)))


@schemathesis.hook
def map_case(context, case):
    """Makes sense of requests that have only valid parts, but which do not go together; no description can say that.
    Parts that are not valid are left, so that the server meets them."""
    operation = case.operation.definition.raw["operationId"]
    headers, query = case.headers, case.query
    if headers and all(is_time(headers.get(name, "")) for name in CONDITIONS):
        # They exclude each other.
        del headers[CONDITIONS[len(str(query)) % 2]]
    if operation == "getCollection" and query and re.fullmatch(r"[A-Za-z0-9_-]+", str(query.get("offset", ""))):
        # Only a page before knows one.
        del query["offset"]
    if operation == "postCollection" and isinstance((query or {}).get("batch"), str):
        # Only `batch=true` before knows another one.
        query["batch"] = "true"
    if operation in ("postCollection", "putBso"):
        # For a JSON schema 7.0 is an integer; in this protocol an integer has no point.
        for record in records_of(case.body):
            for name in ("sortindex", "ttl"):
                if isinstance(record, dict) and isinstance(record.get(name), float) and record[name].is_integer():
                    record[name] = int(record[name])
    return case


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Whether a failure is one. What is named here is right, and no description can say it either."""
    operation = case.operation.definition.raw["operationId"]
    headers, query = dict(case.headers or {}), dict(case.query or {})
    if isinstance(failure, UndefinedStatusCode) and response.status_code == 404:
        # The uid was none, so that this is another path than that of the operation.
        return bool(re.fullmatch(r"[0-9]+", str(case.path_parameters.get("uid", 0))))
    if isinstance(failure, RejectedPositiveData) and operation == "postCollection" and response.status_code == 400:
        without_batch = "commit" in query or any(name.startswith("X-Weave-Total-") for name in headers)
        ids = [record["id"] for record in case.body]
        # These go with a batch; and no two records of a request have the same id.
        return not ("batch" not in query and without_batch or len(set(ids)) < len(ids))
    if isinstance(failure, AcceptedNegativeData) and any("unknown-property" in name for name in [*headers, *query]):
        # Headers and parameters that are not known are ignored.
        return False
    if isinstance(failure, AcceptedNegativeData) and operation == "postCollection" and "in body" in failure.message:
        # A record that breaks a rule does not fail the request: the answer names it, if the condition holds.
        return response.status_code != 412 and not response.json().get("failed")
    if isinstance(failure, UseAfterFree) and operation == "getCollection":
        # A collection that was deleted is an empty list.
        return False
    return True


def records_of(value):
    return value if isinstance(value, list) else [value]


@schemathesis.serializer("text/plain")
def as_text(context, value):
    return json.dumps(value).encode()


@schemathesis.serializer(LINES)
def as_lines(context, value):
    return "".join(json.dumps(record) + "\n" for record in records_of(value)).encode()


@schemathesis.deserializer(LINES)
def of_lines(context, response):
    return [json.loads(line) for line in response.content.decode().split("\n")[:-1]]


def seed(operation):
    """Has the operation's user own what the examples of the description name."""
    token = TOKENS[operation]
    url = f"{STATE['url']}/1.5/{token['uid']}/storage/bookmarks"
    requests.post(url, json=SEEDS, auth=Sign(), timeout=10).raise_for_status()


for _operation in TOKENS:
    seed(_operation)

CALLS = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.definition.raw["operationId"]
    CALLS[operation] = CALLS.get(operation, 0) + 1
    if operation.startswith("delete"):
        seed(operation)
    if operation == "getCollection" and CALLS[operation] % 3 == 0:
        case.headers = {**(case.headers or {}), "Accept": LINES}


@schemathesis.hook
def after_call(context, case, response):
    with open(STATE["answers"], "a", encoding="utf-8") as file:
        file.write(f"{case.operation.definition.raw['operationId']} {response.status_code}\n")
