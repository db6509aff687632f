"""The server of gRPC's negative HTTP/2 cases, on the h2 package of Python.

gRPC's own (test/http2_test in github.com/grpc/grpc) is in no package registry, so this one is ours. It is
held to the same cases by grpc-go's client for them, which `cargo seawall conformance` runs first.

SIGTERM ends it: it prints what it saw, and exits with 1 if a client must not do that.
"""

import argparse
import asyncio
import signal
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    PingAckReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

CASES = [
    "goaway",
    "rst_after_header",
    "rst_during_data",
    "rst_after_data",
    "ping",
    "max_streams",
    "data_frame_padding",
    "no_df_padding_sanity_test",
]
# Of the answer, in bytes, as the cases have it.
PAYLOAD_SIZE = 314_159
PAD_LENGTH = 200
# How long an answer takes where one call at a time is allowed, so that the others would have time to come.
ANSWER_SECONDS = 0.02


def varint(number):
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded + bytes([number]))


def simple_response():
    """A grpc.testing.SimpleResponse with its payload, in its frame."""
    payload = b"\x12" + varint(PAYLOAD_SIZE) + bytes(PAYLOAD_SIZE)
    message = b"\x0a" + varint(len(payload)) + payload
    return b"\0" + len(message).to_bytes(4, "big") + message


class Seen:
    """What the clients did, on all connections."""

    def __init__(self):
        self.connections = []
        self.errors = []
        self.pings = self.acknowledged = 0
        self.open_max = 0

    @property
    def calls(self):
        return sum(self.connections)

    def verdict(self, case):
        wrong = list(self.errors)
        if case == "goaway" and self.connections != [1, 1]:
            wrong.append("the second call must go to a second connection")
        if case == "ping" and not 0 < self.pings == self.acknowledged:
            wrong.append("every PING must be acknowledged")
        if case.startswith("rst_") and self.calls != 1:
            wrong.append("a call that was begun to be answered must not be made again")
        if case == "max_streams" and (self.calls < 2 or self.open_max != 1):
            wrong.append("there must be several calls, one at a time")
        if self.calls == 0:
            wrong.append("there was no call")
        seen = f"calls on each connection: {self.connections}"
        if case == "ping":
            seen += f", PING: {self.pings} sent, {self.acknowledged} acknowledged"
        if case == "max_streams":
            seen += f", open at once: {self.open_max}"
        return seen, wrong


class Connection(asyncio.Protocol):
    def __init__(self, case, seen):
        self.case, self.seen = case, seen
        self.at = None
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.window = asyncio.Event()
        self.open = 0
        self.tasks = set()

    def connection_made(self, transport):
        self.transport = transport
        self.h2.initiate_connection()
        if self.case == "max_streams":
            self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        self.flush()

    def connection_lost(self, _):
        for task in self.tasks:
            task.cancel()

    def flush(self):
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data):
        try:
            events = self.h2.receive_data(data)
        except ProtocolError as error:
            self.seen.errors.append(f"{type(error).__name__}: {error}")
            self.flush()
            self.transport.close()
            return
        for event in events:
            self.handle(event)
        self.flush()

    def handle(self, event):
        if isinstance(event, RequestReceived):
            self.request()
        elif isinstance(event, DataReceived) and event.flow_controlled_length:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            task = asyncio.ensure_future(self.answer(event.stream_id))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif isinstance(event, PingAckReceived):
            self.seen.acknowledged += 1
        elif isinstance(event, WindowUpdated):
            self.window.set()
        elif isinstance(event, StreamReset):
            self.seen.errors.append("the client has reset a call")

    def request(self):
        # Health checks and the like do not count as connections; calls do.
        if self.at is None:
            self.at = len(self.seen.connections)
            self.seen.connections.append(0)
        self.seen.connections[self.at] += 1
        self.open += 1
        self.seen.open_max = max(self.seen.open_max, self.open)

    async def answer(self, stream):
        try:
            await self.send_answer(stream)
        except StreamClosedError:
            pass
        finally:
            self.open -= 1
            self.flush()

    async def send_answer(self, stream):
        if self.case == "max_streams":
            await asyncio.sleep(ANSWER_SECONDS)
        if self.case == "goaway":
            # Not by h2, which would then answer nothing more itself.
            self.flush()
            self.transport.write(GoAwayFrame(last_stream_id=stream).serialize())
        self.ping()
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc+proto")])
        self.ping()
        if self.case == "rst_after_header":
            return self.reset(stream)
        answer = simple_response()
        await self.send(stream, answer[: len(answer) // 2])
        if self.case == "rst_during_data":
            return self.reset(stream)
        self.ping()
        await self.send(stream, answer[len(answer) // 2 :])
        if self.case == "rst_after_data":
            return self.reset(stream)
        self.ping()
        # Those who wait for the next place may come as soon as they have seen this.
        self.h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        return None

    async def send(self, stream, data):
        padding = PAD_LENGTH if self.case == "data_frame_padding" else None
        overhead = 0 if padding is None else padding + 1
        while data:
            window = self.h2.local_flow_control_window(stream)
            size = min(window, self.h2.max_outbound_frame_size) - overhead
            if size <= 0:
                self.window.clear()
                self.flush()
                await self.window.wait()
                continue
            self.h2.send_data(stream, data[:size], pad_length=padding)
            data = data[size:]
            self.ping()
        self.flush()

    def ping(self):
        if self.case == "ping":
            self.h2.ping(self.seen.pings.to_bytes(8, "big"))
            self.seen.pings += 1

    def reset(self, stream):
        self.h2.reset_stream(stream, ErrorCodes.NO_ERROR)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--test_case", choices=CASES, required=True)
    args = parser.parse_args()
    loop, seen, ended = asyncio.get_running_loop(), Seen(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    await loop.create_server(lambda: Connection(args.test_case, seen), "127.0.0.1", args.port)
    await ended.wait()
    saw, wrong = seen.verdict(args.test_case)
    print("; ".join(wrong + [saw]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
