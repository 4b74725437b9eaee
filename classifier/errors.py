"""Every error that a caller can be told, in one tree.

    ClassifierError                      500 internal_error
    ├── RequestError                     400 invalid_request
    │   ├── MissingInputError            400 missing_input
    │   ├── AmbiguousInputError          400 ambiguous_input
    │   ├── NotFoundError                404 not_found
    │   └── MethodNotAllowedError        405 method_not_allowed
    ├── LinkError                        400 invalid_url
    │   ├── UrlSchemeError               400 url_scheme_not_allowed
    │   ├── UrlCredentialsError          400 url_credentials_not_allowed
    │   ├── UrlPortError                 400 url_port_not_allowed
    │   └── UrlHostError                 400 url_host_not_allowed
    ├── FetchError                       422 fetch_failed
    │   ├── FetchRedirectError           422 fetch_redirect_not_allowed
    │   ├── FetchTooManyRedirectsError   422 fetch_too_many_redirects
    │   ├── FetchStatusError             422 fetch_http_status
    │   ├── FetchTlsError                422 fetch_tls_failed
    │   ├── FetchIncompleteError         422 fetch_incomplete
    │   └── FetchTimeoutError            422 fetch_timeout
    ├── ImageError                       422 invalid_image
    │   ├── ImageTooLargeError           413 image_too_large
    │   ├── ImageFormatError             415 unsupported_image_format
    │   ├── ImageDimensionsError         422 image_dimensions_too_large
    │   ├── ImageComplexityError         422 image_too_complex
    │   └── ImageTimeoutError            422 processing_timeout
    ├── S3KeyError                       400 invalid_s3_key
    │   ├── S3ObjectNotFoundError        404 s3_object_not_found
    │   └── S3ObjectNotReadableError     409 s3_object_not_readable
    ├── UnavailableError                 503 model_unavailable
    │   ├── StorageUnavailableError      503 storage_unavailable
    │   ├── ModelLoadingError            503 model_loading
    │   └── OutOfTimeError               503 processing_timeout
    └── ModelError                       500 model_invalid
        ├── ModelNotAllowedError         500 model_not_allowed
        └── ModelTooLargeError           500 model_too_large

`str(error)` is for the log and may name keys, addresses and values of ours. `error.public` is for the caller and never
does.
"""

from __future__ import annotations

from typing import ClassVar


class ClassifierError(Exception):
    """An error with a status, a stable code and a sentence for the caller.

    `detail` goes to the log; `public` replaces the class's sentence where the caller can be told more.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    text: ClassVar[str] = "Something went wrong on our side. The request id will help us to find it."
    retry_after_s: int | None = None

    def __init__(self, detail: str = "", *, public: str | None = None) -> None:
        super().__init__(detail or public or self.text)
        self.public = public or self.text


class RequestError(ClassifierError):
    """The request can't be read: JSON, base64, multipart or a parameter."""

    status, code = 400, "invalid_request"
    text = "The request could not be read."


class MissingInputError(RequestError):
    """No picture was given in any of the known ways."""

    code = "missing_input"
    text = "Give a picture: ?imagelink=<http(s) URL>, ?s3key=<key>, or POST the picture itself."


class AmbiguousInputError(RequestError):
    """More than one picture was given."""

    code = "ambiguous_input"
    text = "Give one picture only: one imagelink, one s3key or one upload."


class NotFoundError(RequestError):
    """No such path."""

    status, code = 404, "not_found"
    text = "There is nothing at this path."


class MethodNotAllowedError(RequestError):
    """The path exists, the method does not; `allow` names those that do."""

    status, code = 405, "method_not_allowed"
    text = "This method is not allowed here."

    def __init__(self, method: str, allow: tuple[str, ...]) -> None:
        self.allow = allow
        super().__init__(f"{method} is not one of {', '.join(allow)}", public=f"Use {' or '.join(allow)} here.")


class LinkError(ClassifierError):
    """The link is malformed."""

    status, code = 400, "invalid_url"
    text = "imagelink is not a well-formed http or https URL."


class UrlSchemeError(LinkError):
    """A scheme other than http and https."""

    code = "url_scheme_not_allowed"
    text = "imagelink must start with http:// or https://."


class UrlCredentialsError(LinkError):
    """A user name or password in the link."""

    code = "url_credentials_not_allowed"
    text = "imagelink must not contain a user name or password."


class UrlPortError(LinkError):
    """A port that is not on the list."""

    code = "url_port_not_allowed"
    text = "imagelink names a port that is not allowed. Use 80, 443, 8080 or 8443."


class UrlHostError(LinkError):
    """A host that is not public or does not resolve: one code for both, so that internal names can't be probed."""

    code = "url_host_not_allowed"
    text = "The host of imagelink can't be reached from here: it is not public or does not resolve."


class FetchError(ClassifierError):
    """The link's server is unreachable or does not speak HTTP."""

    status, code = 422, "fetch_failed"
    text = "The picture could not be fetched: its server did not answer as a web server does."


class FetchRedirectError(FetchError):
    """A redirect to somewhere that a link may not point to, or one that can't be read."""

    code = "fetch_redirect_not_allowed"
    text = "The picture's server redirects to an address that is not allowed."


class FetchTooManyRedirectsError(FetchError):
    """More redirects than the limit."""

    code = "fetch_too_many_redirects"
    text = "The picture's server redirects too often."


class FetchStatusError(FetchError):
    """The link's server answered with a status other than 200."""

    code = "fetch_http_status"
    text = "The picture's server did not answer with status 200."


class FetchTlsError(FetchError):
    """The TLS handshake or the certificate failed."""

    code = "fetch_tls_failed"
    text = "The picture's server could not prove its identity: the TLS handshake or certificate failed."


class FetchIncompleteError(FetchError):
    """The body ended before the announced length."""

    code = "fetch_incomplete"
    text = "The picture's server stopped before the whole picture was sent."


class FetchTimeoutError(FetchError):
    """The link took longer than the total time limit."""

    code = "fetch_timeout"
    text = "The picture's server took too long."


class ImageError(ClassifierError):
    """The picture is broken or truncated."""

    status, code = 422, "invalid_image"
    text = "The picture is broken or incomplete."


class ImageTooLargeError(ImageError):
    """More bytes than the limit."""

    status, code = 413, "image_too_large"
    text = "The picture has too many bytes."


class ImageFormatError(ImageError):
    """Not a picture, or a format that is not allowed."""

    status, code = 415, "unsupported_image_format"
    text = "This is not a picture in an accepted format."


class ImageDimensionsError(ImageError):
    """More pixels than the limit."""

    code = "image_dimensions_too_large"
    text = "The picture has too many pixels."


class ImageComplexityError(ImageError):
    """Too many scans, frames or metadata."""

    code = "image_too_complex"
    text = "The picture has too many scans or too much metadata."


class ImageTimeoutError(ImageError):
    """Decoding took too long."""

    code = "processing_timeout"
    text = "The picture takes too long to decode."


class S3KeyError(ClassifierError):
    """The key is malformed or outside the prefix."""

    status, code = 400, "invalid_s3_key"
    text = "s3key is not a key that this service may read."


class S3ObjectNotFoundError(S3KeyError):
    """No such object, or one we may not read: the caller can't tell which."""

    status, code = 404, "s3_object_not_found"
    text = "There is no picture under this s3key."


class S3ObjectNotReadableError(S3KeyError):
    """The object exists but can't be read now: archived, or its KMS key is denied."""

    status, code = 409, "s3_object_not_readable"
    text = "The picture under this s3key is archived or locked and can't be read now."


class UnavailableError(ClassifierError):
    """No model can be served for now."""

    status, code = 503, "model_unavailable"
    text = "No model can be served at the moment. Please try again."
    retry_after_s = 5


class StorageUnavailableError(UnavailableError):
    """S3 throttles, is down, or does not answer in time."""

    code = "storage_unavailable"
    text = "The storage does not answer at the moment. Please try again."


class ModelLoadingError(UnavailableError):
    """The model is still loading; loading goes on."""

    code = "model_loading"
    text = "The model is still loading. Please try again in a few seconds."


class OutOfTimeError(UnavailableError):
    """The function's own time is nearly over."""

    code = "processing_timeout"
    text = "The request could not be finished in time. Please try again."
    retry_after_s = 1


class ModelError(ClassifierError):
    """The bundle is broken, and there is no older good one."""

    status, code = 500, "model_invalid"
    text = "The model can't be loaded. Its owner has to publish a working one."


class ModelNotAllowedError(ModelError):
    """The bundle asks for code or for a layer that is not on the list."""

    code = "model_not_allowed"
    text = "The model asks for something that is not allowed here. Its owner has to publish another one."


class ModelTooLargeError(ModelError):
    """The bundle is larger than a limit, or than the function's memory; then `needed_mb` would do."""

    code = "model_too_large"
    text = "The model is larger than this service allows. Its owner has to publish a smaller one."

    def __init__(self, detail: str = "", *, public: str | None = None, needed_mb: int | None = None) -> None:
        super().__init__(detail, public=public)
        self.needed_mb = needed_mb
