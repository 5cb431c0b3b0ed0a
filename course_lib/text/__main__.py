"""`python -m course_lib.text`: does the encoder know what was said?"""

from course_lib.text.probes import probe, table

print(table(probe()))
