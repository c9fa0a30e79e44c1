"""The work of ``clnf track``: follow a face, row by row into a file, with a progress bar; then make the other files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from clnf_engine.errors import FileError, VideoFileError
from clnf_engine.initial import Initial
from clnf_engine.io.files import exclusive
from clnf_engine.io.video import VideoSource
from clnf_engine.io.video_writer import EXTENSIONS
from clnf_engine.model import Model
from clnf_engine.options import DetectionOptions, FitOptions, SearchOptions, TrackOptions
from clnf_engine.tracking.journal import Journal, Row, columns, run_name
from clnf_engine.tracking.output import require_parquet, write_json, write_overlay, write_parquet
from clnf_engine.tracking.past import Past
from clnf_engine.tracking.track import check_first, track


class TrackJob:
    """One run of the command.

    Parameters
    ----------
    source : VideoSource
    model : Model
    options : FitOptions
    tracking : TrackOptions
    first : Initial or None
    detection : DetectionOptions or None
    search : SearchOptions or None
        As for `clnf_engine.tracking.track.track`.

    Attributes
    ----------
    done, found : int
        Frames that have a row, also of an earlier run, and those of them with a face.
    journal : Path or None
        The file that grows.

    Raises
    ------
    InitialError
        When `first` does not suit the model or `tracking`.
    """

    def __init__(
        self,
        source: VideoSource,
        model: Model,
        options: FitOptions,
        tracking: TrackOptions,
        first: Initial | None,
        detection: DetectionOptions | None = None,
        search: SearchOptions | None = None,
    ) -> None:
        self.detection, self.search = detection, search
        self.source, self.model, self.options, self.tracking, self.first = source, model, options, tracking, first
        self.done = self.found = 0
        self.journal: Path | None = None
        check_first(model, tracking, first)
        self._run = run_name(source, model, options, tracking, first, detection, search)

    def print_rows(self) -> None:
        """Write the CSV to standard output."""
        print(",".join(columns(self.model, self.detection)), flush=True)
        for row in self._rows(Past()):
            sys.stdout.write(row.text())
            sys.stdout.flush()
            self._count(row)

    def write(self, output: Path, overlay: Path | None = None) -> None:
        """Write, or continue, a file and draw an overlay.

        Parameters
        ----------
        output : Path
            ``.csv``, ``.json`` or ``.parquet``; the last two grow as CSV, with ``.csv`` added to their name.
        overlay : Path, optional
            Video to draw.

        Raises
        ------
        FileError
            When a file cannot be written, or another process writes it; or, after all else is done, when some frames
            could not be decoded.
        """
        self.journal = journal = output if output.suffix == ".csv" else output.with_name(f"{output.name}.csv")
        with exclusive(journal):
            self._write(output, journal, overlay)

    def _write(self, output: Path, journal: Path, overlay: Path | None) -> None:
        damage = self._track_into(journal)
        if output.suffix == ".json":
            write_json(output, journal, self.source.path, self.model, self.options, self.tracking, self.detection)
        elif output.suffix == ".parquet":
            write_parquet(output, journal)
        if overlay is not None:
            write_overlay(overlay, journal, self.source, self.model, self.detection)
        if journal != output:
            journal.unlink()
        if damage is not None:
            raise damage

    def _track_into(self, path: Path) -> VideoFileError | None:
        """Follow the face from where the file ends; what was wrong with the video, if anything."""
        with Journal(path, self.source, self.model, self._run, self.detection, self.tracking.rules) as journal:
            self.done, self.found = journal.rows, journal.found
            try:
                for row in self._rows(journal.past):
                    journal.append(row)
                    self._count(row)
            except VideoFileError as error:
                return error
        return None

    def _rows(self, past: Past) -> Iterator[Row]:
        chosen = (self.options, self.tracking, self.first, past, self.detection, self.search)
        results = track(self.source, self.model, *chosen)
        total = len(self.source)
        with tqdm(total=total, initial=past.frame, unit="frame", desc="tracking", disable=None) as bar:
            for result in results:
                yield Row.of(result, self.model, self.tracking, self._run, self.detection)
                bar.update(result.index + 1 - bar.n)

    def _count(self, row: Row) -> None:
        self.done += 1
        self.found += row.success


def check_names(output: Path, overlay: Path | None) -> None:
    """Find out before the work whether its files can be written.

    Raises
    ------
    ClnfError
        For an extension of another kind, or Parquet without pyarrow.
    """
    _check_extension(output, (".csv", ".json", ".parquet"))
    if output.suffix == ".parquet":
        require_parquet()
    if overlay is not None:
        _check_extension(overlay, EXTENSIONS)


def _check_extension(path: Path, known: tuple[str, ...]) -> None:
    if path.suffix not in known:
        expected = f"{', '.join(known[:-1])} or {known[-1]}"
        raise FileError(path, "", f"has the extension {path.suffix or 'none'}; expected {expected}")
