"""The one class of errors that the course explains; everything else is a mistake of its own."""


class CourseError(ValueError):
    """Something is wrong that the user can mend; the message says what to do.

    The command line shows such a message without a traceback. Rooms have their own kinds of it
    (`FacesError`, `TrainingError`, …).
    """
