"""Contents of modules that a fresh kernel has imported, compared and given back."""

from __future__ import annotations

from types import ModuleType

from PIL import ImageColor

from imagen_nb.batch.warm.clean.contents import ModuleContents


def test_colours_that_pillow_has_parsed_are_given_back() -> None:
    contents = ModuleContents()
    ImageColor.getrgb.cache_clear()  # or what another test has parsed is not parsed again
    before = ImageColor.colormap["teal"] = "#008080"
    contents.add("PIL.ImageColor", ImageColor, is_fresh=True)
    assert ImageColor.getrgb("teal") == (0, 128, 128)
    ImageColor.colormap["leak"] = "#000000"
    assert ImageColor.colormap["teal"] != before
    assert contents.restore(lambda value: False) == []
    assert ImageColor.colormap["teal"] == before
    assert "leak" not in ImageColor.colormap


def test_what_a_table_of_a_library_has_got_is_told() -> None:
    module = ModuleType("library")
    vars(module)["table"] = {"a": 1}
    contents = ModuleContents()
    contents.add("library", module, is_fresh=True)
    module.table["b"] = 2
    assert contents.restore(lambda value: False) == ["library.table is not what it was"]


def test_a_class_of_two_names_is_given_back_once() -> None:
    module = ModuleType("tqdm.library")  # of a package whose classes notebooks patch
    bar = type("bar", (), {"__module__": "tqdm.library"})
    vars(module).update(bar=bar, alias=bar)
    contents = ModuleContents()
    contents.add("tqdm.library", module, is_fresh=False)
    bar.monitor = None
    assert contents.restore(lambda value: False) == []
    assert not hasattr(bar, "monitor")
