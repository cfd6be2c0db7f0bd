"""The repository's root is an nbgrader course: solutions/ is its source, chapters/ its release.

`nbgrader generate_assignment 03-attention` writes chapters/03-attention again, byte for byte as
`make notebooks` did: both run the same steps (autograder/stubs.py). The gradebook and the students' folders
are ignored by git. So is release/, from which a class with variants is served (`autograder release`): as soon
as it is there it takes the place of chapters/, and the same steps write the class's variants.
"""

import os
import sys
from pathlib import Path

from autograder.receiving import sanitize_chain
from autograder.stubs import release_chain
from autograder.variants import RELEASE, chosen

# nbgrader calls `alembic` by its bare name: found also where the environment has not been activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

c = get_config()
root = Path(__file__).resolve().parent
own = (root / RELEASE).is_dir()

c.CourseDirectory.course_id = "from-tokens-to-gpt"
c.CourseDirectory.root = str(root)
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = RELEASE if own else "chapters"
c.Stubs.variants = chosen(root) if own else {}

# The release is in the repository already: without this a fresh clone skips the assignment, it never reaches
# the gradebook, and autograde fails.
c.GenerateAssignment.force = True
c.GenerateAssignment.preprocessors = release_chain()

# Only the answers of a submission are taken, and put into the released notebook: a copied cell, which would
# end nbgrader's whole batch, a save without ids, a retyped cell or a renamed kernel do no harm.
c.Autograde.sanitize_preprocessors = sanitize_chain()

# Where released assignments wait to be fetched and answers to be collected. On one machine a folder of the
# course will do; on a server, name one that every account can reach.
c.Exchange.root = str(root / "exchange")
