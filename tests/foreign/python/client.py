"""Calls the greeter with connect-py, as JSON. Usage: client.py INTERNAL_URL EDGE_URL"""

import asyncio
import base64
import json
import math
import sys
from pathlib import Path

from connectrpc.client import ResponseMetadata
from connectrpc.code import Code
from connectrpc.codec import proto_json_codec
from connectrpc.compression.gzip import GzipCompression
from connectrpc.errors import ConnectError
from pyqwest import Client, HTTPTransport, HTTPVersion

from gen.greeter_connect import GreeterClient
from gen.greeter_pb import Call, Empty, Mood, Person, Refusal, Values

SEEN = json.loads(Path(__file__).parent.joinpath("../seen.json").read_text(encoding="utf-8"))
TOKEN = bytes(range(256))

VALUES = {
    "empty": Values(),
    "extremes": Values(
        signed=-(2**63),
        unsigned=2**64 - 1,
        data=b"\x00\xff\xfe",
        flag=True,
        ratio=sys.float_info.max,
        mood=Mood.LOUD,
        numbers=[2**63 - 1, -(2**63), 2**53 + 1, 0],
        counts={"": 0, "größe\n": 2**64 - 1},
        person=Person(first_name="Ada", id=2**64 - 1, parent=Person(first_name="Byron")),
        people=[Person(), Person(first_name="😀")],
        families={-(2**63): Person(first_name="least"), 2**63 - 1: Person()},
        chunks=[b"", b"\xff"],
        ratios=[5e-324, 0.1, -1e-7, 123456789012345680.0],
        moods=[Mood.CALM, Mood.UNSPECIFIED, Mood.LOUD],
        text="line\n\0\u2028😀",
        small=-(2**31),
        positive=2**32 - 1,
        keys={False: b"", True: b"\x01"},
    ),
    "presence": Values(
        nickname="",
        balance=0,
        token=b"",
        share=0.0,
        agreed=False,
        temper=Mood.UNSPECIFIED,
        person=Person(),
    ),
    "special": Values(
        ratio=math.nan,
        mood=Mood(42),
        share=math.inf,
        temper=Mood(-7),
        ratios=[-math.inf, math.inf, math.nan],
    ),
}

# The client sends values of an enum that it does not know, and drops them from responses.
RECEIVED = {
    "special": Values(ratio=math.nan, share=math.inf, ratios=[-math.inf, math.inf, math.nan]),
}

passed = 0
failed = 0


def check(what, actual, expected):
    global passed, failed
    if actual == expected:
        passed += 1
        return
    failed += 1
    print(f"connect-py: {what}\n  expected {expected}\n  actual   {actual}", file=sys.stderr)


async def failure(call):
    try:
        await call
    except ConnectError as error:
        return error
    raise AssertionError("the call succeeded")


async def run(name, url, version, use_get, gzip):
    compression = GzipCompression()
    client = GreeterClient(
        url,
        codec=proto_json_codec(),
        accept_compression=[compression] if gzip else [],
        send_compression=compression if gzip else None,
        timeout_ms=60_000,
        http_client=Client(HTTPTransport(http_version=version)),
    )

    for name_of_set, message in VALUES.items():
        for method, get in (("echo", {}), ("look", {"use_get": True} if use_get else {})):
            response = await getattr(client, method)(message, **get)
            check(f"{name}: {method} of {name_of_set}, as the server saw it", response.seen, SEEN[name_of_set])
            received = response.values or Values()
            expected = RECEIVED.get(name_of_set, message).to_json()
            check(f"{name}: {method} of {name_of_set}", received.to_json(), expected)

    text = "greeting " * 20_000
    large = await client.echo(Values(text=text))
    check(f"{name}: a large text", large.values.text, text)

    # The client leaves base64 to its caller.
    token = base64.b64encode(TOKEN).decode().rstrip("=")
    headers = {"x-text": "one two", "x-token-bin": token}
    with ResponseMetadata() as metadata:
        await client.echo(Values(), headers=headers)
    for kind, received in (("header", metadata.headers), ("trailer", metadata.trailers)):
        check(f"{name}: text in a {kind}", received.get("x-text"), "one two")
        check(f"{name}: bytes in a {kind}", received.get("x-token-bin"), token)

    for number, code in enumerate(Code, start=1):
        message = f"refused: größe {number} 😀"
        refusal = Refusal(code=number, message=message, balance=-(2**63), token=b"\0\xff")
        with ResponseMetadata() as metadata:
            error = await failure(client.refuse(refusal, headers=headers))
        check(f"{name}: code {number}", error.code, code)
        check(f"{name}: message of code {number}", error.message, message)
        details = [detail.value(Refusal) for detail in error.details]
        check(f"{name}: details of code {number}", [d and d.to_json() for d in details], [refusal.to_json()])
        check(f"{name}: header of code {number}", metadata.headers.get("x-text"), "one two")
        check(f"{name}: trailer of code {number}", metadata.trailers.get("x-token-bin"), token)

    missing = await failure(client.missing(Empty()))
    check(f"{name}: a method that the server does not have", missing.code, Code.UNIMPLEMENTED)

    late = Call(id=f"{name} late")
    error = await failure(client.wait(late, timeout_ms=1000))
    check(f"{name}: a timeout", error.code, Code.DEADLINE_EXCEEDED)
    remaining = (await client.dropped(late)).milliseconds
    check(f"{name}: the server has the timeout ({remaining} ms)", 0 < remaining <= 1000, True)

    canceled = Call(id=f"{name} canceled")
    waiting = asyncio.create_task(failure(client.wait(canceled)))
    await client.started(canceled)
    waiting.cancel()
    check(f"{name}: a canceled call", (await waiting).code, Code.CANCELED)
    await client.dropped(canceled)
    check(f"{name}: the server drops a canceled call", True, True)


async def main():
    global failed
    runs = []
    for listener, url in zip(("internal", "edge"), sys.argv[1:3], strict=True):
        for version_name, version in (("1.1", HTTPVersion.HTTP1), ("2", HTTPVersion.HTTP2)):
            name = f"python {listener} HTTP/{version_name}"
            runs.append(run(name, url, version, use_get=False, gzip=False))
            runs.append(run(f"{name} GET gzip", url, version, use_get=True, gzip=True))
    for outcome in await asyncio.gather(*runs, return_exceptions=True):
        if isinstance(outcome, BaseException):
            failed += 1
            print(f"connect-py: {outcome!r}", file=sys.stderr)
    print(f"connect-py: {passed} passed, {failed} failed")
    sys.exit(failed != 0)


asyncio.run(main())
