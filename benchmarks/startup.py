"""What it costs to begin: an empty Python, `import stemsmith`, and the help of commands.

CPU seconds of whole processes, the lowest of several tries, as the machine may be shared::

    python benchmarks/startup.py
"""

from __future__ import annotations

import resource
import subprocess
import sys

N_TRIES = 10
PROGRAMS = {
    "python -c pass": ["-c", "pass"],
    "import stemsmith": ["-c", "import stemsmith"],
    "stemsmith --help": ["-m", "stemsmith.cli.main", "--help"],
    "stemsmith render --help": ["-m", "stemsmith.cli.main", "render", "--help"],
}


def cpu_s(arguments: list[str]) -> float:
    """Return the CPU seconds of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-P", *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Time all programs in turn, and print the lowest of each."""
    tries: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(N_TRIES):
        for name, arguments in PROGRAMS.items():
            tries[name].append(cpu_s(arguments))
    for name, seconds in tries.items():
        print(f"{name:26}{min(seconds):6.3f} CPU s")


if __name__ == "__main__":
    main()
