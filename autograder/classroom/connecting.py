"""The way to a Dask scheduler: its address, its certificates, and what is said if there is none.

Dask's client reads its configuration itself (`~/.config/dask/*.yaml`, variables that begin with `DASK_`), so
a certificate needs no option of ours. What the client would answer with a traceback or a long wait is looked
at before it starts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import ssl
from pathlib import Path
from typing import Any

CONNECT_SECONDS = 15
SILENT = logging.CRITICAL + 1
LOCAL = re.compile(r"local:([1-9]\d{0,2})")
TLS = "distributed.comm.tls"  # where Dask's configuration names the certificates
VARIABLES = "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and …__CLIENT__KEY"


class ClusterError(RuntimeError):
    """The cluster cannot be used; the message says why, and what to do."""


def dask() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ClusterError(
            f'--cluster needs Dask ({error}): pip install "from-tokens-to-gpt[cluster]", or in the course\'s '
            "folder: .venv/bin/pip install -r requirements.lock"
        ) from None
    except ValueError as error:  # on import Dask reads its configuration
        raise ClusterError(f"Dask cannot read its configuration: {' '.join(str(error).split())}") from None
    return distributed


def connect(address: str, stack: contextlib.ExitStack) -> Any:
    """A client of the scheduler; for `local:N` the cluster is made first, and ends with `stack`.

    Raises:
        ClusterError: there is none, or it does not let this machine in.
    """
    distributed = dask()
    options: dict[str, Any] = {"timeout": CONNECT_SECONDS, "name": "autograder", "set_as_default": False}
    if local := LOCAL.fullmatch(address):
        return distributed.Client(stack.enter_context(local_cluster(int(local[1]))), **options)
    if "://" not in address and not Path(address).is_file():
        raise ClusterError(
            f"there is no Dask scheduler at {address}: expected its address (tcp://HOST:8786), the file "
            "that it wrote, or local:N with a number of workers from 1"
        )
    secured = _location(address).startswith("tls://")
    if secured:
        _certificate_can_be_used(distributed.Security(), address)
    try:
        given = {"scheduler_file": address} if "://" not in address else {"address": address}
        return _client(distributed)(**given, **options)
    except Exception as error:
        first = _first_line(error)
        if secured and _refused(_first(error)):
            raise ClusterError(
                f"the scheduler at {address} and this machine do not accept each other's certificates "
                f"({first}): one authority must have signed both, and be the {TLS}.ca-file of both"
            ) from None
        raise ClusterError(
            f"there is no Dask scheduler at {address} ({type(_first(error)).__name__}: {first}). Start one "
            "with `dask scheduler` and name the address that it prints. If it runs: is its port open to this "
            f"machine, and does it want {'tcp' if secured else 'tls'}://?"
        ) from None


def local_cluster(count: int) -> Any:
    """A cluster on this machine, with `count` workers.

    Raises:
        ClusterError: there cannot be one.
    """
    distributed = dask()
    from dask.config import set as settings

    try:
        # Dask would look every 10 ms at what a worker does, for a dashboard that nobody opens.
        with settings({"distributed.worker.profile.enabled": False}):
            return distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                memory_limit=None,
                silence_logs=SILENT,
            )
    except Exception as error:
        raise ClusterError(
            f"no cluster could be started on this machine ({_first_line(error)}). Without --cluster, its "
            "cores grade as well"
        ) from None


def _first(error: BaseException) -> BaseException:
    """What an error came from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _refused(error: BaseException) -> bool:
    """Whether one side did not like the other's certificate; the scheduler may simply hang up."""
    if isinstance(error, ssl.SSLError):
        return error.reason != "WRONG_VERSION_NUMBER"  # it does not speak TLS
    return isinstance(error, ConnectionResetError | BrokenPipeError)


def _first_line(error: BaseException) -> str:
    return (str(_first(error)).splitlines() or [""])[0][:200]


def _client(distributed: Any) -> Any:
    """Dask's client lets go of what it holds after an OSError alone: after another error it would keep the
    command for half a minute, and then print a traceback."""

    class Client(distributed.Client):  # type: ignore[misc]
        async def _ensure_connected(self, *arguments: Any, **about: Any) -> None:
            try:
                await super()._ensure_connected(*arguments, **about)
            except (RuntimeError, TypeError, ValueError) as error:
                raise OSError(str(error)) from error

    return Client


def _location(address: str) -> str:
    """The scheduler's address, read from its file if that was named."""
    if "://" in address:
        return address
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return str(json.loads(Path(address).read_bytes())["address"])
    return ""


def _certificate_can_be_used(security: Any, address: str) -> None:
    """
    Raises:
        ClusterError: Dask's configuration has no certificate for this machine, or one that cannot be read.
    """
    named = {
        "ca-file": security.tls_ca_file,
        "client.cert": security.tls_client_cert,
        "client.key": security.tls_client_key,
    }
    if missing := [name for name in ("ca-file", "client.cert") if not named[name]]:
        raise ClusterError(
            f"{address} needs a certificate for this machine, and Dask's configuration names no "
            f"{TLS}.{f' and no {TLS}.'.join(missing)}. Write ca-file, client.cert and client.key into a file "
            f"in ~/.config/dask/, or set {VARIABLES}"
        )
    for name, path in named.items():
        if path and "\n" not in path and not Path(path).is_file():  # the text itself may stand there too
            raise ClusterError(f"{address} needs a certificate, and {TLS}.{name} names no file: {path}")
    try:
        security.get_connection_args("client")
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"{address} needs a certificate, and {named['client.cert']} with "
            f"{named['client.key'] or 'no key'} and the authority {named['ca-file']} cannot be used: {error}"
        ) from None
