"""``python -m tools.build_site``: docs/ as a site in build/site, without a warning and without a broken link."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tools.check_site import faults
from tools.stage_site import ROOT, stage

SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"


def main() -> int:
    """Exit status: 0 the site stands and every link holds; 1 otherwise, and each fault is said."""
    stage(SOURCE)
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [zensical, "build", "--strict", "--clean"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # Only Zensical's own warnings are under --strict, not those of mkdocstrings about a docstring.
    if done.returncode or re.search("griffe|warning|error", done.stdout, re.IGNORECASE):
        print(done.stdout.partition("Traceback")[0])
        return 1
    found = faults(SITE)
    print("\n".join(found) or f"{SITE.relative_to(ROOT)}: {len(list(SITE.rglob('*.html')))} pages; open index.html")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
