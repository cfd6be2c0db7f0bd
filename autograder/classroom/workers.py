"""The workers of a Dask cluster: who is there, who can grade, and how long to wait for one."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from autograder.classroom.connecting import ClusterError, dask

REMIND_SECONDS = 30.0
LOOK_SECONDS = 1.0
START = "dask worker ADDRESS --nworkers -1 --nthreads 1"
KEPT = "What was graded is kept: run the same command again to go on"


class Workers:
    """The workers that `client` reaches through its scheduler, at `address`.

    patience: seconds to wait for one.
    say:      tells the instructor what is being waited for.
    gpu:      whether a job can go only to one that offers a GPU.
    """

    def __init__(self, client: Any, address: str, patience: float, say: Callable[[str], None]):
        self.address, self.patience, self.say = address, patience, say
        self.gpu = False
        self.fit = 0  # how many a job can go to
        self._client = client
        self._looked = self._seen = self._said = 0.0  # when: for workers; at one; that there is none

    def fitting(self, *, gpu: bool | None = None) -> dict[str, Any]:
        """Those that a job can go to, with what the scheduler knows of each."""
        gpu = self.gpu if gpu is None else gpu
        known = self._client.scheduler_info()["workers"]
        return {w: about for w, about in known.items() if not gpu or about["resources"].get("GPU", 0) >= 1}

    def look(self) -> None:
        """Count them again, if that was not done just now.

        Raises:
            ClusterError: the scheduler has gone, or there has been no worker for too long.
        """
        if time.monotonic() > self._looked + LOOK_SECONDS:
            self._look()

    def wait(self) -> None:
        """Until there is one.

        Raises:
            ClusterError: as for `look`.
        """
        while True:
            self._look()
            if self.fit:
                return
            time.sleep(min(LOOK_SECONDS, self.patience))

    def _look(self) -> None:
        self._looked = now = time.monotonic()
        if self._client.status not in ("running", "connecting"):
            raise ClusterError(f"the scheduler at {self.address} has gone. {KEPT}")
        with contextlib.suppress(OSError, KeyError):
            self.fit = len(self.fitting())
        if self.fit or not self._seen:
            self._seen = now
        missed = now - self._seen
        if missed > self.patience:
            raise ClusterError(
                f"there has been no worker at {self.address} for {missed:.0f} s. Start some ({START}), "
                f"or wait longer with --cluster-wait S. {KEPT}"
            )
        if not self.fit and now > self._said + REMIND_SECONDS:
            self._said = now
            left = self.patience - missed
            self.say(f"no worker at {self.address}: waiting {left:.0f} s more for one ({START})")

    def begin(self, order: dict[str, Any]) -> list[str]:
        """Every worker starts its grader. The levels of isolation that they reach, each once.

        Raises:
            ClusterError: one cannot, and is named.
        """
        workers = self.fitting()
        self.fit = len(workers)
        self.say(f"starting the graders of {self.fit} worker{'s' * (self.fit > 1)} at {self.address}")
        begin = _there_meanwhile("begin")
        told = self._client.run(begin, order, workers=list(workers), on_error="return")
        unfit = []
        for worker, answer in told.items():
            if isinstance(answer, ModuleNotFoundError):
                raise ClusterError(no_course(answer))
            if isinstance(answer, OSError):  # it went meanwhile
                continue
            why = answer.get("unfit") if isinstance(answer, dict) else f"{type(answer).__name__}: {answer}"
            unfit += [f"{worker}: {why}"] if why else []
        if unfit:
            more = f" (and {len(unfit) - 3} more)" * (len(unfit) > 3)
            raise ClusterError(
                f"{len(unfit)} of {len(told)} workers cannot grade. {'; '.join(unfit[:3])}{more}. "
                "Mend it there, start those workers again, and run the command once more"
            )
        if any(about["nthreads"] > 1 for about in workers.values()):
            self.say(f"a worker grades one submission at a time, whatever its threads: {START}")
        return sorted({a["isolation"] for a in told.values() if isinstance(a, dict)})

    def end(self, token: str) -> None:
        """They let go of the graders of a run."""
        if self._client.status == "running":
            with contextlib.suppress(Exception):
                self._client.run(_there_meanwhile("end"), token, on_error="ignore")

    def compare_versions(self) -> None:
        """Processes that speak to each other in pickles must agree in Python and in Dask.

        Raises:
            ClusterError: they do not.
        """
        found = self._client.get_versions()
        here = _here()
        others = {"the scheduler": found["scheduler"], **found["workers"]}
        for who, about in others.items():
            theirs = _packages(about)
            if theirs != here:
                raise ClusterError(
                    f"{who} at {self.address} has {_named(theirs)}, and this machine has {_named(here)}. "
                    "Install the course's requirements.lock on every machine, with the same Python"
                )


def there(name: str) -> Callable[..., Any]:
    """A function of `autograder.classroom.station`, sent by its text: the scheduler needs no course."""

    def at_the_worker(*arguments: Any) -> Any:
        import importlib

        return getattr(importlib.import_module("autograder.classroom.station"), name)(*arguments)

    return at_the_worker


def _there_meanwhile(name: str) -> Callable[..., Any]:
    """The same beside the worker's jobs, and without holding up its conversation with the scheduler."""
    at_once = there(name)

    async def at_the_worker(*arguments: Any) -> Any:
        import asyncio

        return await asyncio.to_thread(at_once, *arguments)

    return at_the_worker


def no_course(missing: ModuleNotFoundError) -> str:
    return (
        f"a worker does not have the course ({missing}). On each machine of the cluster: pip install "
        '"from-tokens-to-gpt[course,cluster]" from this checkout, then start its workers in that environment'
    )


def _here() -> tuple[str, str]:
    return f"{sys.version_info[0]}.{sys.version_info[1]}", dask().__version__


def _packages(about: dict[str, Any]) -> tuple[str, str]:
    packages = about.get("packages", {})
    python = ".".join(str(packages.get("python", "?")).split(".")[:2])
    return python, str(packages.get("distributed", "?"))


def _named(versions: tuple[str, str]) -> str:
    return "Python {} with distributed {}".format(*versions)
