#!/bin/sh
# try_wheel.sh VENV: what a user does first with an installed wheel, in an empty folder, with nothing
# on the PATH but that environment: neither a compiler nor the source tree.
set -eu
venv=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
alone() { env -i PATH="$venv/bin" HOME="$work" "$@"; }

alone tensorlite env >env.txt
cat env.txt
case $(cat env.txt) in *"from the package"*) ;; *) echo "no prebuilt kernels" >&2; exit 1 ;; esac
alone tensorlite train --epochs 2 --out run 2>errors.txt
cat errors.txt
test ! -s errors.txt
alone tensorlite evaluate run >/dev/null
alone tensorlite warmup
test ! -e .cache/tensorlite/kernels
alone python -c "
import tensorlite as tl
x = tl.rand(64, 64, requires_grad=True)
(x @ x).sum().backward()
print(tl.__version__, 'gradient', float(x.grad.norm()))
"
echo "1 passed, 0 failed"
