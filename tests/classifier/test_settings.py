"""Settings from the environment."""

from __future__ import annotations

from typing import Any

import pytest

from classifier.settings import Settings, SettingsError

KMS_KEY = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/0a1b-2c3d"
NEEDED = {"MODEL_BUCKET": "models"}


def test_only_the_bucket_must_be_given() -> None:
    settings = Settings.from_env(NEEDED)
    assert (settings.model_bucket, settings.model_prefix, settings.engine) == ("models", "models/dev/", "auto")
    assert settings.image_formats == ("JPEG", "PNG", "GIF", "WEBP", "BMP")
    assert (settings.max_image_bytes, settings.max_jpeg_pixels, settings.max_image_pixels) == (
        10_000_000,
        50_000_000,
        25_000_000,
    )


@pytest.mark.parametrize(
    ("variable", "field", "value", "expected"),
    [
        ("MODEL_PREFIX", "model_prefix", "/models/prod", "models/prod/"),
        ("MODEL_PREFIX", "model_prefix", "/", ""),
        ("IMAGE_PREFIX", "image_prefix", "", ""),
        ("ENGINE", "engine", "litert", "litert"),
        ("MODEL_CHECK_SECONDS", "model_check_s", "0.5", 0.5),
        ("MODEL_CHECK_SECONDS", "model_check_s", "0", 0.0),
        ("MAX_IMAGE_BYTES", "max_image_bytes", "1", 1),
        ("FETCH_MAX_REDIRECTS", "fetch_max_redirects", "0", 0),
        ("IMAGE_FORMATS", "image_formats", "jpeg, Tiff", ("JPEG", "TIFF")),
        ("LOG_LEVEL", "log_level", "debug", "debug"),
        ("S3_ENCRYPTION", "s3_encryption", "", ""),
        ("S3_ENCRYPTION", "s3_encryption", "aws:kms:dsse", "aws:kms:dsse"),
        ("S3_ENCRYPTION", "s3_encryption", KMS_KEY, KMS_KEY),
        ("CORS_ALLOW_ORIGIN", "cors_allow_origin", "", ""),
        ("EMBED_ORIGINS", "embed_origins", "https://a.example *", "https://a.example *"),
    ],
)
def test_values_are_read_as_their_kind(variable: str, field: str, value: str, expected: Any) -> None:
    assert getattr(Settings.from_env({**NEEDED, variable: value}), field) == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MODEL_BUCKET", ""),
        ("ENGINE", "fast"),
        ("ENGINE", ""),
        ("MODEL_CHECK_SECONDS", "-1"),
        ("MODEL_CHECK_SECONDS", "nan"),
        ("MODEL_CHECK_SECONDS", "inf"),
        ("MODEL_CHECK_SECONDS", "10s"),
        ("MAX_IMAGE_BYTES", "-1"),
        ("MAX_IMAGE_BYTES", "10MB"),
        ("MAX_IMAGE_BYTES", "1e6"),
        ("MAX_IMAGE_BYTES", ""),
        ("IMAGE_FORMATS", "JPEG,EPS"),
        ("IMAGE_FORMATS", "WMF"),
        ("LOG_LEVEL", "loud"),
        ("S3_ENCRYPTION", "kms"),
        ("MODEL_BUCKET", "s3://their-models"),
        ("MODEL_BUCKET", "arn:aws:s3:::their-models"),
        ("IMAGE_BUCKET", "their-pictures/cats"),
        ("S3_ENCRYPTION", "arn:aws:s3:::bucket"),
    ],
)
def test_a_wrong_value_is_refused_with_variable_value_and_expected_form(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**NEEDED, variable: value})
    assert variable in str(caught.value)
    assert value in str(caught.value)
    assert "expected" in str(caught.value)


def test_every_problem_is_in_one_error() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"ENGINE": "fast", "LOG_LEVEL": "loud", "MAX_MODEL_BYTES": "much"})
    problems = str(caught.value).split("; ")
    assert [problem.partition("=")[0].partition(" ")[0] for problem in problems] == [
        "MODEL_BUCKET",
        "ENGINE",
        "MAX_MODEL_BYTES",
        "LOG_LEVEL",
    ]


def test_each_setting_has_its_own_variable_and_says_what_it_means() -> None:
    variables = Settings.variables().values()
    assert len({variable.name for variable in variables}) == len(variables)
    for variable in variables:
        assert variable.name.isupper()
        assert variable.meaning
        assert variable.expected


def test_every_default_is_a_value_that_could_have_been_given() -> None:
    defaults = {variable.name: variable.default for variable in Settings.variables().values() if variable.default}
    assert Settings.from_env({**NEEDED, **defaults}) == Settings.from_env(NEEDED)
