"""What a command may ask the window for: files, texts, docks; the window's dialogs answer."""

from __future__ import annotations

from typing import Protocol


class Dialogs(Protocol):
    """What a command may ask the window for."""

    def ask_image(self) -> None:
        """Let the person choose an image to open."""

    def open_neighbour(self, direction: int) -> None:
        """Open the next or previous image or video of the folder."""

    def ask_model(self) -> None:
        """Let the person choose a model to load."""

    def ask_landmarks(self) -> None:
        """Let the person choose a landmark file to start from."""

    def ask_truth(self) -> None:
        """Let the person choose the true landmarks of the image."""

    def ask_trace_path(self) -> None:
        """Let the person choose where to save the trace."""

    def ask_session(self) -> None:
        """Let the person choose a session file to open."""

    def ask_session_path(self) -> None:
        """Let the person choose where to save the session."""

    def ask_trace(self) -> None:
        """Let the person choose a saved trace to look at."""

    def ask_study(self) -> None:
        """Let the person choose the results of a study to look at."""

    def ask_study_run(self) -> None:
        """Let the person choose what a study is to fit, in which ways, and run it."""

    def ask_faces_path(self) -> None:
        """Let the person choose where to save the faces of the study that are listed."""

    def ask_functions(self) -> None:
        """Let the person choose a Python file whose functions lane B is to run."""

    def ask_steps_path(self) -> None:
        """Let the person choose where to save the step table."""

    def ask_picture_path(self) -> None:
        """Let the person choose where to save a picture of the window."""

    def ask_report_path(self) -> None:
        """Let the person choose where to save a report of the step."""

    def ask_lab_report_path(self) -> None:
        """Let the person choose where to save a report of what the Lab found."""

    def copy_python(self) -> None:
        """Put a program that repeats the run on the clipboard."""

    def show_palette(self) -> None:
        """Show the command palette."""

    def choose_theme(self, theme: str) -> None:
        """Show the program in the colours of the desktop, or in light or dark ones."""

    def reset_layout(self) -> None:
        """Put the docks back as they were made."""

    def ask_stops(self) -> None:
        """Let the person write down when to stop."""

    def show_port(self) -> None:
        """Show how a port connects."""

    def show_help(self) -> None:
        """Show the shortcuts."""

    def show_about(self) -> None:
        """Show versions and licence."""

    def zoom_to_face(self) -> None:
        """Zoom the image view to the landmarks."""

    def zoom_to_image(self) -> None:
        """Zoom the image view to the whole image."""

    def toggle_lab(self) -> None:
        """Bring the Lab to the front, or put it away when it is there."""

    def raise_lab(self) -> None:
        """Bring the Lab to the front."""

    def ask_frames_folder(self) -> None:
        """Let the person choose a folder whose images are the frames of a video."""

    def ask_track_path(self) -> None:
        """Let the person choose where to save the tracking."""

    def edit_frame(self) -> None:
        """Let the person type the number of a frame."""

    def close_window(self) -> None:
        """Close the window."""
