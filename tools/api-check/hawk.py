"""Signs requests by Hawk, as Sync clients do. Standard library only."""

import base64
import hashlib
import hmac
import secrets
import time
from urllib.parse import urlsplit


def authorization(token, method, url):
    """The header for a request to `url`, exactly as it is sent. `token`: what the tokenserver answered."""
    where = urlsplit(url)
    resource = where.path + ("?" + where.query if where.query else "")
    port = where.port or {"http": 80, "https": 443}[where.scheme]
    seconds, nonce = str(int(time.time())), secrets.token_urlsafe(6)
    # Without a hash of the body and without ext, which are optional and which Sync clients do not send.
    signed = ["hawk.1.header", seconds, nonce, method.upper(), resource, where.hostname.lower(), str(port), "", ""]
    text = "\n".join(signed) + "\n"
    mac = base64.b64encode(hmac.digest(token["key"].encode(), text.encode(), hashlib.sha256)).decode()
    return f'Hawk id="{token["id"]}", ts="{seconds}", nonce="{nonce}", mac="{mac}"'
