"""A worker that misbehaves in the way that the first line of the `fault` file in its root says."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

descriptor, _ = sys.argv[1:]
root = fault = ""
with socket.socket(fileno=int(descriptor)).makefile("rw") as lines:
    for line in lines:
        request = json.loads(line)
        if request["do"] == "load":
            root = request["root"]
            fault = (Path(root) / "fault").read_text()
            cases = [{"id": "x", "parameters": {}, "tolerance": 1e-4}]
            answer = {"error": "ImportError: no"} if fault == "unloadable" else {"cases": cases}
            lines.write(json.dumps(answer) + "\n")
        elif request["do"] == "prove":
            files = {"mine": [f"{root}/mine.py", "0"]}
            if fault == "elsewhere":
                files["mine"] = ["/usr/lib/mine.py", "0"]
            facts = {"python": "p", "torch": str(time.time()) if fault == "fickle" else "1"}
            lines.write(json.dumps({"files": files if fault != "nothing" else {}, "facts": facts}) + "\n")
        elif fault == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif fault == "exits":
            print("a library says: goodbye", file=sys.stderr)
            sys.exit(3)
        elif fault == "hangs":
            time.sleep(60)
        elif fault == "garbage":
            lines.write("Segmentation fault\n")
        elif fault == "list":
            lines.write("[1, 2]\n")
        elif fault == "raises":
            lines.write(json.dumps({"error": "RuntimeError: no kernel"}) + "\n")
        else:
            lines.write(json.dumps({"pid": os.getpid(), "seed": os.environ["PYTHONHASHSEED"]}) + "\n")
        lines.flush()
