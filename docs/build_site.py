"""Build the docs site: `pip install -e ".[docs]"`, then `python docs/build_site.py [OUT]`.

The pages of `docs/`, the notebooks, benchmarks/RESULTS.md, and a reference made of the docstrings
and of `--help`. A link to nothing, or a name that is not there, ends it with exit code 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from typer.testing import CliRunner

import hinterland
from hinterland.cli.main import COMMANDS, app

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
REFERENCE = (("Python", "reference/python.md"), ("Commands", "reference/commands.md"),
             ("Results", "results.md"))  # fmt: skip
BROKEN = "page does not exist"


def python_page() -> str:
    """Every name of `import hinterland as hl`, with its docstring."""
    lines = ["# Python", "", "What `import hinterland as hl` offers, as its docstrings say it.", ""]
    for name in hinterland.__all__:
        value = getattr(hinterland, name)
        if not name.startswith("_") and hasattr(value, "__qualname__"):
            lines += [f"::: {value.__module__}.{value.__qualname__}", ""]
    return "\n".join(lines)


def commands_page() -> str:
    """Every command: an example, and what `--help` prints."""
    lines = ["# Commands", ""]
    for name, (_, example) in COMMANDS.items():
        said = CliRunner().invoke(app, [*name.split(), "--help"], terminal_width=100)
        if said.exit_code:
            raise SystemExit(f"hinterland {name} --help failed: {said.output}")
        lines += [f"## {name}", "", "```", f"hinterland {name} {example}", "```", "",
                  "```text", said.output.strip(), "```", ""]  # fmt: skip
    return "\n".join(lines)


def write_pages(folder: Path) -> None:
    """Copy the pages, and add those that are made, with links that hold on the site."""
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "reference").mkdir()
    (folder / "reference" / "python.md").write_text(python_page(), encoding="utf-8")
    (folder / "reference" / "commands.md").write_text(commands_page(), encoding="utf-8")
    shutil.copyfile(ROOT / "benchmarks" / "RESULTS.md", folder / "results.md")
    shutil.copytree(ROOT / "examples" / "notebooks", folder / "notebooks")
    for page in folder.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        text = text.replace("../examples/notebooks/", "notebooks/")
        page.write_text(text.replace("../benchmarks/RESULTS.md", "results.md"), encoding="utf-8")


def configuration(pages: Path, site: Path) -> str:
    """mkdocs.yml, with the made pages in its navigation and absolute paths."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    (reference,) = (part["Reference"] for part in config["nav"] if "Reference" in part)
    reference += [{title: page} for title, page in REFERENCE]
    config |= {"docs_dir": pages.name, "site_dir": str(site)}
    options = {"docstring_style": "google", "members_order": "source", "show_root_heading": True,
               "show_source": False, "separate_signature": True, "line_length": 88}  # fmt: skip
    python = {"paths": [str(ROOT / "src")], "options": options}
    config["plugins"] = ["search", {"mkdocstrings": {"handlers": {"python": python}}}]
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def main(out: Path) -> int:
    """Build the site into `out`."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_pages(folder / "pages")
        (folder / "mkdocs.yml").write_text(configuration(folder / "pages", folder / "site"))
        tool = Path(sys.executable).with_name("zensical")
        done = subprocess.run([tool, "build"], cwd=folder, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        # not --strict: brackets in a doctest's answer are taken for references, too
        if done.returncode or BROKEN in done.stdout:
            sys.stderr.write(done.stdout)
            return 1
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder / "site", out)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "site")))
