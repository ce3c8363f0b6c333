#!/usr/bin/env bash
# tensorboardX 2.6.5: event files are named by host and second, so a second writer that is opened in the
# same folder within the same second replaces the file of the first, closed though it is.
# The guess: each writer makes a file of its own, as two runs a second apart do.
# Seen: one file, which holds what the second wrote alone.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tensorboardX==2.6.5" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import tempfile
import time
from pathlib import Path

import tensorboardX

print("tensorboardX", tensorboardX.__version__)
folder = Path(tempfile.mkdtemp())
while time.time() % 1 > 0.2:  # both within a second
    time.sleep(0.01)
for name in ("first", "second"):
    with tensorboardX.SummaryWriter(str(folder)) as writer:
        writer.add_scalar(name, 1.0, 0)
files = list(folder.iterdir())
found = b"".join(file.read_bytes() for file in files)
print(len(files), "file; first:", b"first" in found, "second:", b"second" in found)
assert len(files) == 1 and b"first" not in found and b"second" in found
PY
