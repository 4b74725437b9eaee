"""All settings, read once from the environment: one field a variable, with its parser, default and meaning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from classifier import setting_values
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "HEIF")
"""Formats that can be allowed. MPO comes with JPEG; HEIF (HEIC) needs pillow-heif, which you add yourself.
EPS and WMF run other programs and never can."""


class SettingsError(ValueError):
    """Environment variables are missing or wrong; the text names each with its value and the expected form."""


def _text(value: str) -> str:
    return value


def _matching(pattern: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(value)
        return value

    return parse


_bucket, _header = _matching("[^/:]*"), _matching("[!-~]([ -~]*[!-~])?")
_header_name = _matching("[A-Za-z0-9-]*")


def _prefix(value: str) -> str:
    return value.strip("/") + "/" if value.strip("/") else ""


def _whole(value: str) -> int:
    number = int(value)
    if number < 0:
        raise ValueError(value)
    return number


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 <= number < 1e6:
        raise ValueError(value)
    return number


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(value)
        return value

    return parse


def _some_of(*choices: str, least: int = 0) -> Callable[[str], tuple[str, ...]]:
    def parse(value: str) -> tuple[str, ...]:
        by_name = {choice.casefold(): choice for choice in choices}
        names = [part.strip().casefold() for part in value.split(",") if part.strip()]
        if not set(names) <= by_name.keys() or len(names) < least:
            raise ValueError(value)
        return tuple(by_name[name] for name in names)

    return parse


class Variable(Record):
    """The environment variable that one setting is read from; without a default it is needed."""

    name: str
    parse: Callable[[str], Any]
    default: str | None
    expected: str
    meaning: str


def _setting(variable: str, parse: Callable[[str], Any], default: str | None, expected: str, meaning: str) -> Any:  # noqa: ANN401
    return Variable(variable, parse, default, expected, meaning)


class Settings(Record, kw_only=True):
    """The function's settings, made by `from_env` only. Sizes are bytes, times are seconds, areas are pixels."""

    model_bucket: str = _setting(
        "MODEL_BUCKET", _bucket, None, "a bucket's name alone, no s3:// and no ARN", "bucket of the model bundle"
    )
    model_prefix: str = _setting("MODEL_PREFIX", _prefix, "models/dev/", "a key prefix", "prefix of the bundle in it")
    model_name: str = _setting(
        "MODEL_NAME", _text, "classifier", "a name", "the model's name in replies and in /v1/models/<name>"
    )
    image_bucket: str = _setting(
        "IMAGE_BUCKET", _bucket, "", "a bucket's name alone, or empty to refuse s3key", "bucket that s3key reads from"
    )
    image_prefix: str = _setting(
        "IMAGE_PREFIX", _prefix, "images/", "a key prefix", "the only part of it that s3key may read"
    )
    examples_prefix: str = _setting(
        "EXAMPLES_PREFIX", _prefix, "", "a key prefix, or empty for none", "prefix of the page's example pictures in it"
    )
    models: tuple[str, ...] = _setting(
        "MODELS",
        setting_values.names,
        "",
        "models' names with commas between, or empty",
        "named models that the page offers, too",
    )
    pack_bucket: str = _setting(
        "PACK_BUCKET",
        _text,
        "",
        "a bucket name, or empty when the package holds TensorFlow itself",
        "bucket that TensorFlow's pack is read from",
    )
    pack_prefix: str = _setting("PACK_PREFIX", _prefix, "packs/", "a key prefix", "prefix of the packs in it")
    engine: str = _setting(
        "ENGINE", _one_of("auto", "tensorflow", "litert"), "auto", "auto, tensorflow or litert", "which engine serves"
    )
    model_check_s: float = _setting(
        "MODEL_CHECK_SECONDS", _seconds, "30", "seconds", "how often a warm function asks S3 for a newer bundle"
    )
    swap_settle_s: float = _setting(
        "SWAP_SETTLE_SECONDS",
        _seconds,
        "10",
        "seconds",
        "how long a bundle swapped by hand must be quiet before it counts",
    )
    reload_wait_s: float = _setting(
        "RELOAD_WAIT_SECONDS",
        _seconds,
        "1",
        "seconds",
        "how long a request waits for a newer model before the old one answers",
    )
    compile_patience_s: float = _setting(
        "COMPILE_PATIENCE_SECONDS",
        _seconds,
        "180",
        "seconds",
        "how long the older model serves while a new bundle's compiled form is made, before TensorFlow serves it",
    )
    compile_quantize: tuple[str, ...] = _setting(
        "COMPILE_QUANTIZE",
        _some_of("float16", "int8"),
        "",
        "float16, int8, both or empty",
        "which smaller forms are compiled and measured as well",
    )
    max_model_bytes: int = _setting("MAX_MODEL_BYTES", _whole, "1000000000", "bytes", "largest bundle that is loaded")
    max_image_bytes: int = _setting("MAX_IMAGE_BYTES", _whole, "10000000", "bytes", "largest picture")
    max_batch_images: int = _setting("MAX_BATCH_IMAGES", _whole, "32", "a whole number", "most pictures in one request")
    max_batch_bytes: int = _setting(
        "MAX_BATCH_BYTES", _whole, "50000000", "bytes", "most bytes of all pictures in one request together"
    )
    max_jpeg_pixels: int = _setting("MAX_JPEG_PIXELS", _whole, "50000000", "pixels", "largest JPEG, width x height")
    max_image_pixels: int = _setting(
        "MAX_IMAGE_PIXELS", _whole, "25000000", "pixels", "largest picture of any other format"
    )
    image_formats: tuple[str, ...] = _setting(
        "IMAGE_FORMATS",
        _some_of(*FORMATS, least=1),
        "JPEG,PNG,GIF,WEBP,BMP",
        f"some of {','.join(FORMATS)}",
        "accepted formats",
    )
    decode_timeout_s: float = _setting(
        "DECODE_TIMEOUT_SECONDS", _seconds, "5", "seconds", "longest time for decoding one picture"
    )
    fetch_timeout_s: float = _setting(
        "FETCH_TIMEOUT_SECONDS", _seconds, "8", "seconds", "longest time for a link in all"
    )
    fetch_max_redirects: int = _setting(
        "FETCH_MAX_REDIRECTS", _whole, "4", "a whole number", "most redirects of a link"
    )
    link_hosts: tuple[str, ...] | None = _setting(
        "LINK_HOSTS",
        setting_values.hosts,
        "",
        "host names, also as *.example.com, or off, or empty for any public host",
        "whose links are fetched",
    )
    link_contact: str = _setting(
        "LINK_CONTACT",
        setting_values.contact,
        "",
        "a URL or an e-mail address, or empty",
        "who asks, as a link's server is told: some sites refuse clients that don't say",
    )
    base_path: str = _setting(
        "BASE_PATH",
        setting_values.base_path,
        "",
        "a path such as /ml, or empty",
        "path that a CDN or load balancer keeps in front of the service's own",
    )
    reply_timeout_s: float = _setting(
        "REPLY_TIMEOUT_SECONDS",
        _seconds,
        "27",
        "seconds",
        "after this an HTTP caller gets 503 instead of a gateway time-out",
    )
    caller_header: str = _setting(
        "CALLER_HEADER", _header_name, "", "a header's name, or empty", "header that tells callers apart to a canary"
    )
    cors_allow_origin: str = _setting(
        "CORS_ALLOW_ORIGIN", _text, "*", "an origin, * or empty", "who may call from a browser"
    )
    embed_origins: str = _setting(
        "EMBED_ORIGINS",
        setting_values.origins,
        "",
        "origins separated by spaces, * or empty",
        "sites that may show the page in a frame of theirs",
    )
    s3_encryption: str = _setting(
        "S3_ENCRYPTION",
        setting_values.encryption,
        "",
        f"{', '.join(setting_values.ENCRYPTIONS)}, a KMS key's ARN, or empty",
        "server-side encryption that written objects ask for; empty leaves it to the bucket",
    )
    capture: tuple[float, bool] | None = _setting(
        "CAPTURE",
        setting_values.capture,
        "off",
        "off, a share above 0 and up to 1 such as 0.01, unsure, or both as 0.01,unsure",
        "which requests are kept for the next training, with their pictures",
    )
    cache_control: str = _setting(
        "CACHE_CONTROL",
        _header,
        "no-store",
        "directives of a Cache-Control header",
        "how long others may keep the answer to a GET with s3key",
    )
    log_level: str = _setting(
        "LOG_LEVEL",
        _one_of("debug", "info", "warning", "error"),
        "info",
        "debug, info, warning or error",
        "least level that is logged",
    )
    metric_namespace: str = _setting(
        "METRIC_NAMESPACE",
        _text,
        "",
        "a CloudWatch namespace, or empty for no metrics",
        "where CloudWatch puts the metrics that the log carries",
    )

    @classmethod
    def variables(cls) -> Mapping[str, Variable]:
        """The variable of each field, in their order."""
        return cls._defaults

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read every setting from `environ`; SettingsError names all problems at once."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for field, variable in cls.variables().items():
            raw = environ.get(variable.name, variable.default)
            if not raw and variable.default is None:
                problems.append(f"{variable.name} is not set: expected {variable.expected}")
                continue
            try:
                values[field] = variable.parse(raw or "")
            except ValueError:
                problems.append(f"{variable.name}={raw!r}: expected {variable.expected}")
        if values.get("examples_prefix") and not values.get("image_bucket"):
            problems.append(f"EXAMPLES_PREFIX={values['examples_prefix']!r} needs IMAGE_BUCKET, which is not set")
        if problems:
            raise SettingsError("; ".join(problems))
        return cls(**values)
