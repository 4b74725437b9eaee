"""Web servers good, bad and stalling, with what a link to each comes to, for a fetch of at most `MAX_BYTES`."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from classifier.errors import (
    ClassifierError,
    FetchError,
    FetchIncompleteError,
    FetchRedirectError,
    FetchStatusError,
    FetchTooManyRedirectsError,
    ImageTooLargeError,
    UrlHostError,
)
from tests.support.origin import endless, raw, redirect, reply, then_hang, then_reset, trickle

if TYPE_CHECKING:
    from tests.support.origin import Behaviour

MAX_BYTES = 100_000
BODY = bytes(range(256)) * 40
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def gz(data: bytes, wbits: int = 31) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


def chunks(data: bytes, size: int = 1000) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


GOOD: dict[str, tuple[Behaviour, bytes]] = {
    "length": (reply(BODY), BODY),
    "no length, to the end of the connection": (raw(OK + b"\r\n" + BODY), BODY),
    "HTTP/1.0": (reply(BODY, version="1.0"), BODY),
    "no reason phrase": (reply(BODY, status="200"), BODY),
    "empty": (reply(b""), b""),
    "wrong content type": (reply(BODY, "Content-Type: text/html"), BODY),
    "the connection stays open": (then_hang(OK + b"Content-Length: 3\r\n\r\nabc"), b"abc"),
    "more bytes than the length": (raw(OK + b"Content-Length: 3\r\n\r\nabcdef"), b"abc"),
    "leading zeros in the length": (raw(OK + b"Content-Length: 0003\r\n\r\nabc"), b"abc"),
    "the same length twice": (raw(OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), b"abc"),
    "reset after the whole body": (then_reset(OK + b"Content-Length: 3\r\n\r\nabc"), b"abc"),
    "chunked": (raw(CHUNKED + chunks(BODY) + b"0\r\n\r\n"), BODY),
    "chunked, open connection": (then_hang(CHUNKED + chunks(BODY) + b"0\r\n\r\n"), BODY),
    "chunked, endless trailers": (endless(CHUNKED + chunks(BODY) + b"0\r\n", b"X: y\r\n" * 1000), BODY),
    "chunk extension": (raw(CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n"), b"abc"),
    "chunked beats the length": (raw(OK + b"Content-Length: 1\r\n" + CHUNKED[17:] + b"3\r\nabc\r\n0\r\n\r\n"), b"abc"),
    "lines end with LF alone": (raw(b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc"), b"abc"),
    "folded header": (raw(OK + b"X: a\r\n b\r\nContent-Length: 3\r\n\r\nabc"), b"abc"),
    "header in Latin-1": (raw(OK + b"X: \xe4\r\nContent-Length: 3\r\n\r\nabc"), b"abc"),
    "100 and 103 come first": (
        raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"\r\nabc"),
        b"abc",
    ),
    "gzip though we asked for none": (reply(gz(BODY), "Content-Encoding: gzip"), BODY),
    "x-gzip": (reply(gz(BODY), "Content-Encoding: X-Gzip"), BODY),
    "deflate": (reply(gz(BODY, 15), "Content-Encoding: deflate"), BODY),
    "deflate without zlib's head": (reply(gz(BODY, -15), "Content-Encoding: deflate"), BODY),
    "gzip twice": (reply(gz(gz(BODY)), "Content-Encoding: gzip, gzip"), BODY),
    "gzip in a hundred members": (reply(b"".join(map(gz, [BODY] + [b""] * 99)), "Content-Encoding: gzip"), BODY),
    "gzip in three members": (reply(b"".join(map(gz, [BODY[:9], BODY[9:], b""])), "Content-Encoding: gzip"), BODY),
    "padding after gzip": (reply(gz(BODY) + bytes(9), "Content-Encoding: gzip"), BODY),
    "identity": (reply(BODY, "Content-Encoding: identity"), BODY),
    "identity as transfer coding": (reply(BODY, "Transfer-Encoding: identity"), BODY),
    "empty gzip": (reply(b"", "Content-Encoding: gzip"), b""),
    "exactly the limit": (reply(b"x" * 100_000), b"x" * 100_000),
    "exactly the limit in chunks": (raw(CHUNKED + chunks(b"x" * 100_000) + b"0\r\n\r\n"), b"x" * 100_000),
    "exactly the limit to the end": (raw(OK + b"\r\n" + b"x" * 100_000), b"x" * 100_000),
    "exactly the limit from gzip": (reply(gz(b"x" * 100_000), "Content-Encoding: gzip"), b"x" * 100_000),
    "a hundred headers": (raw(OK + b"X: y\r\n" * 100 + b"\r\nabc"), b"abc"),
    "65,000 bytes of headers": (raw(OK + b"X: " + b"y" * 65_000 + b"\r\n\r\nabc"), b"abc"),
}

BAD: dict[str, tuple[Behaviour, type[ClassifierError]]] = {
    # status
    **{
        f"status {status}": (reply(BODY, status=f"{status} X"), FetchStatusError)
        for status in (201, 202, 203, 204, 205, 206, 226, 300, 304, 305, 306, 400, 401, 403, 404, 407, 410, 429, 451)
    },
    **{f"status {status}": (reply(status=f"{status} X"), FetchStatusError) for status in (500, 502, 503, 511, 999)},
    # no HTTP
    "closes at once": (raw(b""), FetchError),
    "resets at once": (then_reset(b""), FetchError),
    "HTTP/0.9": (raw(BODY), FetchError),
    "HTTP/2": (raw(b"HTTP/2 200\r\n\r\n"), FetchError),
    "HTTP/2 frames": (raw(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80"), FetchError),
    "another protocol": (raw(b"ICY 200 OK\r\n\r\n"), FetchError),
    "SSH": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), FetchError),
    "status of two digits": (raw(b"HTTP/1.1 20 OK\r\n\r\n"), FetchError),
    "status of four digits": (raw(b"HTTP/1.1 2000 OK\r\n\r\n"), FetchError),
    "status with a letter": (raw(b"HTTP/1.1 2OO OK\r\n\r\n"), FetchError),
    "status zero": (raw(b"HTTP/1.1 000 OK\r\n\r\n"), FetchError),
    "status with a sign": (raw(b"HTTP/1.1 +200 OK\r\n\r\n"), FetchError),
    "blank line first": (raw(b"\r\n" + OK + b"\r\n"), FetchError),
    "ends in the status line": (raw(b"HTTP/1.1 200"), FetchError),
    "ends in the headers": (raw(OK + b"X: y\r\n"), FetchError),
    "resets in the headers": (then_reset(OK + b"X: y\r\n"), FetchError),
    "endless status line": (endless(b"HTTP/1.1 200 "), FetchError),
    "endless header": (endless(OK + b"X: "), FetchError),
    "endless headers": (endless(OK, b"X: y\r\n" * 1000), FetchError),
    "endless 100s": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), FetchError),
    "large headers in 100s": (
        raw((b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 40_000 + b"\r\n\r\n") * 2 + OK + b"\r\nabc"),
        FetchError,
    ),
    "101": (then_hang(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"), FetchStatusError),
    "101 headers": (raw(OK + b"X: y\r\n" * 101 + b"\r\nabc"), FetchError),
    "66,000 bytes of headers": (raw(OK + b"X: " + b"y" * 66_000 + b"\r\n\r\nabc"), FetchError),
    "a header without a colon": (raw(OK + b"X\r\n\r\n"), FetchError),
    "a header without a name": (raw(OK + b": x\r\n\r\n"), FetchError),
    "a space before the colon": (raw(OK + b"Content-Length : 3\r\n\r\nabc"), FetchError),
    "folding before any header": (raw(OK + b" X: y\r\n\r\n"), FetchError),
    "NUL in a header": (raw(OK + b"X: \0\r\n\r\n"), FetchError),
    "CR in a header": (raw(OK + b"X: a\rb\r\n\r\n"), FetchError),
    # length
    "body too short": (reply(BODY, length=len(BODY) + 1), FetchIncompleteError),
    "no body": (reply(b"", length=10), FetchIncompleteError),
    "reset in the body": (then_reset(OK + b"Content-Length: 10\r\n\r\nabc"), FetchIncompleteError),
    **{
        f"length {length!r}": (reply(BODY, length=length), FetchError)
        for length in ("-1", "+5", "1_0", "0x10", "5.0", "1e3", "five", "", "5 5", "5, 6", "٥", "-0")
    },
    "two lengths": (raw(OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), FetchError),
    "length over the limit": (then_hang(OK + b"Content-Length: 100001\r\n\r\n"), ImageTooLargeError),
    "length over everything": (then_hang(OK + b"Content-Length: " + b"9" * 9000 + b"\r\n\r\n"), ImageTooLargeError),
    "over the limit to the end": (raw(OK + b"\r\n" + b"x" * 100_001), ImageTooLargeError),
    "endless body": (endless(OK + b"\r\n"), ImageTooLargeError),
    # chunks
    "endless chunks": (endless(CHUNKED, b"ffff\r\n" + b"x" * 65_535 + b"\r\n"), ImageTooLargeError),
    "endless tiny chunks": (endless(CHUNKED, b"1\r\nx\r\n" * 1000), ImageTooLargeError),
    "endless chunk extensions": (endless(CHUNKED, (b"1;" + b"y" * 4000 + b"\r\nx\r\n") * 10), ImageTooLargeError),
    "chunk extensions over the limit": (
        raw(CHUNKED + (b"1;" + b"y" * 4000 + b"\r\nx\r\n") * 26 + b"0\r\n\r\n"),
        ImageTooLargeError,
    ),
    "endless chunk line": (endless(CHUNKED, b"0" * 1000), FetchIncompleteError),
    "chunk over the limit": (then_hang(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n"), ImageTooLargeError),
    "no last chunk": (raw(CHUNKED + chunks(BODY)), FetchIncompleteError),
    "chunk too short": (raw(CHUNKED + b"5\r\nabc"), FetchIncompleteError),
    "chunk longer than its size": (raw(CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n"), FetchIncompleteError),
    "chunks without sizes": (raw(CHUNKED + BODY), FetchIncompleteError),
    **{
        f"chunk size {size!r}": (raw(CHUNKED + size + b"\r\nabc\r\n0\r\n\r\n"), FetchIncompleteError)
        for size in (b"-3", b"+3", b"0x3", b"3_0", b" 3", b"g", b"", b"3 3", b"1" * 17)
    },
    "unknown transfer coding": (raw(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n"), FetchError),
    "chunked twice": (raw(OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), FetchError),
    # content codings
    "gzip bomb": (reply(gz(bytes(50_000_000)), "Content-Encoding: gzip"), ImageTooLargeError),
    "gzip bomb in gzip": (reply(gz(gz(bytes(50_000_000))), "Content-Encoding: gzip, gzip"), ImageTooLargeError),
    "deflate bomb": (reply(gz(bytes(50_000_000), -15), "Content-Encoding: deflate"), ImageTooLargeError),
    "one byte over the limit from gzip": (reply(gz(bytes(100_001)), "Content-Encoding: gzip"), ImageTooLargeError),
    "gzip with a wrong check sum": (reply(gz(BODY)[:-8] + bytes(8), "Content-Encoding: gzip"), FetchError),
    "gzip cut short": (reply(gz(BODY)[:-9], "Content-Encoding: gzip"), FetchIncompleteError),
    "many gzip members": (reply(gz(b"") * 4000, "Content-Encoding: gzip"), FetchError),
    "gzip members over the limit": (reply(gz(bytes(60_000)) * 2, "Content-Encoding: gzip"), ImageTooLargeError),
    "second gzip member cut short": (reply(gz(BODY) + gz(BODY)[:-9], "Content-Encoding: gzip"), FetchIncompleteError),
    "brotli": (reply(BODY, "Content-Encoding: br"), FetchError),
    "zstd": (reply(BODY, "Content-Encoding: zstd"), FetchError),
    "gzip three times": (reply(gz(gz(gz(BODY))), "Content-Encoding: gzip, gzip, gzip"), FetchError),
    # redirects
    "redirect to itself": (redirect("/"), FetchTooManyRedirectsError),
    "redirect without location": (raw(b"HTTP/1.1 302 Found\r\n\r\n"), FetchRedirectError),
    "redirect to nothing": (redirect(""), FetchRedirectError),
    "redirect to two places": (raw(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n\r\n"), FetchRedirectError),
    **{
        f"redirect to {location}": (redirect(location), FetchRedirectError)
        for location in (
            *("file:///etc/passwd", "ftp://8.8.8.8/", "gopher://8.8.8.8/", "data:image/png;base64,AA", "javascript:1"),
            *("http://user:pass@8.8.8.8/", "//user@8.8.8.8/", "http:///8.8.8.8/", "http:8.8.8.8", "///8.8.8.8/"),
            *("http://[fe80::1%25eth0]/", "http://8.8.8.8:99999/", "/\\8.8.8.8/", "\\\\8.8.8.8\\", "http://a b/"),
            *("http://" + "a" * 64 + ".test/", "/" + "a" * 9000),
        )
    },
    **{
        f"redirect to {location}": (redirect(location), UrlHostError)
        for location in (
            *("http://10.0.0.1/", "https://169.254.169.254/", "//127.0.0.2/", "http://[::1]/", "http://0x7f.1/"),
            *("http://2130706433/", "http://[::ffff:127.0.0.1]/", "http://metadata.invalid/", "http://0/"),
        )
    },
}

STALLS: dict[str, Behaviour] = {
    "never answers": then_hang(b""),
    "trickles the status line": trickle(b"HTTP/1.1 200 "),
    "trickles headers": trickle(OK, b"X: y\r\n", 0.1),
    "trickles a header": trickle(OK + b"X: "),
    "trickles 100s": trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1),
    "stops in the headers": then_hang(OK + b"X: y\r\n"),
    "trickles the body": trickle(OK + b"Content-Length: 90000\r\n\r\n"),
    "trickles a body without length": trickle(OK + b"\r\n"),
    "trickles chunks": trickle(CHUNKED, b"1\r\nx\r\n"),
    "trickles a chunk size": trickle(CHUNKED, b"0"),
    "stops in the body": then_hang(OK + b"Content-Length: 10\r\n\r\nabc"),
    "stops before the last chunk": then_hang(CHUNKED + b"3\r\nabc\r\n"),
}
