// The standard interop cases on grpc-js: a client (--test_case), or a server (--port) without it.
//
// grpc-js's own are in no package, so these are ours; the implementation under them is not.

'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

// Of payloads, in bytes, as the cases have them.
const REQUESTS = [27182, 8, 1828, 45904];
const RESPONSES = [31415, 9, 2653, 58979];
const LARGE_REQUEST = 271828;
const LARGE_RESPONSE = 314159;
const INITIAL = 'x-grpc-test-echo-initial';
const INITIAL_VALUE = 'test_initial_metadata_value';
const TRAILING = 'x-grpc-test-echo-trailing-bin';
const TRAILING_VALUE = Buffer.from([0xab, 0xab, 0xab]);
const SPECIAL = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n';
// No call of a case takes as long.
const TIMEOUT_MS = 10000;

const payload = (size) => ({ body: Buffer.alloc(size) });
const outputRequest = (sizes, requestSize) => ({
  responseParameters: sizes.map((size) => ({ size })),
  payload: payload(requestSize),
});
const deadline = (ms = TIMEOUT_MS) => ({ deadline: Date.now() + ms });

// A call that has its one answer, or its error.
const unary = (call) =>
  new Promise((resolve) => {
    const seen = {};
    const stream = call((error, answer) => Object.assign(seen, { error, answer }));
    stream.on('metadata', (metadata) => Object.assign(seen, { metadata }));
    stream.on('status', (status) => {
      Object.assign(seen, { status });
      // The answer comes in the same turn, before or after.
      setImmediate(() => resolve(seen));
    });
  });

// All answers of a stream, and how it ended.
const streamed = (stream, onAnswer = () => {}) =>
  new Promise((resolve) => {
    const seen = { answers: [] };
    stream.on('metadata', (metadata) => Object.assign(seen, { metadata }));
    stream.on('data', (answer) => {
      seen.answers.push(answer);
      onAnswer(seen.answers.length);
    });
    stream.on('error', () => {});
    stream.on('status', (status) => setImmediate(() => resolve(Object.assign(seen, { status }))));
  });

const sizes = (seen) => seen.answers.map((answer) => answer.payload.body.length);
const ended = (seen, code, details) => {
  assert.equal(seen.status.code, code, `ended with ${seen.status.code}: ${seen.status.details}`);
  if (details !== undefined) assert.equal(seen.status.details, details);
};

const cases = (client) => ({
  async empty_unary() {
    ended(await unary((done) => client.emptyCall({}, deadline(), done)), grpc.status.OK);
  },
  async large_unary() {
    const request = { responseSize: LARGE_RESPONSE, payload: payload(LARGE_REQUEST) };
    const seen = await unary((done) => client.unaryCall(request, deadline(), done));
    ended(seen, grpc.status.OK);
    assert.ok(seen.answer.payload.body.equals(Buffer.alloc(LARGE_RESPONSE)));
  },
  async client_streaming() {
    const seen = await unary((done) => {
      const stream = client.streamingInputCall(deadline(), done);
      REQUESTS.forEach((size) => stream.write({ payload: payload(size) }));
      stream.end();
      return stream;
    });
    ended(seen, grpc.status.OK);
    assert.equal(seen.answer.aggregatedPayloadSize, REQUESTS.reduce((sum, size) => sum + size));
  },
  async server_streaming() {
    const seen = await streamed(client.streamingOutputCall(outputRequest(RESPONSES, 0), deadline()));
    ended(seen, grpc.status.OK);
    assert.deepEqual(sizes(seen), RESPONSES);
  },
  async ping_pong() {
    const stream = client.fullDuplexCall(deadline());
    const next = (at) =>
      at < REQUESTS.length ? stream.write(outputRequest([RESPONSES[at]], REQUESTS[at])) : stream.end();
    next(0);
    const seen = await streamed(stream, next);
    ended(seen, grpc.status.OK);
    assert.deepEqual(sizes(seen), RESPONSES);
  },
  async empty_stream() {
    const stream = client.fullDuplexCall(deadline());
    stream.end();
    const seen = await streamed(stream);
    ended(seen, grpc.status.OK);
    assert.deepEqual(seen.answers, []);
  },
  async timeout_on_sleeping_server() {
    const stream = client.fullDuplexCall(deadline(1));
    stream.on('error', () => {});
    stream.write({ payload: payload(27182) });
    ended(await streamed(stream), grpc.status.DEADLINE_EXCEEDED);
  },
  async cancel_after_begin() {
    const seen = await unary((done) => {
      const stream = client.streamingInputCall(deadline(), done);
      setImmediate(() => stream.cancel());
      return stream;
    });
    ended(seen, grpc.status.CANCELLED);
  },
  async cancel_after_first_response() {
    const stream = client.fullDuplexCall(deadline());
    stream.write(outputRequest([31415], 27182));
    const seen = await streamed(stream, () => stream.cancel());
    assert.deepEqual(sizes(seen), [31415]);
    ended(seen, grpc.status.CANCELLED);
  },
  async status_code_and_message() {
    const responseStatus = { code: grpc.status.UNKNOWN, message: 'test status message' };
    const seen = await unary((done) => client.unaryCall({ responseStatus }, deadline(), done));
    ended(seen, grpc.status.UNKNOWN, responseStatus.message);
    const stream = client.fullDuplexCall(deadline());
    stream.write({ responseStatus });
    stream.end();
    ended(await streamed(stream), grpc.status.UNKNOWN, responseStatus.message);
  },
  async special_status_message() {
    const request = { responseStatus: { code: grpc.status.UNKNOWN, message: SPECIAL } };
    ended(await unary((done) => client.unaryCall(request, deadline(), done)), grpc.status.UNKNOWN, SPECIAL);
  },
  async unimplemented_method() {
    ended(await unimplemented(client, '/grpc.testing.TestService/UnimplementedCall'), grpc.status.UNIMPLEMENTED);
  },
  async unimplemented_service() {
    const path = '/grpc.testing.UnimplementedService/UnimplementedCall';
    ended(await unimplemented(client, path), grpc.status.UNIMPLEMENTED);
  },
  async custom_metadata() {
    const metadata = new grpc.Metadata();
    metadata.set(INITIAL, INITIAL_VALUE);
    metadata.set(TRAILING, TRAILING_VALUE);
    const check = (seen) => {
      ended(seen, grpc.status.OK);
      assert.deepEqual(seen.metadata.get(INITIAL), [INITIAL_VALUE]);
      assert.deepEqual(seen.status.metadata.get(TRAILING), [TRAILING_VALUE]);
    };
    const request = { responseSize: 1, payload: payload(1) };
    check(await unary((done) => client.unaryCall(request, metadata, deadline(), done)));
    const stream = client.fullDuplexCall(metadata, deadline());
    stream.write(outputRequest([1], 1));
    stream.end();
    check(await streamed(stream));
  },
});

const nothing = () => Buffer.alloc(0);
const unimplemented = (client, path) =>
  unary((done) => client.makeUnaryRequest(path, nothing, nothing, {}, new grpc.Metadata(), deadline(), done));

const echo = (call) => {
  const trailers = new grpc.Metadata();
  const initial = call.metadata.get(INITIAL);
  if (initial.length > 0) {
    const headers = new grpc.Metadata();
    headers.set(INITIAL, initial[0]);
    call.sendMetadata(headers);
  }
  call.metadata.get(TRAILING).forEach((value) => trailers.set(TRAILING, value));
  return trailers;
};

const askedStatus = (request) =>
  request.responseStatus && request.responseStatus.code
    ? { code: request.responseStatus.code, details: request.responseStatus.message }
    : null;

const service = {
  emptyCall: (_, done) => done(null, {}),
  unaryCall(call, done) {
    const trailers = echo(call);
    done(askedStatus(call.request), { payload: payload(call.request.responseSize) }, trailers);
  },
  streamingInputCall(call, done) {
    let aggregatedPayloadSize = 0;
    call.on('data', (request) => {
      aggregatedPayloadSize += request.payload.body.length;
    });
    call.on('end', () => done(null, { aggregatedPayloadSize }));
  },
  streamingOutputCall(call) {
    call.request.responseParameters.forEach(({ size }) => call.write({ payload: payload(size) }));
    call.end();
  },
  fullDuplexCall(call) {
    const trailers = echo(call);
    call.on('data', (request) => {
      const status = askedStatus(request);
      if (status) {
        call.emit('error', { ...status, metadata: trailers });
        return;
      }
      request.responseParameters.forEach(({ size }) => call.write({ payload: payload(size) }));
    });
    call.on('end', () => call.end(trailers));
  },
};

const FLAGS = ['contracts', 'port', 'server_host', 'server_port', 'test_case'];
const TLS_FLAGS = ['use_tls', 'ca_file', 'tls_cert_file', 'tls_key_file'];
const { values: args } = parseArgs({
  options: Object.fromEntries([...FLAGS, ...TLS_FLAGS].map((name) => [name, { type: 'string' }])),
});
const isTls = args.use_tls === 'true';
const file = path.join('grpc', 'testing', 'test.proto');
const contracts = grpc.loadPackageDefinition(protoLoader.loadSync(file, { includeDirs: [args.contracts], defaults: true }));
const { TestService } = contracts.grpc.testing;

if (args.port) {
  const server = new grpc.Server();
  server.addService(TestService.service, service);
  const credentials = isTls
    ? grpc.ServerCredentials.createSsl(null, [
        { private_key: fs.readFileSync(args.tls_key_file), cert_chain: fs.readFileSync(args.tls_cert_file) },
      ])
    : grpc.ServerCredentials.createInsecure();
  server.bindAsync(`127.0.0.1:${args.port}`, credentials, (error) => {
    if (error) throw error;
  });
} else {
  const credentials = isTls
    ? grpc.credentials.createSsl(fs.readFileSync(args.ca_file))
    : grpc.credentials.createInsecure();
  const client = new TestService(`${args.server_host}:${args.server_port}`, credentials);
  cases(client)
    [args.test_case]()
    .catch((error) => {
      console.error(`Error: ${error.message}`);
      process.exitCode = 1;
    })
    .finally(() => client.close());
}
