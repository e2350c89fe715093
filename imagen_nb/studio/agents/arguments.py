"""The arguments that agents give to tools: their types, bounds and descriptions.

They become the JSON schema that an agent reads; what does not fit is refused before the
tool is called.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from imagen_nb.request.request import MAX_SEED
from imagen_nb.studio.agents.answers import MAX_ROWS, MAX_THUMBNAIL_PIXELS

_MAX_AXIS_VALUES = 16  # of one axis of a sweep; the bounds say how many pictures

_MAX_EXAMPLES = 16  # pictures that others shall be like

Text = Annotated[str, Field(max_length=2000)]
Word = Annotated[str, Field(min_length=1, max_length=100)]
Words = Annotated[list[Word], Field(max_length=100)]
NewTags = Annotated[list[Word], Field(min_length=1, max_length=16)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Source = Literal["auto", "local", "cloud", "merged"]
RowCount = Annotated[int, Field(ge=1, le=MAX_ROWS)]
AtLeastOne = Annotated[int, Field(ge=1)]
PixelCount = Annotated[int, Field(ge=1, description="Pixels.")]
Guidance = Annotated[float, Field(ge=0)]
SizeText = Annotated[
    str,
    Field(
        pattern=r"^\d{1,5}x\d{1,5}$",
        description="Width and height in pixels, like 128x192.",
    ),
]
ThumbnailSide = Annotated[
    int,
    Field(ge=16, le=MAX_THUMBNAIL_PIXELS, description="Pixels of the longer side."),
]
PictureId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-fA-F-]{8,36}$",
        description="The picture's id, or its first 8 digits or more.",
    ),
]
PictureIds = Annotated[list[PictureId], Field(min_length=1, max_length=MAX_ROWS)]

# Of `history`.
WantedWords = Annotated[
    Text, Field(description='Words that all occur; "an exact phrase"; -without.')
]
Since = Annotated[
    Word, Field(description="Like 7d, 2 weeks, yesterday, or 2026-05-11.")
]
Until = Annotated[Word, Field(description="As since; a day is included.")]
OneOf = Annotated[Words, Field(description="One of these.")]
AllOf = Annotated[Words, Field(description="All of these.")]
OneOfSeeds = Annotated[list[Seed], Field(max_length=100, description="One of these.")]

# Of `find`.
SeenWords = Annotated[
    Text, Field(description="What is seen in the pictures, in plain words.")
]
UnseenWords = Annotated[Text, Field(description="What should not be seen in them.")]
LikeIds = Annotated[
    list[PictureId],
    Field(max_length=_MAX_EXAMPLES, description="Ids of pictures that are like it."),
]
UnlikeIds = Annotated[
    list[PictureId],
    Field(max_length=_MAX_EXAMPLES, description="Ids of pictures that are not."),
]

# Of `sweep`: each a list of values.
Prompts = Annotated[
    list[Text],
    Field(
        min_length=1,
        max_length=_MAX_AXIS_VALUES,
        description="{red|blue} in a prompt stands for each in turn.",
    ),
]
SeedList = Annotated[list[Seed], Field(max_length=_MAX_AXIS_VALUES)]
StepsList = Annotated[list[AtLeastOne], Field(max_length=_MAX_AXIS_VALUES)]
GuidanceList = Annotated[list[Guidance], Field(max_length=_MAX_AXIS_VALUES)]
SizeList = Annotated[list[SizeText], Field(max_length=_MAX_AXIS_VALUES)]
