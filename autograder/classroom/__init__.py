"""Grade a class: find what was handed in, reach a verdict on each, record it, hand it back.

`submissions` reads files that anybody may have made; `grader` reaches one student's verdict; `crew` runs
graders side by side; `journal` keeps each verdict from the moment it is reached; `recording` puts verdicts
into nbgrader's gradebook, and `returning` makes the notebook that goes back, whose cells `cleaning` has made
harmless; `feedback`, `exporting` and `similarity` are what an instructor does with verdicts.
"""
