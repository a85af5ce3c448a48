"""What a wheel holds beyond the sources: the sample of `strangler demo`, and the modules of the traffic path as C.

The modules that every request passes through are compiled by mypyc from the very same files: nothing is written twice, and
what mypy has proved of them is what makes them fast. They cost a third of the processor time less than as Python
(bench/RESULTS.md). Only in a wheel: in a checkout a compiled module would hide the file beside it, whoever edits that.

Without a C compiler, or with STRANGLER_PURE=1, the wheel holds Python alone and does the same, more slowly; STRANGLER_NATIVE=1
makes that an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SAMPLE = ("routes.yaml", "accounts.csv", "flags", "segments")

# Run by a Python of its own, in a copy of the sources: mypyc leaves its products beside them.
_COMPILE = """
import sys
from mypyc.build import mypycify
from setuptools import setup
modules = mypycify(["--config-file=", "--ignore-missing-imports", *sys.argv[1:]], opt_level="3", debug_level="0", group_name="strangler")
if sys.platform != "win32":
    for module in modules:
        module.extra_compile_args += ["-include", "cold.h"]
setup(name="strangler", packages=[], ext_modules=modules, script_args=["-q", "build_ext", "--inplace"])
"""


# What errors alone reach, said to gcc and clang: they then keep the branches that lead there out of the way of what every
# request runs, which has to fit into the processor's first cache.
_COLD = """
struct _object;
void CPy_AddTraceback(const char *, const char *, int, struct _object *) __attribute__((cold));
void CPy_TypeError(const char *, struct _object *) __attribute__((cold));
void CPy_TypeErrorTraceback(const char *, const char *, int, struct _object *, const char *, struct _object *) __attribute__((cold));
void CPyError_OutOfMemory(void) __attribute__((cold));
static void CPy_DecRef(struct _object *) __attribute__((cold));
"""


class WheelHook(BuildHookInterface[Any]):
    """Adds to a wheel that stands alone; an editable installation runs the checkout as it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Say what the wheel holds."""
        if version != "standard":
            return
        inside = build_data["force_include"]
        inside.update({part: f"proxy/cli/demo/sample_files/{part}" for part in _SAMPLE})
        if os.environ.get("STRANGLER_PURE") == "1":
            return
        why_not = self._compile()
        if why_not is None:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            compiled = [*self._scratch.glob("*.so"), *(self._scratch / "proxy").rglob("*.so")]
            inside.update({str(path): str(path.relative_to(self._scratch)) for path in compiled})
        elif os.environ.get("STRANGLER_NATIVE") == "1":
            raise RuntimeError(why_not)
        else:
            self.app.display_warning(
                f"{why_not}\nThe wheel holds Python alone, which costs more processor time a request."
            )

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clean up."""
        del version, build_data, artifact_path
        if hasattr(self, "_scratch"):
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _compile(self) -> str | None:
        """Compile into a copy of the sources; says why not when it can't be done."""
        compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
        if shutil.which(compiler) is None:
            return f"No C compiler ({compiler}) on PATH; on Debian and Ubuntu: apt install gcc python3-dev"
        self._scratch = Path(tempfile.mkdtemp(prefix="strangler-native-"))
        shutil.copytree(Path(self.root, "proxy"), self._scratch / "proxy", ignore=shutil.ignore_patterns("*.so"))
        (self._scratch / "cold.h").write_text(_COLD)
        kept = set(self.config["native-except"])
        found = (path for pattern in self.config["native"] for path in sorted(Path(self.root).glob(pattern)))
        modules = [name for path in found if (name := path.relative_to(self.root).as_posix()) not in kept]
        done = subprocess.run(
            [sys.executable, "-c", _COMPILE, *modules],
            cwd=self._scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return None if done.returncode == 0 else f"mypyc could not compile the traffic path:\n{done.stdout[-4000:]}"
