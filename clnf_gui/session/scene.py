"""Scene: what is looked at, whoever looks and however: model, image, faces, truth, video and frame."""

from __future__ import annotations

from pathlib import Path

from clnf_engine import Initial, Model, VideoSource
from clnf_engine.arrays import Floats
from clnf_engine.io.images import Image


class Scene:
    """The picture that is shown and what is known of it.

    Attributes
    ----------
    model : Model or None
    image : Image or None
        The photo, or the frame that is shown.
    faces : tuple of Initial
        Those detected in `image`, the likeliest first.
    start : Initial or None
        Where a fit of an image starts that was given no other start.
    truth : (n, 2) float64 or None
        True landmarks of the image, image px.
    truth_path : Path or None
        Their file.
    video : VideoSource or None
    times : list of float
        Of all frames, seconds; empty without a video.
    """

    model: Model | None = None
    image: Image | None = None
    faces: tuple[Initial, ...] = ()
    start: Initial | None = None
    truth: Floats | None = None
    truth_path: Path | None = None
    video: VideoSource | None = None

    def __init__(self) -> None:
        self.times: list[float] = []
        self._frame = 0

    @property
    def frame(self) -> int | None:
        """Number of the frame that is shown, from 0; None without a video."""
        return None if self.video is None else self._frame

    def set_model(self, model: Model) -> None:
        """Look with another model; what it said of the image is forgotten."""
        self.model, self.faces, self.start = model, (), None

    def set_image(self, image: Image) -> None:
        """Look at an image."""
        self.video, self.times = None, []
        self._show(image)

    def set_video(self, video: VideoSource, image: Image, frame: int) -> None:
        """Look at a frame of a video."""
        self.video, self._frame = video, frame
        self.times = [video.timestamp(k) for k in range(len(video))]
        self._show(image)

    def set_frame(self, image: Image, frame: int, faces: tuple[Initial, ...]) -> None:
        """Look at another frame of the video; no faces are known of it unless the detector was asked."""
        if frame != self._frame or faces:
            self.faces = faces
        self.image, self._frame = image, frame

    def set_faces(self, faces: tuple[Initial, ...], start: Initial) -> None:
        """The faces found in the image, and where a fit of it starts."""
        self.faces, self.start = faces, start

    def set_truth(self, truth: Floats | None, path: Path | None) -> None:
        """The true landmarks of the image."""
        self.truth, self.truth_path = truth, path

    def close_video(self) -> VideoSource | None:
        """Look at the frame that is shown as at an image; the video, if there is one, is for the caller to close."""
        video, self.video, self.times = self.video, None, []
        return video

    def _show(self, image: Image) -> None:
        self.image, self.faces, self.start = image, (), None
        self.set_truth(None, None)
