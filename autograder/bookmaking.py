"""Build the book: `python -m autograder.bookmaking`, which `make book` calls.

Warnings are errors. Nothing is executed: a chapter's outputs come from `solutions/`. A second build reads and
writes only what changed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REDIRECT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={page}">
<title>{title}</title>
</head>
<body><main><h1>{title}</h1><p><a href="{page}">Open the book</a></p></main></body>
</html>
"""


def build(root: Path, output: Path, *, verbose: bool = False) -> int:
    """Build `root`'s book into `output`/html; the exit status: 0, or 1 if there was an error or a warning."""
    import yaml
    from jupyter_book.sphinx import build_sphinx  # slow to import, and not needed for --help

    # It looks at every object in memory, and some of torch's complain when looked at.
    warnings.filterwarnings("ignore", category=FutureWarning, module="sphinx_external_toc")
    html, doctrees = output / "html", output / ".doctrees"
    status = build_sphinx(
        str(root),
        str(html),
        path_config=str(root / "_config.yml"),
        doctreedir=str(doctrees),
        noconfig=True,
        confoverrides={"latex_individualpages": False, "nitpicky": True},
        warningiserror=True,
        keep_going=True,
        quiet=not verbose,
    )
    if status != 0:
        # Sphinx keeps the pages that it has read, and would not repeat their warnings the next time.
        shutil.rmtree(doctrees, ignore_errors=True)
        return 1
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    first = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))["root"]
    (html / "index.html").write_text(REDIRECT.format(page=f"{first}.html", title=config["title"]), "utf-8")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m autograder.bookmaking", description="Build the book.")
    parser.add_argument("--output", type=Path, default=ROOT / "_build", help="where html/ goes (_build)")
    parser.add_argument("--fresh", action="store_true", help="forget the last build first")
    parser.add_argument("--verbose", action="store_true", help="show each page as it is read and written")
    options = parser.parse_args(arguments)
    output = options.output.resolve()
    try:
        import jupyter_book  # noqa: F401
    except ImportError:
        print(
            "The book needs Jupyter Book, which is not in this environment. `make env` installs it; or\n"
            f"{sys.executable} -m pip install 'from-tokens-to-gpt[course,book]'",
            file=sys.stderr,
        )
        return 2
    if options.fresh:
        for folder in (output / "html", output / ".doctrees"):
            shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    if build(ROOT, output, verbose=options.verbose):
        print(
            "\nThe book was not built: mend what is said above, then run the same command.", file=sys.stderr
        )
        return 1
    print(f"The book is built ({time.monotonic() - started:.0f} s): open {output / 'html' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
