"""Build the wheel, install it alone in a new environment, and use it from another folder.

Not a pytest file: it installs packages. `make wheel-smoke` runs it, and `make test` with it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*command: object, cwd: Path) -> str:
    """Run a command; show what it printed and stop if it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, text=True, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def refuse(*command: object, cwd: Path, text: str = "") -> None:
    """Run a command that cannot work; stop unless it says so in words, and not as a traceback."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, text=True, capture_output=True, check=False
    )
    is_said = done.returncode in (1, 2) and done.stderr and "Traceback" not in done.stderr
    if not is_said or text not in done.stderr:
        sys.exit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")


def misuse(stemsmith: Path, python: Path, folder: Path) -> None:
    """Give every command wrong arguments, and those that need PyTorch right ones without it."""
    names = run(
        python, "-c", "from stemsmith.cli.main import main; print(*main.commands)", cwd=folder
    )
    missing = [f"missing{number}" for number in range(4)]
    for name in names.split():
        refuse(stemsmith, name, "--no-such-option", cwd=folder)
        for n_arguments in range(1, 5) if name != "demo" else ():  # its folder is a new one
            refuse(stemsmith, name, *missing[:n_arguments], cwd=folder)
    for command in (
        ("separate", "run", "mixture.wav", "separated"),
        ("evaluate", "run:run", "demo/corpus", "results"),
        ("evaluate", "run:run,run:run", "demo/corpus", "results"),
        ("train", "demo/coherent", "run", "--target", "bass"),
        ("demo", "demo", "--train"),
    ):
        refuse(stemsmith, *command, cwd=folder, text="needs torch: pip install")
    print(f"{len(names.split())} commands refuse what is wrong in words")


def main() -> None:
    """Build, install, render."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
        (wheel,) = (folder / "dist").glob("*.whl")
        venv.create(folder / "venv", with_pip=True)
        binaries = folder / "venv" / "bin"
        constraints = ROOT / "constraints.txt"
        run(binaries / "pip", "install", "-q", "-c", constraints, wheel, cwd=folder)
        installed = run(binaries / "pip", "list", cwd=folder)
        assert "torch" not in installed, "rendering must not need torch"
        assert "pedalboard" not in installed, "the core must not need GPL packages"
        print(run(binaries / "stemsmith", "--version", cwd=folder).strip())
        run(binaries / "stemsmith", "demo", folder / "demo", "--jobs", "1", cwd=folder)
        print(run(binaries / "stemsmith", "validate", folder / "demo/corpus", cwd=folder).strip())
        misuse(binaries / "stemsmith", binaries / "python", folder)


if __name__ == "__main__":
    main()
