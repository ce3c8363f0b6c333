#!/usr/bin/env bash
# mpich 5.0.2 (wheel) with mpi4py 4.1.2: a rank that is killed leaves the job's shared memory in /dev/shm.
# The guess: mpiexec ends the other ranks and cleans up, as it does after MPI_Abort.
# Seen: one file /dev/shm/mpich_shm_* stays for each such job, about 2 MB, until the machine is restarted.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "mpich==5.0.2" "mpi4py==4.1.2"
cat > "$folder/job.py" <<'PY'
import os, signal
from mpi4py import MPI

with open("/proc/self/maps") as maps:
    print({word for word in maps.read().split() if word.startswith("/dev/shm/mpich_shm")}, flush=True)
MPI.COMM_WORLD.Barrier()
if MPI.COMM_WORLD.rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
MPI.COMM_WORLD.Barrier()
PY
"$folder/venv/bin/mpiexec" -n 2 "$folder/venv/bin/python" "$folder/job.py" > "$folder/said" 2>&1 || true
segment=$(grep -o '/dev/shm/mpich_shm[^'"'"' ]*' "$folder/said" | head -1)
ls -l "$segment"  # still there
rm "$segment"
