"""A small project with a suite of its own, as a user of the pytest plugin has; a test copies it."""
