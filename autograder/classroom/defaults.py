"""What holds where a command does not say otherwise; here, so that `--help` can say it without torch."""

from __future__ import annotations

ALIKE = 0.9  # from here on, two normalised texts are worth a look
FORMATS = ("generic", "canvas", "moodle")  # of a table of marks
NOTEBOOK_SECONDS = 300.0  # for a whole notebook, on one core; the chapters need up to 40
PATIENCE = 300.0  # for a first worker of a cluster, and for another one after the last has gone
