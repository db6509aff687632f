"""The standard interop cases on grpcio: a client (`--test_case`), or a server (`--port`) without it.

grpcio's own are in no package, so these are ours; the implementation under them is not.
"""

import argparse
import os
import sys
import tempfile
import threading
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_tools import protoc

SERVICE = "/grpc.testing.TestService/"
# Of payloads, in bytes, as the cases have them.
REQUESTS = [27_182, 8, 1_828, 45_904]
RESPONSES = [31_415, 9, 2_653, 58_979]
LARGE_REQUEST, LARGE_RESPONSE = 271_828, 314_159
INITIAL = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
TRAILING = ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab")
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
# No call of a case takes as long.
TIMEOUT = 10


def contracts(folder):
    """The messages by name. Not by generated modules: those would be called `grpc`, as the package is."""
    with tempfile.TemporaryDirectory() as out:
        file = os.path.join(out, "descriptors.bin")
        arguments = ["protoc", f"-I{folder}", "--include_imports", f"--descriptor_set_out={file}"]
        if protoc.main(arguments + ["grpc/testing/test.proto"]) != 0:
            sys.exit("the contracts cannot be compiled")
        with open(file, "rb") as encoded:
            descriptors = descriptor_pb2.FileDescriptorSet.FromString(encoded.read())
    pool = DescriptorPool()
    for descriptor in descriptors.file:
        pool.Add(descriptor)
    files = [descriptor.name for descriptor in descriptors.file]
    return message_factory.GetMessageClassesForFiles(files, pool)


class Contract:
    def __init__(self, folder):
        messages = contracts(folder)
        for name, message in messages.items():
            setattr(self, name.rsplit(".", 1)[1], message)

    def payload(self, size):
        return self.Payload(body=bytes(size))

    def output_request(self, sizes, request_size=0, **more):
        parameters = [self.ResponseParameters(size=size) for size in sizes]
        return self.StreamingOutputCallRequest(
            response_parameters=parameters, payload=self.payload(request_size), **more
        )


def read(file):
    with open(file, "rb") as opened:
        return opened.read()


def connect(args):
    address = f"{args.server_host}:{args.server_port}"
    if args.use_tls == "true":
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(read(args.ca_file)))
    return grpc.insecure_channel(address)


def expect(got, expected, what):
    if got != expected:
        sys.exit(f"Error: {what} is {got!r} in place of {expected!r}")


class Client:
    def __init__(self, channel, contract):
        self.of = contract

        def method(kind, name, answer):
            serialize = lambda message: message.SerializeToString()
            return getattr(channel, kind)(SERVICE + name, serialize, answer.FromString)

        self.empty_call = method("unary_unary", "EmptyCall", contract.Empty)
        self.unary_call = method("unary_unary", "UnaryCall", contract.SimpleResponse)
        self.input_call = method("stream_unary", "StreamingInputCall", contract.StreamingInputCallResponse)
        self.output_call = method("unary_stream", "StreamingOutputCall", contract.StreamingOutputCallResponse)
        self.duplex_call = method("stream_stream", "FullDuplexCall", contract.StreamingOutputCallResponse)
        self.unimplemented_call = method("unary_unary", "UnimplementedCall", contract.Empty)
        self.unimplemented_service_call = channel.unary_unary(
            "/grpc.testing.UnimplementedService/UnimplementedCall",
            lambda message: message.SerializeToString(),
            contract.Empty.FromString,
        )

    def ended(self, call, code, message=None):
        try:
            call()
        except grpc.RpcError as error:
            expect(error.code(), code, "the code")
            if message is not None:
                expect(error.details(), message, "the message")
            return
        sys.exit(f"Error: it was answered in place of ending with {code}")

    def empty_unary(self):
        self.empty_call(self.of.Empty(), timeout=TIMEOUT)

    def large_unary(self):
        request = self.of.SimpleRequest(response_size=LARGE_RESPONSE, payload=self.of.payload(LARGE_REQUEST))
        expect(self.unary_call(request, timeout=TIMEOUT).payload.body, bytes(LARGE_RESPONSE), "the payload")

    def client_streaming(self):
        requests = (self.of.StreamingInputCallRequest(payload=self.of.payload(size)) for size in REQUESTS)
        answer = self.input_call(requests, timeout=TIMEOUT)
        expect(answer.aggregated_payload_size, sum(REQUESTS), "the sum")

    def server_streaming(self):
        answers = self.output_call(self.of.output_request(RESPONSES), timeout=TIMEOUT)
        expect([len(answer.payload.body) for answer in answers], RESPONSES, "the sizes")

    def ping_pong(self):
        turn, got = threading.Semaphore(1), []

        def requests():
            for size, response in zip(REQUESTS, RESPONSES):
                turn.acquire()
                yield self.of.output_request([response], size)

        for answer in self.duplex_call(requests(), timeout=TIMEOUT):
            got.append(len(answer.payload.body))
            turn.release()
        expect(got, RESPONSES, "the sizes")

    def empty_stream(self):
        expect(list(self.duplex_call(iter(()), timeout=TIMEOUT)), [], "the answers")

    def timeout_on_sleeping_server(self):
        held = threading.Event()

        def requests():
            yield self.of.StreamingOutputCallRequest(payload=self.of.payload(27_182))
            held.wait(TIMEOUT)

        call = lambda: list(self.duplex_call(requests(), timeout=0.001))
        self.ended(call, grpc.StatusCode.DEADLINE_EXCEEDED)
        held.set()

    def cancel_after_begin(self):
        held = threading.Event()

        def requests():
            held.wait(TIMEOUT)
            yield from ()

        call = self.input_call.future(requests(), timeout=TIMEOUT)
        call.cancel()
        held.set()
        expect(call.cancelled(), True, "whether it was cancelled")
        expect(call.code(), grpc.StatusCode.CANCELLED, "the code")

    def cancel_after_first_response(self):
        held = threading.Event()

        def requests():
            yield self.of.output_request([31_415], 27_182)
            held.wait(TIMEOUT)

        call = self.duplex_call(requests(), timeout=TIMEOUT)
        expect(len(next(call).payload.body), 31_415, "the size")
        call.cancel()
        held.set()
        self.ended(lambda: next(call), grpc.StatusCode.CANCELLED)

    def status_code_and_message(self):
        status = self.of.EchoStatus(code=2, message="test status message")
        request = self.of.SimpleRequest(response_status=status)
        self.ended(lambda: self.unary_call(request, timeout=TIMEOUT), grpc.StatusCode.UNKNOWN, status.message)
        requests = [self.of.StreamingOutputCallRequest(response_status=status)]
        call = lambda: list(self.duplex_call(iter(requests), timeout=TIMEOUT))
        self.ended(call, grpc.StatusCode.UNKNOWN, status.message)

    def special_status_message(self):
        request = self.of.SimpleRequest(response_status=self.of.EchoStatus(code=2, message=SPECIAL))
        self.ended(lambda: self.unary_call(request, timeout=TIMEOUT), grpc.StatusCode.UNKNOWN, SPECIAL)

    def unimplemented_method(self):
        call = lambda: self.unimplemented_call(self.of.Empty(), timeout=TIMEOUT)
        self.ended(call, grpc.StatusCode.UNIMPLEMENTED)

    def unimplemented_service(self):
        call = lambda: self.unimplemented_service_call(self.of.Empty(), timeout=TIMEOUT)
        self.ended(call, grpc.StatusCode.UNIMPLEMENTED)

    def custom_metadata(self):
        def check(call):
            expect([pair for pair in call.initial_metadata() if pair[0] == INITIAL[0]], [INITIAL], "the headers")
            expect([pair for pair in call.trailing_metadata() if pair[0] == TRAILING[0]], [TRAILING], "the trailers")

        metadata = (INITIAL, TRAILING)
        request = self.of.SimpleRequest(response_size=1, payload=self.of.payload(1))
        _, call = self.unary_call.with_call(request, metadata=metadata, timeout=TIMEOUT)
        check(call)
        call = self.duplex_call(iter([self.of.output_request([1], 1)]), metadata=metadata, timeout=TIMEOUT)
        expect(len(list(call)), 1, "the number of answers")
        check(call)


def serve(args, of):
    def echo(context):
        metadata = dict(context.invocation_metadata())
        if INITIAL[0] in metadata:
            context.send_initial_metadata(((INITIAL[0], metadata[INITIAL[0]]),))
        if TRAILING[0] in metadata:
            context.set_trailing_metadata(((TRAILING[0], metadata[TRAILING[0]]),))

    def asked_status(request, context):
        if request.response_status.code:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            context.abort(codes[request.response_status.code], request.response_status.message)

    def unary(request, context):
        echo(context)
        asked_status(request, context)
        return of.SimpleResponse(payload=of.payload(request.response_size))

    def streaming_input(requests, _):
        size = sum(len(request.payload.body) for request in requests)
        return of.StreamingInputCallResponse(aggregated_payload_size=size)

    def streaming_output(request, context):
        asked_status(request, context)
        for parameters in request.response_parameters:
            yield of.StreamingOutputCallResponse(payload=of.payload(parameters.size))

    def duplex(requests, context):
        echo(context)
        for request in requests:
            yield from streaming_output(request, context)

    def handler(kind, behaviour, request):
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(behaviour, request.FromString, lambda message: message.SerializeToString())

    handlers = {
        "EmptyCall": handler("unary_unary", lambda *_: of.Empty(), of.Empty),
        "UnaryCall": handler("unary_unary", unary, of.SimpleRequest),
        "StreamingInputCall": handler("stream_unary", streaming_input, of.StreamingInputCallRequest),
        "StreamingOutputCall": handler("unary_stream", streaming_output, of.StreamingOutputCallRequest),
        "FullDuplexCall": handler("stream_stream", duplex, of.StreamingOutputCallRequest),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.testing.TestService", handlers),))
    address = f"127.0.0.1:{args.port}"
    if args.use_tls == "true":
        pair = (read(args.tls_key_file), read(args.tls_cert_file))
        server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--contracts", required=True, help="the folder of grpc/testing/test.proto")
    parser.add_argument("--port", type=int)
    parser.add_argument("--server_host")
    parser.add_argument("--server_port")
    parser.add_argument("--test_case")
    for flag in ["use_tls", "ca_file", "tls_cert_file", "tls_key_file"]:
        parser.add_argument(f"--{flag}")
    args = parser.parse_args()
    contract = Contract(args.contracts)
    if args.port is not None:
        return serve(args, contract)
    with connect(args) as channel:
        getattr(Client(channel, contract), args.test_case)()
    return None


if __name__ == "__main__":
    main()
