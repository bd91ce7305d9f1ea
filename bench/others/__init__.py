"""What a team would use instead of Keyfold, each as a program of `bench.programs`.

They run in .venv-bench, where Keyfold's own dependencies are not: nothing here imports Keyfold, and
nothing of Keyfold's imports this.
"""


class Full(Exception):
    """All seats are taken."""
