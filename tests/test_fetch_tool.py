"""Fetching pages: what a model reads, where it cannot go, where it is stopped. Servers are real, on this machine."""

import gzip
import socket
import ssl
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, ToolException
from threadmill.errors import BadToolSetting
from threadmill.nodes.tools import fetch as fetch_module
from threadmill.nodes.tools.fetch import make_fetch
from threadmill.nodes.traits import traits_of

Answers = dict[str, Callable[[BaseHTTPRequestHandler], None]]


def answer(
    body: bytes | str = b"", kind: str = "text/plain", status: int = 200, **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    content = body.encode() if isinstance(body, str) else body

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        told = {"Content-Type": kind, "Content-Length": str(len(content)), **headers}
        for name, value in told.items():
            if value:
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return send


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte of content every 20 ms, for three seconds; whoever waits so long gets all of it."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/plain")
    handler.end_headers()
    _slowly(handler, b"x")


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    _slowly(handler, b"x")


def _slowly(handler: BaseHTTPRequestHandler, piece: bytes) -> None:
    try:
        for _ in range(150):
            handler.wfile.write(piece)
            handler.wfile.flush()
            sleep(0.02)
    except OSError:  # the other side has hung up
        pass


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/plain")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65_536)
    except OSError:
        pass


class Server:
    """A web server on this machine; ``answers`` by path, ``seen`` what was asked with which headers."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.seen.append((self.path, dict(self.headers.items())))
                server.answers.get(self.path.partition("?")[0], answer("nothing here", status=404))(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, path: str, host: str = "shop.test") -> str:
        return f"http://{host}:{self.port}{path}"

    def fetch(self, **settings: Any) -> BaseTool:
        """The tool, for hosts that end in ``.test``; all names lead here."""
        defaults: dict[str, Any] = {"allow": [f"*.test:{self.port}"], "allow_private": ["127.0.0.0/8"]}
        return make_fetch(**{"resolve": lambda host, port: ["127.0.0.1"], **defaults, **settings})


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def refusal(tool: BaseTool, url: str) -> str:
    with pytest.raises(ToolException) as refused:
        tool.invoke({"url": url})
    return str(refused.value)


def ask(tool: BaseTool, url: str) -> ToolMessage:
    return tool.invoke({"type": "tool_call", "id": "1", "name": "fetch", "args": {"url": url}})


def test_a_page_is_read_as_text(server: Server):
    server.answers["/a/b"] = answer("<title>Ink</title><p>Now <b>black</b>", "text/html; charset=utf-8")
    page = ask(server.fetch(), server.url("/a/b#more"))
    assert page.content == f"{server.url('/a/b')}\n\nInk\n\nNow black"
    assert page.artifact == {"url": server.url("/a/b"), "status": 200, "type": "text/html", "bytes": 37}
    ((path, headers),) = server.seen
    assert path == "/a/b"
    assert headers["Host"] == f"shop.test:{server.port}"
    assert "Cookie" not in headers


def test_json_and_text_are_read_as_they_are(server: Server):
    server.answers["/j"] = answer('{"a": 1}', "application/problem+json")
    server.answers["/t"] = answer("é".encode("latin-1"), "text/plain; charset=ISO-8859-1")
    server.answers["/z"] = answer(gzip.compress(b"packed"), "text/plain", Content_Encoding="gzip")
    server.answers["/p"] = answer(b"abc-", "text/plain; charset=punycode")
    members = b"".join(gzip.compress(one) for one in (b"of ", b"", b"three")) + b"\0\0"
    server.answers["/m"] = answer(members, "text/plain", Content_Encoding="gzip")
    server.answers["/w"] = answer('<meta charset="windows-1251"><p>да'.encode("cp1251"), "text/html")
    server.answers["/x"] = answer('<?xml version="1.0" encoding="latin-1"?><a>é</a>'.encode("latin-1"), "text/xml")
    server.answers["/b"] = answer('{"a": 2}'.encode("utf-8-sig"), "application/json")
    server.answers["/u"] = answer("é".encode("utf-16"), "text/plain")
    server.answers["/l"] = answer("<meta charset=utf-16><p>é", "text/html")
    fetch = server.fetch()
    assert ask(fetch, server.url("/j")).content.endswith('\n\n{"a": 1}')
    assert ask(fetch, server.url("/t")).content.endswith("\n\né")
    assert ask(fetch, server.url("/z")).content.endswith("\n\npacked")
    assert ask(fetch, server.url("/p")).content.endswith("\n\nabc-")
    assert ask(fetch, server.url("/m")).content.endswith("\n\nof three")
    assert ask(fetch, server.url("/w")).content.endswith("\n\nда")
    assert ask(fetch, server.url("/x")).content.endswith("<a>é</a>")
    assert ask(fetch, server.url("/b")).content.endswith('\n\n{"a": 2}')
    for path in ("/u", "/l"):
        assert ask(fetch, server.url(path)).content.endswith("\n\né")


def test_what_is_no_text_is_refused(server: Server):
    server.answers["/png"] = answer(b"\x89PNG", "image/png")
    server.answers["/none"] = answer(b"x", "")
    server.answers["/lie"] = answer(b"a\0b", "text/plain")
    server.answers["/br"] = answer(b"x", "text/plain", Content_Encoding="br")
    server.answers["/cut"] = answer(gzip.compress(b"x" * 999)[:-4], "text/plain", Content_Encoding="gzip")
    fetch = server.fetch()
    assert refusal(fetch, server.url("/png")) == "not fetched: shop.test answered with 'image/png', which is no text"
    assert "content of unknown type" in refusal(fetch, server.url("/none"))
    assert "something that is no text" in refusal(fetch, server.url("/lie"))
    assert "packed as 'br'" in refusal(fetch, server.url("/br"))
    assert "breaks off" in refusal(fetch, server.url("/cut"))
    assert refusal(fetch, server.url("/404")) == "not fetched: shop.test answered 404 Not Found"


def test_fetching_acts_since_a_url_can_carry_out_what_was_read(server: Server):
    traits = traits_of(server.fetch(timeout_s=7))
    assert (traits.acts, traits.trusted, traits.timeout_s) == (True, False, 12)


def test_a_name_that_leads_to_this_machine_is_not_fetched(server: Server):
    closed = server.fetch(allow_private=())
    assert refusal(closed, server.url("/")) == "not fetched: shop.test does not lead to the public internet"
    mixed = server.fetch(resolve=lambda host, port: ["127.0.0.1", "10.0.0.1"])
    assert "does not lead to the public internet" in refusal(mixed, server.url("/"))
    nobody = server.fetch(resolve=lambda host, port: [])
    assert "does not lead" in refusal(nobody, server.url("/"))
    by_the_system = make_fetch([f"localhost:{server.port}"])
    assert "does not lead" in refusal(by_the_system, server.url("/", "localhost."))
    listed = make_fetch([f"127.0.0.1:{server.port}"])
    assert "does not lead" in refusal(listed, server.url("/", "127.0.0.1"))
    assert server.seen == []


def test_an_address_that_is_listed_in_its_network_is_fetched(server: Server):
    server.answers["/"] = answer("mine")
    listed = make_fetch([f"127.0.0.1:{server.port}"], allow_private=["127.0.0.1/32"])
    assert ask(listed, server.url("/", "127.0.0.1")).content.endswith("mine")


def test_a_name_that_changes_its_address_is_resolved_once(server: Server):
    server.answers["/"] = answer("mine")
    told = iter([["127.0.0.1"], ["10.0.0.1"]])
    rebinding = server.fetch(resolve=lambda host, port: next(told))
    assert ask(rebinding, server.url("/")).content.endswith("mine")  # connected to what was checked
    assert "does not lead" in refusal(rebinding, server.url("/"))


def test_each_redirect_is_checked_anew(server: Server):
    def lead(host: str, port: int) -> list[str]:
        return ["169.254.169.254"] if host == "metadata.test" else ["127.0.0.1"]

    fetch = server.fetch(resolve=lead, allow=[f"*.test:{server.port}", "metadata.test"])
    targets = {
        "http://metadata.test/": "metadata.test does not lead to the public internet",
        "http://169.254.169.254/latest": "is not among the places",
        f"http://127.0.0.1:{server.port}/secret": "is not among the places",
        "//evil.example/": "is not among the places",
        "http://shop.test@evil.example/": "user name",
        "http://shop.test\\@evil.example/": "no URL",
        "file:///etc/passwd": "only http:// and https://",
        "/secret%2f..%2f..": "'..' in it",
        "http://[": "no host name",
    }
    for target, told in targets.items():
        server.answers["/go"] = answer(status=302, Location=target)
        assert told in refusal(fetch, server.url("/go")), target
    assert {path for path, _ in server.seen} == {"/go"}


def test_redirects_are_followed_so_far_and_without_cookies(server: Server):
    server.answers["/1"] = answer(status=301, Location="2?x=y", Set_Cookie="a=b")
    server.answers["/2"] = answer(status=307, Location=server.url("/3", "other.test"))
    server.answers["/3"] = answer("there")
    server.answers["/loop"] = answer(status=302, Location="/loop")
    fetch = server.fetch(max_redirects=2)
    assert ask(fetch, server.url("/1")).content == f"{server.url('/3', 'other.test')}\n\nthere"
    assert [path for path, _ in server.seen] == ["/1", "/2?x=y", "/3"]
    assert [headers for _, headers in server.seen if "Cookie" in headers] == []
    assert refusal(fetch, server.url("/loop")) == "not fetched: more than 2 redirects"


def test_an_answer_is_limited_in_size(server: Server):
    server.answers["/exact"] = answer("x" * 1000)
    server.answers["/large"] = answer("x" * 1001)
    server.answers["/endless"] = endless
    server.answers["/bomb"] = answer(gzip.compress(b"\0" * 50_000_000), Content_Encoding="gzip")
    fetch = server.fetch(max_bytes=1000)
    assert ask(fetch, server.url("/exact")).artifact["bytes"] == 1000
    for path in ("/large", "/endless"):
        assert refusal(fetch, server.url(path)) == "not fetched: the answer is larger than 1,000 bytes"
    roomy = server.fetch(max_bytes=100_000)  # the bomb fits as it is sent
    tracemalloc.start()
    assert refusal(roomy, server.url("/bomb")) == "not fetched: the answer is larger than 100,000 bytes"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("how", [drip, drip_headers])
def test_a_server_that_drips_is_left_in_time(server: Server, how: Callable[[BaseHTTPRequestHandler], None]):
    server.answers["/"] = how
    assert refusal(server.fetch(timeout_s=0.2), server.url("/")) == "not fetched: no complete answer within 0.2 s"


def test_a_name_server_or_host_that_does_not_answer_is_left_in_time(server: Server):
    def slow(host: str, port: int) -> list[str]:
        sleep(0.5)
        return ["127.0.0.1"]

    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    assert "within 0.1 s" in refusal(server.fetch(timeout_s=0.1, resolve=slow), server.url("/"))
    assert refusal(server.fetch(resolve=unknown), server.url("/")) == "not fetched: shop.test has no address"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        fetch = server.fetch(allow=[f"shop.test:{port}"], timeout_s=0.1)
        assert "within 0.1 s" in refusal(fetch, f"http://shop.test:{port}/")
    assert "ConnectError" in refusal(fetch, f"http://shop.test:{port}/")


def test_the_environment_is_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answers["/"] = answer("direct")
    assert ask(server.fetch(), server.url("/")).content.endswith("direct")


def test_a_server_that_speaks_no_http_is_an_observation(server: Server):
    server.answers["/"] = lambda handler: handler.wfile.write(b"hello\r\n\r\n") and None
    assert refusal(server.fetch(), server.url("/")).startswith("not fetched: RemoteProtocolError")


def test_a_certificate_is_checked_for_the_name_though_an_address_is_connected_to(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    pem = certificate(tmp_path, "shop.test")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    server.http.socket = tls.wrap_socket(server.http.socket, server_side=True)
    server.http.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.answers["/"] = answer("sealed")
    fetch = server.fetch()
    shop, other = (f"https://{host}:{server.port}/" for host in ("shop.test", "other.test"))
    assert "certificate verify failed" in refusal(fetch, shop)  # nobody vouches for it
    monkeypatch.setattr(fetch_module, "_tls", lambda: ssl.create_default_context(cafile=pem))
    assert ask(fetch, shop).content.endswith("sealed")
    assert "not valid for 'other.test'" in refusal(fetch, other)
    server.answers["/down"] = answer(status=302, Location=server.url("/"))
    assert refusal(fetch, f"{shop}down") == "not fetched: shop.test leads from https to http"


def certificate(folder: Path, host: str) -> Path:
    """A file with a key and a certificate for ``host`` that the key itself has signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    since = datetime(2020, 1, 1, tzinfo=UTC)
    built = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), since, datetime(2120, 1, 1)
    )
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signed = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "both.pem").write_bytes(key.private_bytes(*plain) + signed)
    return folder / "both.pem"


def test_settings_that_make_no_sense_are_refused():
    for allow in (
        [],
        "docs.test",
        [""],
        ["*evil.test"],
        ["a.*.test"],
        ["ftp://a.test"],
        ["u@a.test"],
        ["a.test?x=1"],
        ["0x7f.1"],
    ):
        with pytest.raises(BadToolSetting):
            make_fetch(allow)
    with pytest.raises(BadToolSetting, match="write a network as in"):
        make_fetch(["a.test"], allow_private=["10.0.0.1/8"])
    with pytest.raises(BadToolSetting, match="must be above 0"):
        make_fetch(["a.test"], timeout_s=0)
