"""Which places may be fetched, which addresses reached, and what text a page becomes: nothing is connected to."""

from time import perf_counter

import httpx
import pytest
from threadmill.nodes.tools.addresses import is_reachable
from threadmill.nodes.tools.allowed_places import Refused, checked, place_of
from threadmill.nodes.tools.page_text import text_of

RULES = [
    "docs.test",
    "*.shop.test",
    "https://safe.test",
    "port.test:8443",
    "path.test/docs",
    "[2001:db8::1]",
    "192.0.2.1",
]


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("http://docs.test", "http://docs.test"),
        ("HTTPS://DOCS.test./a?b=c#d", "https://docs.test/a?b=c"),
        ("http://docs.test:80/", "http://docs.test/"),
        ("http://a.shop.test/", "http://a.shop.test/"),
        ("http://a.b.shop.test/", "http://a.b.shop.test/"),
        ("https://safe.test/x", "https://safe.test/x"),
        ("http://port.test:8443/", "http://port.test:8443/"),
        ("https://path.test/docs", "https://path.test/docs"),
        ("https://path.test/docs/a%20b", "https://path.test/docs/a%20b"),
        ("https://path.test/admin/../docs/x", "https://path.test/docs/x"),
        ("http://[2001:DB8:0::1]/", "http://[2001:db8::1]/"),
        ("http://192.0.2.1/", "http://192.0.2.1/"),
        ("http://docs.test#@evil.test/", "http://docs.test"),
    ],
)
def test_what_the_rules_permit(url: str, read: str):
    assert str(checked(url, [place_of(rule) for rule in RULES])) == read


FORBIDDEN = [
    "http://evil.test/",
    "http://docs.test.evil.test/",
    "http://evildocs.test/",
    "http://shop.test/",  # *.shop.test is what stands below it
    "http://evilshop.test/",
    "http://safe.test/",
    "http://docs.test:81/",
    "https://docs.test:80/",
    "http://port.test/",
    "https://path.test/",
    "https://path.test/docsecret",
    "https://path.test/docs/../admin",
    "https://path.test/docs/%2e%2e/admin",
    "https://path.test/docs/..%2fadmin",
    "https://path.test/docs/%252e%252e/admin",
    "https://path.test/docs/%25252525252e%2525252e/admin",
    "https://path.test/docs/..;/admin",
    "https://path.test/docs/%5c../admin",
    "http://docs.test@evil.test/",
    "http://docs.test:80@evil.test/",
    "http://user:word@docs.test/",
    "http://@docs.test/",
    "http://docs.test\\@evil.test/",
    "http://evil.test\\.docs.test/",
    "http://evil.test#@docs.test/",
    "http://evil.test?@docs.test/",
    "http:\\\\docs.test/",
    "http:/docs.test/",
    "http:docs.test",
    "//docs.test/",
    "docs.test",
    "",
    "http://",
    "http:///docs.test",
    "ftp://docs.test/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "gopher://docs.test/",
    "http://docs.test\n.evil.test/",
    "http://docs.test\t/",
    "http://docs.test /",
    "http://docs.test%2eevil.test/",
    "http://docs%2etest/",
    "http://docs.test../",
    "http://.docs.test/",
    "http://dосs.test/",  # with Cyrillic letters
    "http://ｄocs.test/",
    "http://docs.test\u200b/",
    "http://[::1]/",
    "http://[::ffff:192.0.2.1]/",
    "http://[2001:db8::1%25eth0]/",
    "http://[docs.test]/",
    "http://3221225985/",  # 192.0.2.1 as one number
    "http://0xc0000201/",
    "http://0300.0.2.1/",
    "http://192.0.513/",
    "http://192.0.2.1.evil.test/",
    "http://docs.test:port/",
    "http://docs.test:0/",
    "http://xn--/",
    "http://xn--.docs.test/",
    "http://docs.test:99999999/",
    "http://docs.test/" + "a" * 2_000,
]


def test_what_the_rules_do_not_permit():
    places = [place_of(rule) for rule in RULES]
    for url in FORBIDDEN:
        with pytest.raises(Refused):
            pytest.fail(f"{url!r} was read as {checked(url, places)}")


def test_any_host_means_any_name():
    places = [place_of("*")]
    assert str(checked("https://a.test/x", places)) == "https://a.test/x"
    for url in ("http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://1.1.1.1/", "http://[::1]/"):
        with pytest.raises(Refused):
            checked(url, places)


PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
PRIVATE = """
    127.0.0.1 127.1.2.3 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 169.254.170.2
    100.64.0.1 100.100.100.200 192.0.0.192 168.63.129.16 198.18.0.1 192.0.2.1 224.0.0.1 239.255.255.250 240.0.0.1
    255.255.255.255 ::1 :: ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1
    2002:7f00:1::1 2002:a9fe:a9fe:: 2001:0:7f00:1:: fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1
    2001:db8::1 100::1 localhost 2130706433 0x7f.1
""".split()


def test_which_addresses_are_reachable():
    from threadmill.nodes.tools.addresses import networks_of

    assert [one for one in PUBLIC if not is_reachable(one)] == []
    assert [one for one in PRIVATE if is_reachable(one)] == []
    own = networks_of(["10.0.0.0/8", "fd00::/8"])
    assert is_reachable("10.1.1.1", own)
    assert is_reachable("::ffff:10.1.1.1", own)
    assert is_reachable("fd00::1", own)
    assert not is_reachable("192.168.1.1", own)


def test_html_becomes_readable_text():
    page = """<!doctype html><html><head><title>Ink &amp; pens</title><style>p {}</style></head>
    <body><!-- hidden --><h2>Prices</h2><ul><li>black 4 <li>blue 5</ul><script>steal("<p>")</script>
    <pre>a
      b</pre><p>3 < 4, see <a href='/more?a=1&amp;b=2'>more</a> or <a href="javascript:x()">this</a>.</p>"""
    assert text_of(page, httpx.URL("https://shop.test/a/")) == (
        "Ink & pens\n\n## Prices\n\n- black 4\n- blue 5\n\na\n      b\n\n"
        "3 < 4, see [more](https://shop.test/more?a=1&b=2) or this."
    )


@pytest.mark.parametrize(
    "piece", ["<a ", "<!--", '<a href="', "<a b='\"", "<a/", "<", "<!x", "<script>", "&", "<pre>", "a"]
)
def test_a_page_made_to_take_long_does_not(piece: str):
    hostile = "<" + piece * (100_000 // len(piece))
    begun = perf_counter()
    text_of(hostile, httpx.URL("http://a.test/"))
    assert perf_counter() - begun < 5
