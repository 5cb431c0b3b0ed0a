"""`python -m course_lib.judge`: how far the judge can be trusted."""

from course_lib.judge.trust import main

main()
