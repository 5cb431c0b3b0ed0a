"""What instructors do: examine a machine, run the lessons, hand them out, grade answers.

Nothing is imported here: `course doctor` must be able to speak where torch cannot.
"""
