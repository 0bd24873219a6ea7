#!/usr/bin/env python3
"""Checks the test vectors of the request signature, and signs requests for curl.

Usage: vectors.py                                   checks vectors.json beside this file
       vectors.py KEY_FILE METHOD URL [BODY [HEADER: VALUE]...]
                                                    prints the headers that a signed request needs

The second form writes one header a line, for `curl -H @-`:

    vectors.py identity.key POST http://127.0.0.1:9004/rpc.v1.Status/Get '{}' \
        'content-type: application/json' | curl -H @- -d '{}' http://127.0.0.1:9004/rpc.v1.Status/Get
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
from urllib.parse import urlsplit

COVERED = {"x-request-id", "traceparent", "tracestate", "baggage", "content-type", "content-encoding"}


def encode(data):
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def is_covered(name, named=()):
    """Whether the signature covers a header, if the request names these headers of the application."""
    is_ours = name.startswith(("connect-", "x-rpc-")) or name in COVERED or name in named
    return is_ours and name != "x-rpc-identity"


def named_by(headers):
    """Returns the names of the application's headers that a request names as signed."""
    lists = (value for name, value in headers if name == "x-rpc-signed-headers")
    return {name.strip().lower() for value in lists for name in value.split(",")}


def name_of(host):
    """Returns a value of the Host header in lower case, without the port."""
    name, _, port = host.rpartition(":")
    return (name if port.isdigit() and (":" not in name or name.endswith("]")) else host).lower()


def sign(key, secret, host, method, target, headers, body, time_ms, nonce):
    """Returns the value of x-rpc-identity, and the text whose MAC is its last part."""
    path = target.partition("?")[0]
    audience = path.removeprefix("/").rpartition("/")[0]
    header = f"v1.{key}.{time_ms}.{nonce}.{encode(hashlib.sha256(body).digest())}"
    named = [(name.lower(), value) for name, value in headers]
    # A stable sort: several values of one name keep their order.
    signed = named_by(named)
    covered = sorted((pair for pair in named if is_covered(pair[0], signed)), key=lambda pair: pair[0])
    request = f"{method} {target}"
    lines = [header, audience, name_of(host), request, *(f"{name}:{value}" for name, value in covered)]
    text = "".join(line + "\n" for line in lines)
    mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{header}.{encode(mac)}", text


def first_key(path):
    """Returns the key that signs: the first one of a key file."""
    with open(path, encoding="utf-8-sig") as lines:
        for line in lines:
            if line.strip() and not line.strip().startswith("#"):
                return line.split()
    sys.exit(f"{path}: no key")


def check(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    failed = 0
    for vector in vectors:
        header, text = sign(
            vector["key"],
            vector["secret"],
            vector["host"],
            vector["method"],
            vector["target"],
            vector["headers"],
            vector["body"].encode(),
            vector["time"],
            vector["nonce"],
        )
        if [text, header] != ["".join(line + "\n" for line in vector["signed"]), vector["x-rpc-identity"]]:
            failed += 1
            print(f"{vector['name']}: got\n{text}{header}", file=sys.stderr)
    print(f"{len(vectors) - failed} passed, {failed} failed")
    return 1 if failed or not vectors else 0


def main(arguments):
    if not arguments:
        return check(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"))
    if len(arguments) < 3:
        sys.exit(__doc__)
    key_file, method, url = arguments[:3]
    body = arguments[3] if len(arguments) > 3 else ""
    headers = [[part.strip() for part in header.split(":", 1)] for header in arguments[4:]]
    own = sorted({name.lower() for name, _ in headers if not is_covered(name.lower())})
    if own:
        headers.append(["x-rpc-signed-headers", ",".join(own)])
    key, secret = first_key(key_file)
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    now, nonce = time.time_ns() // 1_000_000, secrets.token_hex(16)
    header, _ = sign(key, secret, parts.netloc, method, target, headers, body.encode(), now, nonce)
    for name, value in [*headers, ["x-rpc-identity", header]]:
        print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
