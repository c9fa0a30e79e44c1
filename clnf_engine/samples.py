"""Pictures to try things on; they come with the packages that CLNF Studio needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from clnf_engine.io.images import Image, read_image

_PORTRAIT = ("matplotlib", "mpl-data", "sample_data", "grace_hopper.jpg")


def sample(name: str = "portrait") -> Image:
    """A picture to try things on.

    ``portrait`` is the one that the window opens: Grace Hopper, 512×600 px, in the public domain. Matplotlib ships it,
    and nobody has annotated its landmarks.

    Parameters
    ----------
    name : str
        ``portrait``; there is no other yet.

    Returns
    -------
    Image
        Its `gray` is what a fit takes, its `path` what commands take.

    Raises
    ------
    ValueError
        When there is no sample of that name.
    ImageFileError
        When this installation of matplotlib lacks it.

    Examples
    --------
    >>> from clnf_engine import sample
    >>> portrait = sample("portrait")
    >>> portrait.gray.shape, portrait.path.name
    ((600, 512), 'grace_hopper.jpg')
    """
    return read_image(sample_path(name))


def sample_path(name: str = "portrait") -> Path:
    """The file of a `sample`, found without loading matplotlib.

    Raises
    ------
    ValueError
        When there is no sample of that name.
    """
    if name != "portrait":
        raise ValueError(f"there is no sample {name!r}; expected 'portrait'")
    package = importlib.util.find_spec(_PORTRAIT[0])
    folder = Path() if package is None or package.origin is None else Path(package.origin).parent
    return folder.joinpath(*_PORTRAIT[1:])
