"""Commands from a process that has all libraries already: a fork starts in milliseconds, Python with torch in seconds.

The workflow's tests start hundreds of short jobs. `start` fills a folder for the front of PATH with an
`emberformer` and a `snakemake` that run in a fork of one such process: with the working folder, environment, arguments,
standard streams and exit status of the one who called. A killed caller does not end its fork: tests that kill use the
real commands.
"""

import os
import signal
import socket
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path

MODULES = (
    "snakemake.cli", "emberformer.cli", "emberformer.data.sources", "emberformer.features.extraction",
    "emberformer.finetuning", "emberformer.hindcast", "emberformer.logistic", "emberformer.evaluate.tables",
    "emberformer.interpretation", "emberformer.report", "emberformer.detection.training",
    "emberformer.ensemble.training", "emberformer.foresight",
)  # fmt: skip
CALLER = """#!{python} -IS
import os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
words = [os.path.abspath(__file__), os.getcwd(), str(len(sys.argv) - 1), *sys.argv[1:]]
words += [name + "=" + value for name, value in os.environ.items()]
told = os.fsencode("\\0".join(words))
socket.send_fds(server, [len(told).to_bytes(4, "big")], [0, 1, 2])
server.sendall(told)
fork = int(server.recv(16))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(fork, number))
status = server.recv(16)
sys.exit(int(status) if status else 128 + signal.SIGKILL)
"""
# Jobs of a cluster, and rules with Python in them, are run by `python -m snakemake`.
PYTHON = """#!/bin/sh
[ "$1 $2" = "-m snakemake" ] || exec {python} "$@"
shift 2
exec "$(dirname "$0")/snakemake" "$@"
"""


def start(folder: Path, ends_with: int) -> None:
    """Write the commands into a folder, and start the process that answers them while process `ends_with` lives."""
    folder.mkdir(exist_ok=True)
    for name in ("emberformer", "snakemake"):
        (folder / name).write_text(CALLER.format(python=sys.executable, address=str(folder / "socket")))
    (folder / "python").write_text(PYTHON.format(python=sys.executable))
    for name in ("emberformer", "snakemake", "python"):
        (folder / name).chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, folder / "socket", str(ends_with)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"


def serve(address: str, ends_with: int) -> None:
    """Fork for each caller."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command does before it imports torch
    for module in MODULES:
        import_module(module)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    listening.settimeout(1)
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while Path(f"/proc/{ends_with}").exists():
        try:
            caller, _ = listening.accept()
        except TimeoutError:
            continue
        if not os.fork():
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer(caller)
        caller.close()


def answer(caller: socket.socket) -> None:
    """Run what a caller asks for, tell it the status, and end."""
    length, streams, _, _ = socket.recv_fds(caller, 4, 3)
    told = b""
    while len(told) < int.from_bytes(length, "big"):
        told += caller.recv(1 << 16)
    called, folder, count, *words = os.fsdecode(told).split("\0")
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({name: value for name, _, value in (word.partition("=") for word in words[int(count) :])})
    sys.argv = [called, *words[: int(count)]]
    sys.executable = str(Path(called).with_name("python"))  # rules call the `emberformer` beside it
    caller.sendall(str(os.getpid()).encode().ljust(16))
    status = 1
    try:
        run(Path(called).name)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        caller.sendall(str(status).encode().ljust(16))
        os._exit(status)


def run(program: str) -> None:
    """The entry point of a command."""
    if program == "snakemake":
        from snakemake.cli import main
    else:
        from emberformer.cli import main
    main()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
