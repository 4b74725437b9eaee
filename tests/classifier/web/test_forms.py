"""Bodies as real clients write them, in every type and field that the description promises."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
import requests

from classifier.errors import AmbiguousInputError, ClassifierError, MissingInputError, RequestError
from classifier.web import parameters
from classifier.web.openapi import openapi_response
from classifier.web.sources import Key, Link, Question, Upload
from tests.support.questions import BASE64, FORM, LINK, PICTURE, ask

if TYPE_CHECKING:
    from collections.abc import Callable

UPLOAD = Question(Upload(PICTURE), None)
URL_SAFE = base64.urlsafe_b64encode(PICTURE).decode()
API: dict[str, Any] = json.loads(openapi_response().body)["components"]["schemas"]


def multipart(*heads_and_data: tuple[bytes, bytes], boundary: bytes = b"xx") -> bytes:
    parts = (b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in heads_and_data)
    return b"".join(parts) + b"--" + boundary + b"--\r\n"


def file_part(name: str = "file", more: bytes = b"", filename: bytes = b"a.jpg") -> bytes:
    return b'Content-Disposition: form-data; name="%b"; filename="%b"%b' % (name.encode(), filename, more)


def field(name: str) -> bytes:
    return b'Content-Disposition: form-data; name="%b"' % name.encode()


def by_requests(**given: Any) -> tuple[bytes, str]:
    """Body and type as the requests library sends them."""
    prepared = requests.Request("POST", "http://h/classify", **given).prepare()
    assert isinstance(prepared.body, bytes | str)
    body = prepared.body if isinstance(prepared.body, bytes) else prepared.body.encode()
    return body, str(prepared.headers["Content-Type"])


BODIES: dict[str, Callable[[str, str], tuple[bytes, str]]] = {
    "multipart": lambda name, value: (multipart((field(name), value.encode())), "multipart/form-data; boundary=xx"),
    "multipart by requests": lambda name, value: by_requests(files={name: (None, value)}),
    "urlencoded": lambda name, value: (urlencode({name: value}).encode(), FORM),
    "urlencoded by requests": lambda name, value: by_requests(data={name: value}),
    "JSON": lambda name, value: (json.dumps({name: value}).encode(), "application/json"),
    "JSON as text": lambda name, value: (json.dumps({name: value}).encode(), "text/plain;charset=UTF-8"),
    "JSON without a type": lambda name, value: (b"\xef\xbb\xbf \n" + json.dumps({name: value}).encode(), ""),
    "JSON as curl -d": lambda name, value: (json.dumps({name: value}).encode(), FORM),
    "JSON of a vendor": lambda name, value: (json.dumps({name: value}).encode(), "application/vnd.api+json"),
}
VALUES = {
    "imagelink": [("http://h/a+b.jpg", LINK)],
    "s3key": [("images/a b.jpg", Question(Key("images/a b.jpg"), None))],
    "image": [
        (text, UPLOAD)
        for text in (
            *(BASE64, BASE64.rstrip("="), URL_SAFE, URL_SAFE.rstrip("="), base64.encodebytes(PICTURE).decode()),
            *(f"data:image/jpeg;base64,{BASE64}", f"DATA:;BASE64,{BASE64}", "\r\n".join(BASE64)),
        )
    ],
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("kind", BODIES)
def test_every_field_of_the_description_is_read_in_every_body_type(kind: str, name: str) -> None:
    for value, question in VALUES[name]:
        body, content_type = BODIES[kind](name, value)
        assert ask(body, content_type) == question


def test_the_fields_above_are_those_of_the_description() -> None:
    _, more = API["Single"]["allOf"]
    form, pictures = API["Form"]["properties"], API["Pictures"]["properties"]
    assert {*VALUES, "top"} == set(API["Picture"]["properties"])
    assert {*VALUES, "top", *more["properties"], "file"} == set(form)
    assert {*form, *pictures} - {"file"} == set(parameters.KNOWN)


def test_a_plus_that_nobody_encoded_stays_one_in_base64() -> None:
    picture = b"\xfb\xef\xbe" * 9
    assert "+" in base64.b64encode(picture).decode()
    assert ask(b"image=" + base64.b64encode(picture), FORM) == Question(Upload(picture), None)


def test_a_picture_in_an_urlencoded_form_may_be_as_large_as_any() -> None:
    picture = b"\xff" * 1000
    assert ask("image=" + quote(base64.b64encode(picture), safe=""), FORM) == Question(Upload(picture), None)


FILES = {
    **{
        f"a field named {name}": multipart((file_part(name), PICTURE))
        for name in ("file", "image", "photo", "file[]", "upload", "File", "picture", "data[0].image", "写真", "")
    },
    "a file name in cp1252": multipart((file_part(filename="Übung.jpg".encode("cp1252")), PICTURE)),
    "a file name in Shift-JIS": multipart((file_part(filename="写真表.jpg".encode("shift-jis")), PICTURE)),
    "a file name in Shift-JIS that ends in a backslash": multipart(
        (file_part(filename="表".encode("shift-jis")), PICTURE)
    ),
    "a file name in GB2312": multipart((file_part(filename="照片.jpg".encode("gb2312")), PICTURE)),
    "a file name with a quote": multipart((file_part(filename=b'a\\"; name=\\"b.jpg'), PICTURE)),
    "a file name with name= in it": multipart(
        (b'Content-Disposition: form-data; filename="a; name=x"; name=file', PICTURE)
    ),
    "no quotes": multipart((b"content-disposition:form-data;name=file;filename=a.jpg", PICTURE)),
    "a file name of RFC 5987": multipart((field("file") + b"; filename*=UTF-8''%C3%9Cbung.jpg", PICTURE)),
    "folded heads": multipart((b'Content-Disposition: form-data;\r\n name="file";\r\n\tfilename="a.jpg"', PICTURE)),
    "a wrong length": multipart((file_part(more=b"\r\nContent-Length: 7"), PICTURE)),
    "a length that is no number": multipart((file_part(more=b"\r\nContent-Length: many"), PICTURE)),
    "a base64 that it is not": multipart((file_part(more=b"\r\nContent-Transfer-Encoding: binary"), PICTURE)),
    "nine heads": multipart((file_part(more=b"".join(b"\r\nX-%d: y" % number for number in range(8))), PICTURE)),
    "a head that is none": multipart((file_part(more=b"\r\nhello"), PICTURE)),
    "no file name, but a picture's type": multipart((field("photo") + b"\r\nContent-Type: image/jpeg", PICTURE)),
    "no file name and no type": multipart((field("file"), PICTURE)),
    "a preamble and an epilogue": b"hello\r\n" + multipart((file_part(), PICTURE)) + b"bye",
    "spaces behind the boundary": multipart((file_part(), PICTURE)).replace(b"--xx\r\n", b"--xx \t\r\n"),
    "an empty file beside it": multipart((file_part("other", filename=b""), b""), (file_part(), PICTURE)),
    "other fields beside it": multipart((field("token"), b"abc"), (file_part("photo"), PICTURE), (field("x"), b"y")),
    "base64 in a field named file": multipart((field("file"), BASE64.encode())),
    "dio": multipart(
        (
            b'content-disposition: form-data; name="photo"; filename="a.jpg"\r\ncontent-type: application/octet-stream',
            PICTURE,
        )
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_one_file_of_a_form_is_the_picture(name: str) -> None:
    assert ask(FILES[name], "multipart/form-data; boundary=xx") == UPLOAD


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=b/QeEbFgq", b"b/QeEbFgq"),
        ("multipart/form-data; boundary====1==", b"===1=="),
        ("multipart/form-data; boundary=a:b'c(d)", b"a:b'c(d)"),
        ('multipart/form-data; boundary="a b;c"', b"a b;c"),
        ("multipart/form-data; charset=utf-8; Boundary=xx", b"xx"),
        ("multipart/form-data;boundary=xx;charset=utf-8", b"xx"),
        ("Multipart/Form-Data; boundary=xx", b"xx"),
        ("multipart/form-data boundary=xx", b"xx"),
    ],
)
def test_a_boundary_is_read_as_clients_write_it(content_type: str, boundary: bytes) -> None:
    assert ask(multipart((file_part(), PICTURE), boundary=boundary), content_type) == UPLOAD


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_a_boundary_says_who_sets_it(content_type: str) -> None:
    with pytest.raises(RequestError) as caught:
        ask(multipart((file_part(), PICTURE)), content_type)
    assert "no boundary" in caught.value.public
    assert "Let your client set Content-Type" in caught.value.public


@pytest.mark.parametrize(
    "names", [("file", "file2"), ("a", "b"), ("file", "audio"), ("file", "image"), ("file", "file")]
)
def test_two_files_are_two_pictures_whatever_their_fields_are_called(names: tuple[str, str]) -> None:
    with pytest.raises(AmbiguousInputError) as caught:
        ask(multipart(*((file_part(name), PICTURE) for name in names)), "multipart/form-data; boundary=xx")
    assert f"This request has 2: {', '.join(names)}. Several at once go into images" in caught.value.public


def test_what_makes_a_request_ambiguous_is_named_wherever_it_stands() -> None:
    body = multipart((file_part("photo"), PICTURE), (field("s3key"), b"images/a.jpg"))
    with pytest.raises(AmbiguousInputError) as caught:
        ask(body, "multipart/form-data; boundary=xx", query={"imagelink": "http://h/"})
    assert caught.value.public.endswith("This request has 3: imagelink, photo, s3key.")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("file", "photo.jpg", "The field file is text ('photo.jpg'), not a file: with curl write file=@photo.jpg, in"),
        ("image", "/sdcard/a.jpg", "The field image is text ('/sdcard/a.jpg'), not a file: with curl write image=@/sd"),
        ("file", "[object Object]", "The field file is text ('[object Object]'), not a file: append the File or Blob"),
        ("file", "undefined?", "The field file is text ('undefined?'), not a file"),
        ("file", "https://h/a.jpg", "The field file is a link, not a file: send it as imagelink."),
        ("image", "x" * 400 + ".", "image is not valid base64."),
    ],
)
def test_text_where_a_file_belongs_is_told_so(name: str, text: str, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        ask(multipart((field(name), text.encode())), "multipart/form-data; boundary=xx")
    assert caught.value.public.startswith(says)
    assert text not in str(caught.value)


def test_a_text_field_of_many_bytes_is_told_how_to_name_a_file() -> None:
    with pytest.raises(RequestError, match="a form's field of 20000 bytes") as caught:
        ask(multipart((field("photo"), b"x" * 20_000)), "multipart/form-data; boundary=xx")
    assert "field 'photo' is no file and has more than 10000 bytes. Send the picture as a file" in caught.value.public


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b"", "image/jpeg", "The body is empty. Give a picture: "),
        (b"", FORM, "The body is empty. Give a picture: "),
        (b'{"image": ""}', "application/json", "The field image is empty. Give a picture: "),
        (b'{"imagelink": null}', "application/json", "The field imagelink is empty. Give a picture: "),
        (
            multipart((file_part(), b"")),
            "multipart/form-data; boundary=xx",
            "The field file is empty. Give a picture: ",
        ),
        (
            multipart((file_part("photo"), b"")),
            "multipart/form-data; boundary=xx",
            "The field photo is empty. Give a picture: ",
        ),
        (b"{}", "application/json", "Give a picture: "),
    ],
)
def test_what_is_empty_is_said_to_be(body: bytes, kind: str, says: str) -> None:
    with pytest.raises(MissingInputError) as caught:
        ask(body, kind)
    assert caught.value.public.startswith(says)


def test_a_parameter_with_a_file_name_is_still_one() -> None:
    """As the requests library sends `files={"file": ..., "top": "3"}`."""
    body, content_type = by_requests(files={"file": ("a.jpg", PICTURE), "top": "3"})
    assert b'filename="top"' in body
    assert ask(body, content_type) == Question(Upload(PICTURE), 3)


def test_the_bytes_decide_what_a_part_is_not_its_type() -> None:
    for head in (file_part("photo"), field("photo")):
        body = multipart((head + b"\r\nContent-Type: text/plain", PICTURE))
        assert ask(body, "multipart/form-data; boundary=xx") == UPLOAD


def test_requests_own_file_uploads_are_read() -> None:
    for name in ("file", "photo", "file[]"):
        body, content_type = by_requests(files={name: ('Übung "1".jpg', PICTURE, "image/jpeg")}, data={"top": "3"})
        assert ask(body, content_type) == Question(Upload(PICTURE), 3)


NODE = """
const form = new FormData(); form.append("top", "3");
form.append(process.argv[1], new Blob([Buffer.from(process.argv[2], "base64")], {type: "image/jpeg"}), 'Üb"ung.jpg');
const sent = new Response(form);
sent.arrayBuffer().then((body) => console.log(JSON.stringify(
  [sent.headers.get("content-type"), Buffer.from(body).toString("base64")])));
"""


def test_fetchs_own_form_is_read() -> None:
    """Node's FormData writes what browsers' does (https://html.spec.whatwg.org/#multipart-form-data)."""
    done = subprocess.run(["node", "-e", NODE, "photo", BASE64], capture_output=True, text=True, check=True)
    content_type, body = json.loads(done.stdout)
    assert ask(base64.b64decode(body), content_type) == Question(Upload(PICTURE), 3)


def test_a_data_url_is_a_body_of_its_own() -> None:
    for content_type in ("text/plain", "text/plain;charset=UTF-8", ""):
        assert ask(f"data:image/jpeg;base64,{BASE64}", content_type) == UPLOAD


def test_a_packed_body_stays_packed_until_it_is_unpacked() -> None:
    """The coding is removed before the body is read (app); what says nothing of it is taken as it is."""
    assert ask(gzip.compress(PICTURE), "image/jpeg").source != UPLOAD.source
    with pytest.raises(ClassifierError):
        ask(gzip.compress(b"{}"), "application/json")


def test_a_link_is_still_a_link() -> None:
    assert ask("imagelink=http://h/a%2Bb.jpg", FORM) == Question(Link("http://h/a+b.jpg"), None)
