"""What each of the learner's commands does: read, grade, print. `autograder.cli` says how they are called."""
