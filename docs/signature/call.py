#!/usr/bin/env python3
"""Calls a method of a service that accepts signed calls only. Needs the standard library only.

Usage: call.py KEY_FILE URL [JSON]

    call.py fibpro-data/identity.key http://127.0.0.1:9004/fibpro.v1.Pricing/Price '{"n": 1000}'

The signature is described in ../request-signature.md.
"""

import http.client
import secrets
import sys
import time
from urllib.parse import urlsplit

from vectors import first_key, sign


def call(key_file, url, body, headers=()):
    """Sends a signed request, and returns the status and the body of the response."""
    key, secret = first_key(key_file)
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [("content-type", "application/json"), *headers]
    # The headers of the application are signed if the request names them.
    own = sorted(name for name, _ in headers if name != "content-type")
    if own:
        headers.append(("x-rpc-signed-headers", ",".join(own)))
    now, nonce = int(time.time() * 1000), secrets.token_hex(16)
    identity, _ = sign(key, secret, parts.netloc, "POST", target, headers, body, now, nonce)
    # https trusts the roots of the system, or the file of the variable SSL_CERT_FILE.
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=10)
    try:
        connection.request("POST", target, body, dict([*headers, ("x-rpc-identity", identity)]))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    message = (sys.argv[3] if len(sys.argv) == 4 else "{}").encode()
    status, text = call(sys.argv[1], sys.argv[2], message, [("x-text", "signed by hand")])
    print(text.decode())
    sys.exit(status != 200)
