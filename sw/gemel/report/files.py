"""The files of a profile."""

from __future__ import annotations

from pathlib import Path

from gemel.driver.recording import Recording
from gemel.report.profile import html_report, text_report
from gemel.report.summary import profile_of
from gemel.report.trace import write_trace

__all__ = ["write_profile"]


def write_profile(recording: Recording, out: Path, command: str) -> tuple[str, list[Path]]:
    """Write report.txt, report.html and, where a chip has a clock, trace.json into a directory; the text, the files."""
    profile = profile_of(recording)
    out.mkdir(parents=True, exist_ok=True)
    text = text_report(profile)
    files = [out / "report.txt", out / "report.html"]
    files[0].write_text(text)
    files[1].write_text(html_report(profile, command))
    if profile.timed:
        files.append(out / "trace.json")
        write_trace(files[2], recording)
    return text, files
