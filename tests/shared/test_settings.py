"""Settings: what follows from several of them."""

import pytest

from shared.settings import PicturesBy, Settings


@pytest.mark.parametrize(
    ("objects_url", "pictures_by", "reaches_all"),
    [
        ("file:///objects", PicturesBy.WRITER, False),
        ("file:///objects", PicturesBy.DETECTOR, True),
        ("memory://", PicturesBy.WRITER, False),
        ("s3://bucket/folder", PicturesBy.WRITER, True),
        ("gs://bucket", PicturesBy.DETECTOR, True),
    ],
)
def test_all_services_reach_a_bucket_or_a_store_that_detectors_write_to(
    objects_url: str, pictures_by: PicturesBy, reaches_all: bool
) -> None:
    settings = Settings.load({"objects_url": objects_url, "pictures_by": pictures_by})
    assert settings.store_reaches_all is reaches_all
