"""Draws docs/report.png, a report's first screens: python docs/screenshot.py DEMO/report.html

Needs Chromium on the PATH. The report is that of `hinterland demo`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

SIZE = (1100, 1240)  # of the window
COLOURS = 128
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
)  # fmt: skip


def main() -> None:
    report = Path(sys.argv[1]).resolve()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not on the PATH; install it to draw the report's picture.")
    with TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        window = f"--window-size={SIZE[0]},{SIZE[1]}"
        profile = f"--user-data-dir={folder}/profile"
        command = [chromium, *FLAGS, window, profile, f"--screenshot={shot}", report.as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        picture = Image.open(shot).convert("RGB").quantize(COLOURS)
    picture.save(Path(__file__).with_name("report.png"), optimize=True)


if __name__ == "__main__":
    main()
