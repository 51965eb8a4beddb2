"""The pictures of README and documentation."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.png"))
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_small_and_shown_on_a_page(picture: Path):
    assert picture.stat().st_size < 300_000
    assert any(f"pictures/{picture.name}" in text.read_text("utf-8") for text in TEXTS)


def test_every_picture_of_the_page_is_there_light_and_dark():
    names = {path.stem for path in PICTURES}
    assert names == {name.replace("light", "dark") for name in names} | {
        name.replace("dark", "light") for name in names
    }
