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


if __name__ == "__main__":
    main()
