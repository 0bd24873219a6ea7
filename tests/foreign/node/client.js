// Calls the greeter with connect-node, as JSON. Usage: node client.js INTERNAL_URL EDGE_URL
import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { create, toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, decodeBinaryHeader, encodeBinaryHeader } from "@connectrpc/connect";
import { Http2SessionManager, compressionGzip, createConnectTransport } from "@connectrpc/connect-node";
import { Greeter, Mood, RefusalSchema, ValuesSchema } from "./gen/greeter_pb.js";

const seen = JSON.parse(readFileSync(new URL("../seen.json", import.meta.url), "utf8"));
const bytes = (...list) => Uint8Array.from(list);
const token = Uint8Array.from({ length: 256 }, (_, byte) => byte);

const values = {
  empty: {},
  extremes: {
    signed: -(2n ** 63n),
    unsigned: 2n ** 64n - 1n,
    data: bytes(0x00, 0xff, 0xfe),
    flag: true,
    ratio: Number.MAX_VALUE,
    mood: Mood.LOUD,
    numbers: [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, 0n],
    counts: { "": 0n, "größe\n": 2n ** 64n - 1n },
    person: { firstName: "Ada", id: 2n ** 64n - 1n, parent: { firstName: "Byron" } },
    people: [{}, { firstName: "😀" }],
    families: { "-9223372036854775808": { firstName: "least" }, "9223372036854775807": {} },
    chunks: [bytes(), bytes(0xff)],
    ratios: [Number.MIN_VALUE, 0.1, -1e-7, 123456789012345680],
    moods: [Mood.CALM, Mood.UNSPECIFIED, Mood.LOUD],
    text: "line\n\0\u2028😀",
    small: -(2 ** 31),
    positive: 2 ** 32 - 1,
    keys: { false: bytes(), true: bytes(1) },
  },
  presence: {
    nickname: "",
    balance: 0n,
    token: bytes(),
    share: 0,
    agreed: false,
    temper: Mood.UNSPECIFIED,
    person: {},
  },
  special: { ratio: NaN, mood: 42, share: Infinity, temper: -7, ratios: [-Infinity, Infinity, NaN] },
};

let passed = 0;
let failed = 0;

function check(what, actual, expected) {
  if (actual === expected) {
    passed += 1;
    return;
  }
  failed += 1;
  console.error(`connect-node: ${what}\n  expected ${expected}\n  actual   ${actual}`);
}

async function failure(call) {
  try {
    await call;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("the call succeeded");
}

async function run(name, baseUrl, options) {
  let verb;
  let encoding;
  const watch = (next) => async (request) => {
    const response = await next(request);
    encoding = response.header.get("content-encoding");
    return response;
  };
  // The verb on the wire: interceptors see `POST`, also where the transport sends `GET`.
  const agent = new Agent({ keepAlive: true });
  const addRequest = agent.addRequest;
  agent.addRequest = function (request, ...rest) {
    verb = request.method;
    return addRequest.call(this, request, ...rest);
  };
  const sessionManager = new Http2SessionManager(baseUrl);
  const open = sessionManager.request.bind(sessionManager);
  sessionManager.request = (method, ...rest) => {
    verb = method;
    return open(method, ...rest);
  };
  const connections = options.httpVersion === "2" ? { sessionManager } : { nodeOptions: { agent } };
  const transport = createConnectTransport({
    baseUrl,
    ...connections,
    useBinaryFormat: false,
    interceptors: [watch],
    defaultTimeoutMs: 60_000,
    ...options,
  });
  const client = createClient(Greeter, transport);

  for (const [set, init] of Object.entries(values)) {
    const message = create(ValuesSchema, init);
    for (const method of ["echo", "look"]) {
      const response = await client[method](message);
      check(`${name}: ${method} of ${set}, as the server saw it`, response.seen, seen[set]);
      const [sent, received] = [message, response.values ?? create(ValuesSchema)];
      check(`${name}: ${method} of ${set}`, toJsonString(ValuesSchema, received), toJsonString(ValuesSchema, sent));
      const isGet = options.useHttpGet && method === "look";
      check(`${name}: verb of ${method}`, verb, isGet ? "GET" : "POST");
    }
  }

  const text = "greeting ".repeat(20_000);
  const large = await client.echo({ text });
  check(`${name}: a large text`, large.values.text, text);
  check(`${name}: encoding of the response`, encoding, options.acceptCompression.length > 0 ? "gzip" : null);

  const headers = new Headers({ "x-text": "one two", "x-token-bin": encodeBinaryHeader(token) });
  let metadata = {};
  await client.echo({}, {
    headers,
    onHeader: (header) => (metadata.header = header),
    onTrailer: (trailer) => (metadata.trailer = trailer),
  });
  for (const [kind, received] of Object.entries(metadata)) {
    check(`${name}: text in a ${kind}`, received.get("x-text"), "one two");
    check(`${name}: bytes in a ${kind}`, decodeBinaryHeader(received.get("x-token-bin")).join(), token.join());
  }

  for (let code = 1; code <= 16; code += 1) {
    const message = `refused: größe ${code} 😀`;
    const refusal = { code, message, balance: -(2n ** 63n), token: bytes(0, 0xff) };
    const error = await failure(client.refuse(refusal, { headers }));
    check(`${name}: code ${code}`, error.code, code);
    check(`${name}: message of code ${code}`, error.rawMessage, message);
    const details = error.findDetails(RefusalSchema);
    check(`${name}: count of details of code ${code}`, error.details.length, 1);
    const expected = toJsonString(RefusalSchema, create(RefusalSchema, refusal));
    check(`${name}: detail of code ${code}`, details.map((d) => toJsonString(RefusalSchema, d)).join(), expected);
    check(`${name}: header and trailer of code ${code}`, error.metadata.get("x-text"), "one two, one two");
  }

  const missing = await failure(client.missing({}));
  check(`${name}: a method that the server does not have`, missing.code, Code.Unimplemented);

  const late = await failure(client.wait({ id: `${name} late` }, { timeoutMs: 1000 }));
  check(`${name}: a timeout`, late.code, Code.DeadlineExceeded);
  const { milliseconds } = await client.dropped({ id: `${name} late` });
  check(`${name}: the server has the timeout (${milliseconds} ms)`, milliseconds > 0 && milliseconds <= 1000, true);

  const abort = new AbortController();
  const waiting = failure(client.wait({ id: `${name} canceled` }, { signal: abort.signal }));
  await client.started({ id: `${name} canceled` });
  abort.abort();
  check(`${name}: a canceled call`, (await waiting).code, Code.Canceled);
  await client.dropped({ id: `${name} canceled` });
  passed += 1;
}

const [internal, edge] = process.argv.slice(2);
const gzip = { sendCompression: compressionGzip, acceptCompression: [compressionGzip], compressMinBytes: 0 };
const runs = [];
for (const [listener, url] of [["internal", internal], ["edge", edge]]) {
  for (const httpVersion of ["1.1", "2"]) {
    const name = `node ${listener} HTTP/${httpVersion}`;
    runs.push(run(name, url, { httpVersion, useHttpGet: false, acceptCompression: [] }));
    runs.push(run(`${name} GET gzip`, url, { httpVersion, useHttpGet: true, ...gzip }));
  }
}
for (const outcome of await Promise.allSettled(runs)) {
  if (outcome.status === "rejected") {
    failed += 1;
    console.error(outcome.reason);
  }
}
console.log(`connect-node: ${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
