"""A web application that shows in a minute what mneme does. `python -m showcase` runs it."""
