"""Make the notebooks: `python -m autograder.notebooks`, which `make notebooks` calls.

From each manuscript come two: `solutions/03-attention/03-attention.ipynb`, solved and executed, and
`chapters/03-attention/03-attention.ipynb`, the learner's. Both have the same cells under the same ids. A
solution is executed again only if something that runs has changed.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from tqdm import tqdm

from autograder import exercises
from autograder.executing import ExecutionFailed, execute, points_of
from autograder.files import write_atomically
from autograder.manuscript import Manuscript, ManuscriptError, read
from autograder.solving import Solved, solve
from autograder.sources import OURS
from autograder.stubs import release

ROOT = Path(__file__).resolve().parent.parent


class MakingError(RuntimeError):
    """The notebooks cannot be made; the message says why and what to do."""


def repository(root: Path) -> str:
    """The course's address, from `pyproject.toml`: Colab installs it from there.

    Raises:
        MakingError: `pyproject.toml` names none.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8")).get("project", {})
    urls = {name.lower(): address for name, address in project.get("urls", {}).items()}
    for name in ("repository", "source", "homepage"):
        if name in urls:
            return urls[name].rstrip("/").removesuffix(".git")
    raise MakingError(
        "pyproject.toml names no repository, from which Colab could install the course: "
        'add [project.urls] with Repository = "https://…"'
    )


def comparable(notebook: NotebookNode) -> dict[str, Any]:
    """A notebook without what may differ from machine to machine: outputs, counts, the language's version."""
    plain = json.loads(nbformat.writes(notebook))
    plain["metadata"].get("language_info", {}).pop("version", None)
    for cell in plain["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return plain


def make(
    root: Path,
    output: Path,
    *,
    slugs: Sequence[str] = (),
    run: bool = True,
    fresh: bool = False,
    quiet: bool = True,
) -> list[Path]:
    """Write `chapters/` and `solutions/` below `output` from the manuscripts below `root`; return the files.

    Without `run`, solutions are not executed and have no outputs. With `fresh`, all are executed again.

    Raises:
        ManuscriptError: with the problems of all manuscripts; nothing has been written.
        MakingError: a solution failed, or did not reach all its points.
    """
    address = repository(root)
    chosen = [solve(manuscript, address) for manuscript in _read_all(root, slugs)]
    made: list[Path] = []
    with tqdm(chosen, desc="notebooks", unit="chapter", disable=quiet) as bar:
        for solved in bar:
            bar.set_postfix_str(solved.slug)
            target = output / "solutions" / solved.slug / f"{solved.slug}.ipynb"
            notebook = _with_outputs(solved, target, fresh, bar) if run else solved.notebook
            made += [target, output / "chapters" / solved.slug / f"{solved.slug}.ipynb"]
            _write_changed(target, (nbformat.writes(notebook).rstrip("\n") + "\n").encode())
            _write_changed(made[-1], release(notebook))
    if not slugs:
        _remove_stale(output, set(made))
    return made


def _read_all(root: Path, slugs: Sequence[str]) -> list[Manuscript]:
    catalogue = exercises.chapters()
    if unknown := set(slugs) - {chapter.slug for chapter in catalogue}:
        known = ", ".join(chapter.slug for chapter in catalogue)
        raise MakingError(f"there is no chapter {sorted(unknown)[0]!r}: there are {known}")
    files = {root / "book" / f"{chapter.slug}.md" for chapter in catalogue}
    files |= set((root / "book").glob("[0-9][0-9]-*.md"))
    manuscripts, broken = [], []
    for file in sorted(files):
        if slugs and file.stem not in slugs:
            continue
        try:
            manuscripts.append(read(file, catalogue, file.relative_to(root).as_posix()))
        except ManuscriptError as error:
            broken.append(error)
    if len(broken) == 1:
        raise broken[0]
    if broken:
        raise MakingError("\n".join(map(str, broken)))
    return manuscripts


def _with_outputs(solved: Solved, target: Path, fresh: bool, bar: Any) -> NotebookNode:
    """The notebook executed, or with the outputs of last time where nothing that runs has changed."""
    last = None if fresh else _outputs_of(target, solved.notebook)
    if last is not None:
        notebook = copy.deepcopy(solved.notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.execution_count, cell.outputs = last[cell.id]
        return notebook
    path = solved.manuscript.path
    try:
        notebook = execute(
            solved.notebook,
            on_cell=lambda done, of: bar.set_postfix_str(f"{solved.slug}, cell {done} of {of}"),
        )
    except ExecutionFailed as failure:
        line = solved.lines.get(failure.cell_id, 1)
        raise MakingError(f"{path}:{line}: {failure}") from None
    for grade_id, (points, most) in points_of(notebook).items():
        if points != most:
            line = solved.lines[grade_id]
            raise MakingError(
                f"{path}:{line}: the course's own answer gets {points:g} of {most:g} points in {grade_id}: "
                "mend the exercise in autograder/exercises, or the answer"
            )
    return notebook


def _outputs_of(target: Path, wanted: NotebookNode) -> dict[str, tuple[Any, Any]] | None:
    """By cell id, the outputs of a solution that was executed from the same sources; else None."""
    try:
        old = nbformat.read(target, as_version=4)
        cells = [cell for cell in old.cells if cell.cell_type == "code"]
        if old.metadata[OURS]["sources"] != wanted.metadata[OURS]["sources"]:
            return None
        code = [cell.id for cell in wanted.cells if cell.cell_type == "code"]
        if [cell.id for cell in cells] != code or any(cell.execution_count is None for cell in cells):
            return None
        return {cell.id: (cell.execution_count, cell.outputs) for cell in cells}
    except Exception:  # missing, damaged, edited by hand: whatever it is, executing again mends it
        return None


def _write_changed(path: Path, data: bytes) -> None:
    """Leave a file alone that is right already: what depends on its time is not built again."""
    if not path.is_file() or path.read_bytes() != data:
        write_atomically(path, data)


def _remove_stale(output: Path, made: Iterable[Path]) -> None:
    """Take away the notebooks of chapters that are no more."""
    kept = set(made)
    for folder in ("chapters", "solutions"):
        for path in (output / folder).glob("[0-9][0-9]-*/*.ipynb"):
            if path not in kept and re.match(re.escape(path.parent.name), path.stem):
                path.unlink()
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m autograder.notebooks", description="Make chapters/ and solutions/ from book/."
    )
    parser.add_argument("slugs", nargs="*", metavar="CHAPTER", help="only these, such as 03-attention")
    parser.add_argument("--root", type=Path, default=ROOT, help="where book/ and pyproject.toml are")
    parser.add_argument("--output", type=Path, help="where chapters/ and solutions/ go (the root)")
    parser.add_argument("--fresh", action="store_true", help="execute every solution again")
    parser.add_argument("--no-run", action="store_true", help="execute nothing: solutions get no outputs")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    try:
        made = make(
            root,
            (options.output or root).resolve(),
            slugs=options.slugs,
            run=not options.no_run,
            fresh=options.fresh,
            quiet=not sys.stderr.isatty(),
        )
    except (ManuscriptError, MakingError) as error:
        print(f"{error}\n\nNothing was written for what is named above.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What is written is whole; the same command goes on.", file=sys.stderr)
        return 130
    print(f"{len(made) // 2} chapter{'s' * (len(made) != 2)} in chapters/ and solutions/: up to date.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
