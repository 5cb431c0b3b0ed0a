"""The library behind the course: one module a lesson, and a few that the lessons share."""
