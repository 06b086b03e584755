"""Limits on the size and duration of answers, over real sockets."""

from __future__ import annotations

import base64
import gzip
import os
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from socket import MSG_PEEK, SHUT_WR, create_connection, create_server, socket
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gsc_pipeline.search_console.errors import ServiceUnavailableError, WrongAnswerError
from gsc_pipeline.search_console.transport import Response, Transport, TransportLimits
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until

OK = b"HTTP/1.1 200 OK\r\n"


class Serve(Protocol):
    def __call__(self, answer: Callable[[socket], None], *, peek: bool = False) -> str: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that passes each connection, after its request, to a function."""
    with ExitStack() as stack:

        def make(answer: Callable[[socket], None], *, peek: bool = False) -> str:
            listening = stack.enter_context(create_server(("127.0.0.1", 0)))

            def accept() -> None:
                with suppress(OSError):
                    while True:
                        threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

            def talk(connection: socket) -> None:
                with connection, suppress(OSError):
                    connection.recv(65_536, MSG_PEEK if peek else 0)
                    answer(connection)

            threading.Thread(target=accept, daemon=True).start()
            return f"http://127.0.0.1:{listening.getsockname()[1]}"

        yield make


def whole(body: bytes, *headers: bytes, status: bytes = OK) -> bytes:
    return (
        status
        + b"".join(one + b"\r\n" for one in (*headers, b"Content-Length: %d" % len(body)))
        + b"\r\n"
        + body
    )


def sending(*pieces: bytes) -> Callable[[socket], None]:
    """Answers every request of a connection with these bytes."""

    def answer(connection: socket) -> None:
        while True:
            for piece in pieces:
                connection.sendall(piece)
            if not connection.recv(65_536):
                return

    return answer


def for_ever(first: bytes, then: bytes, pause: float) -> Callable[[socket], None]:
    """Sends `first`, then `then` repeatedly, for HANG_SECONDS at most so that the test ends."""

    def answer(connection: socket) -> None:
        connection.sendall(first)
        end = time.monotonic() + HANG_SECONDS
        while time.monotonic() < end:
            connection.sendall(then)
            if pause:
                threading.Event().wait(pause)

    return answer


def get(url: str, **limits: float) -> Response:
    with closing(Transport(TransportLimits(**limits))) as transport:  # type: ignore[arg-type]
        return send(transport, url)


def send(transport: Transport, url: str, **options: int) -> Response:
    return transport.send("GET", url, body=None, headers={}, server="the API", **options)


BODY = os.urandom(300_000) + b"a" * 300_000


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ((), BODY),
        ((b"Content-Encoding: identity",), BODY),
        ((b"Content-Encoding: gzip",), gzip.compress(BODY)),
        ((b"Content-Encoding: GZIP",), gzip.compress(BODY)),
        ((b"Content-Encoding: x-gzip",), gzip.compress(BODY[:400_000]) + gzip.compress(BODY[400_000:])),
        (
            (b"Content-Encoding: gzip",),
            b"".join(gzip.compress(BODY[n : n + 1_000]) for n in range(0, 600_000, 1_000)),
        ),
    ],
    ids=["plain", "identity", "gzip", "upper case", "two members", "many members"],
)
def test_a_body_is_received_completely(headers: tuple[bytes, ...], sent: bytes, serve: Serve) -> None:
    assert get(serve(sending(whole(sent, *headers)))).data == BODY
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (sent[:1], sent[1:70_000], sent[70_000:]))
    chunked = OK + b"".join(one + b"\r\n" for one in headers) + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    assert get(serve(sending(chunked + b"0\r\n\r\n"))).data == BODY


@pytest.mark.parametrize("headers", [(), (b"Content-Encoding: gzip",)])
def test_an_empty_body_is_accepted(headers: tuple[bytes, ...], serve: Serve) -> None:
    assert get(serve(sending(whole(b"", *headers)))).data == b""


def test_a_body_as_large_as_the_limit_is_accepted_and_one_byte_more_is_not(serve: Serve) -> None:
    for headers, pack in (((), bytes), ((b"Content-Encoding: gzip",), gzip.compress)):
        assert (
            len(get(serve(sending(whole(pack(b"x" * 200_000), *headers))), answer_bytes=200_000).data)
            == 200_000
        )
        with pytest.raises(WrongAnswerError, match=r"^the answer of the API is larger than 0\.2 MB;"):
            get(serve(sending(whole(pack(b"x" * 200_001), *headers))), answer_bytes=200_000)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (OK + b"\r\n", b"x" * 65_536),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
        # Unpacks to nothing, however much is sent.
        (OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"", mtime=0)),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x")[:10], b"\0\0\0\xff\xff" * 10_000),
    ],
    ids=["until it hangs up", "in chunks", "empty members", "empty blocks"],
)
def test_an_endless_body_is_stopped_at_the_limit(first: bytes, then: bytes, serve: Serve) -> None:
    with pytest.raises(WrongAnswerError, match=r"larger than 1 MB|more than 1000 gzip members"):
        get(serve(for_ever(first, then, 0)), answer_bytes=1_000_000, call_seconds=60)


BOMB = """
import resource, sys
from gsc_pipeline.search_console.errors import WrongAnswerError
from gsc_pipeline.search_console.transport import TransportLimits, Transport

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    Transport(TransportLimits()).send("GET", sys.argv[1], body=None, headers={}, server="the API")
except WrongAnswerError as error:
    print(error.cause)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)
"""


def test_a_compression_bomb_is_refused_before_it_is_unpacked(serve: Serve) -> None:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(10_000_000)
    first, again = (packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    # After a full flush, the same bytes unpack to the same content again.
    bomb = first + 149 * again
    assert len(bomb) < 1_600_000
    address = serve(sending(whole(bomb, b"Content-Encoding: gzip")))

    ended = subprocess.run([sys.executable, "-c", BOMB, address], capture_output=True, text=True, check=True)

    said, megabytes = ended.stdout.splitlines()
    assert said == "the answer of the API is larger than 64 MB"
    assert int(megabytes) < 200


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "x\x1b" + "y" * 500])
def test_an_unrequested_encoding_is_a_wrong_answer(encoding: str, serve: Serve) -> None:
    with pytest.raises(WrongAnswerError, match="the answer of the API is encoded as") as caught:
        get(serve(sending(whole(b"{}", b"Content-Encoding: " + encoding.encode()))))
    assert len(caught.value.cause) < 150
    assert caught.value.cause.isprintable()


@pytest.mark.parametrize("lost", [1, 8, 20, 1_000, -1])
def test_an_incomplete_or_broken_compressed_body_is_a_failure(lost: int, serve: Serve) -> None:
    packed = gzip.compress(os.urandom(2_000))
    sent = packed[:-lost] if lost > 0 else packed + b"trailing"
    for answer in (
        whole(sent, b"Content-Encoding: gzip"),
        OK + b"Connection: close\r\nContent-Encoding: gzip\r\n\r\n" + sent,
    ):
        with pytest.raises(ServiceUnavailableError, match=r"no answer from the API .*cannot be unpacked"):
            get(serve(lambda connection, answer=answer: connection.sendall(answer)))  # type: ignore[misc]


@pytest.mark.parametrize("size", [b"-5", b"-0x5", b"zz", b"ffffffffffffffffff"])
def test_a_chunk_of_an_impossible_length_is_a_failure(size: bytes, serve: Serve) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n{}\r\n0\r\n\r\n"
    with pytest.raises(ServiceUnavailableError, match="no answer from the API"):
        get(serve(lambda connection: connection.sendall(OK + chunked)))


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"102 Processing", b"103 Early Hints"])
def test_the_answer_after_an_interim_answer_is_never_taken_for_that_of_the_next_call(
    status: bytes, serve: Serve
) -> None:
    def answer(connection: socket) -> None:
        connection.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
        # The answer to the first request arrives when the second one does, if it is on this connection.
        if connection.recv(65_536):
            connection.sendall(whole(b"the first answer"))

    with closing(Transport(TransportLimits(connections=1))) as transport:
        url = serve(answer)
        for _ in range(2):
            with pytest.raises(ServiceUnavailableError, match="an interim answer, 10"):
                send(transport, url)


REFUSED = b"HTTP/1.1 403 Forbidden\r\n"


@pytest.mark.parametrize(
    ("headers", "sent", "read"),
    [
        ((), b"x" * 1_000_000, 0),
        ((b"Content-Encoding: gzip",), gzip.compress(b"x" * 10_000_000), 0),
        ((b"Content-Encoding: br",), b"packed", 0),
        ((b"Content-Encoding: gzip",), b"not packed", 0),
        ((b"Content-Encoding: gzip",), gzip.compress(b"x" * 1_000), 1_000),
        ((), b"x" * 65_536, 65_536),
    ],
    ids=["too long", "too long unpacked", "another packing", "not packed", "short", "as long as may be"],
)
def test_a_refusal_that_is_too_long_or_broken_keeps_its_status(
    headers: tuple[bytes, ...], sent: bytes, read: int, serve: Serve
) -> None:
    with closing(Transport(TransportLimits(connections=1))) as transport:
        url = serve(sending(whole(sent, *headers, status=REFUSED)))
        # The only connection is returned to the pool, or there would be no second answer.
        for _ in range(3):
            response = send(transport, url)
            assert response.status == 403
            assert len(response.data) == read


def test_an_endless_refusal_is_stopped(serve: Serve) -> None:
    assert get(serve(for_ever(REFUSED + b"\r\n", b"x" * 1_000, 0))).status == 403


def test_connections_are_closed_after_errors_and_reused_after_answers(serve: Serve) -> None:
    connections = []

    def answer(connection: socket) -> None:
        connections.append(connection)
        sending(whole(gzip.compress(BODY), b"Content-Encoding: gzip"))(connection)

    with closing(Transport(TransportLimits(connections=1))) as transport:
        url = serve(answer)
        for _ in range(3):
            assert send(transport, url).data == BODY
        assert len(connections) == 1
        for _ in range(3):
            with pytest.raises(WrongAnswerError):
                send(transport, url, answer_bytes=1_000)
        assert send(transport, url).data == BODY


DRIBBLES = {
    "status line": (b"HTTP/1.1", b" "),
    "headers": (OK + b"X: ", b"x"),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body of a known length": (OK + b"Content-Length: 999999\r\n\r\n", b"x"),
    "body in chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    "body that ends with its connection": (OK + b"Connection: close\r\n\r\n", b"x"),
    "body of a refusal": (REFUSED + b"\r\n", b"x"),
    "silence": (OK, b""),
}


@pytest.mark.parametrize(("first", "then"), DRIBBLES.values(), ids=DRIBBLES)
def test_a_call_ends_in_time_however_slowly_its_answer_comes(first: bytes, then: bytes, serve: Serve) -> None:
    with pytest.raises(ServiceUnavailableError) as caught:
        get(serve(for_ever(first, then, 0.1)), call_seconds=0.5)
    assert caught.value.cause == "no answer from the API within 0.5 seconds"


ENOUGH_SECONDS = 3
"""Enough for an answer or the next byte from this process, even on a busy machine."""


def test_a_tls_handshake_ends_in_time(serve: Serve) -> None:
    # The start of a TLS record that is never completed.
    address = serve(for_ever(b"\x16\x03\x03\x40\x00", b"\x02", 0.1)).replace("http:", "https:")
    with pytest.raises(ServiceUnavailableError, match="within 3 seconds"):
        get(address, call_seconds=ENOUGH_SECONDS)


def test_a_reused_connection_has_a_deadline_too(serve: Serve) -> None:
    def answer(connection: socket) -> None:
        connection.sendall(whole(b"first"))
        connection.recv(65_536)
        for_ever(OK + b"Content-Length: 999\r\n\r\n", b"x", 0.1)(connection)

    with closing(Transport(TransportLimits(call_seconds=ENOUGH_SECONDS, connections=1))) as transport:
        url = serve(answer)
        assert send(transport, url).data == b"first"
        with pytest.raises(ServiceUnavailableError, match="within 3 seconds"):
            send(transport, url)
        assert send(transport, url).data == b"first"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's TLS context for 127.0.0.1, which clients created afterwards trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "tls.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_a_deadline_holds_over_tls_and_does_not_break_a_reused_connection(
    certificate: ssl.SSLContext, serve: Serve
) -> None:
    ports = []

    def answer(plain: socket) -> None:
        ports.append(plain.getpeername()[1])
        with certificate.wrap_socket(plain, server_side=True) as connection:
            for _ in range(2):
                connection.recv(65_536)
                connection.sendall(whole(gzip.compress(BODY), b"Content-Encoding: gzip"))
            connection.recv(65_536)
            for_ever(OK + b"Content-Length: 999\r\n\r\n", b"x", 0.1)(connection)

    with closing(Transport(TransportLimits(call_seconds=ENOUGH_SECONDS, connections=1))) as transport:
        url = serve(answer, peek=True).replace("http:", "https:")
        for _ in range(2):
            assert send(transport, url).data == BODY
        with pytest.raises(ServiceUnavailableError, match="within 3 seconds"):
            send(transport, url)
        assert len(ports) == 1
        assert send(transport, url).data == BODY
        assert len(ports) == 2


@pytest.fixture
def proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """HTTPS_PROXY names a proxy with a password. The requests that it receives."""
    received: list[bytes] = []

    def tunnel(connection: socket) -> None:
        received.append(connection.recv(65_536))
        if b"refused" in received[-1]:
            connection.sendall(b"HTTP/1.1 407 Not with s3cret-w0rd\r\n\r\n")
            return
        host, port = received[-1].split()[1].decode().split(":")
        with create_connection((host, int(port))) as target:
            connection.sendall(OK + b"\r\n")
            back = threading.Thread(target=pump, args=(target, connection), daemon=True)
            back.start()
            pump(connection, target)
            back.join()

    address = serve(tunnel, peek=True).replace("http://", "http://anna:s3cret-w0rd@")
    monkeypatch.setenv("https_proxy", address)
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.delenv("no_proxy", raising=False)
    return received


def pump(source: socket, target: socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(SHUT_WR)


def test_https_goes_through_the_proxy_and_http_does_not(
    certificate: ssl.SSLContext, serve: Serve, proxy: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(plain: socket) -> None:
        with certificate.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65_536)
            connection.sendall(whole(b"private"))

    url = serve(answer, peek=True).replace("http:", "https:")
    assert get(url).data == b"private"
    (connect,) = proxy
    assert connect.startswith(b"CONNECT 127.0.0.1:")
    assert base64.b64encode(b"anna:s3cret-w0rd") in connect

    assert get(serve(sending(whole(b"plain")))).data == b"plain"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get(url).data == b"private"
    assert len(proxy) == 1


def test_the_password_of_a_proxy_is_not_in_errors(
    proxy: list[bytes], monkeypatch: pytest.MonkeyPatch, refusing_address: str
) -> None:
    with pytest.raises(ServiceUnavailableError, match=r"407 Not with \[secret\]") as caught:
        get("https://refused.example/")
    assert "s3cret" not in str(caught.value)
    for wrong in (refusing_address, "socks5://host:1", "http://host:port", "ho st"):
        monkeypatch.setenv("https_proxy", wrong.replace("://", "://anna:s3cret-w0rd@"))
        with pytest.raises(ServiceUnavailableError, match="no answer from the API") as caught:
            get("https://refused.example/")
        assert "s3cret" not in str(caught.value)


def test_a_proxy_that_does_not_answer_ends_in_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", serve(for_ever(b"HTTP/1.1", b" ", 0.1)))
    with pytest.raises(ServiceUnavailableError, match=r"within 0\.5 seconds"):
        get("https://refused.example/", call_seconds=0.5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, serve: Serve) -> None:
    asked = []
    elsewhere = serve(asked.append)
    moved = whole(b"", b"Location: " + elsewhere.encode(), status=b"HTTP/1.1 %d Moved\r\n" % status)
    assert get(serve(sending(moved))).status == status
    assert asked == []


def watching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "call deadlines"]


@contextmanager
def nothing_left() -> Iterator[None]:
    """There are no more threads and open files than before."""
    descriptors = Path("/dev/fd")
    files, threads = len(list(descriptors.iterdir())), watching()
    yield
    for thread in watching():
        if thread not in threads:
            thread.join(HANG_SECONDS)
            assert not thread.is_alive()
    # A server in this process closes its end of a connection when it finds the other end closed.
    wait_until(lambda: len(list(descriptors.iterdir())) <= files, "closed connections")


def test_calls_leave_no_threads_and_no_connections_behind(serve: Serve, refusing_address: str) -> None:
    def answer(connection: socket) -> None:
        connection.sendall(whole(b"fine"))

    good, slow = serve(answer), serve(for_ever(OK, b"X: y\r\n", 0.01))
    with nothing_left():
        for _ in range(3):
            with closing(Transport(TransportLimits(call_seconds=ENOUGH_SECONDS))) as transport:
                send(transport, good)
                for bad in (slow, refusing_address):
                    with pytest.raises(ServiceUnavailableError):
                        send(transport, bad)
                assert len(watching()) <= 6


def test_one_thread_watches_all_calls_of_a_client(serve: Serve) -> None:
    url = serve(sending(whole(b"fine")))
    with closing(Transport(TransportLimits(connections=4))) as transport:
        before = len(watching())
        threads = [threading.Thread(target=send, args=(transport, url)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(watching()) == before + 1
