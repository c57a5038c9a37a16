"""A worker that misbehaves in the way that the first line of the `fault` file in its root says."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

descriptor, root, _ = sys.argv[1:]
fault = (Path(root) / "fault").read_text()
with socket.socket(fileno=int(descriptor)).makefile("rw") as lines:
    for line in lines:
        request = json.loads(line)
        if request["do"] == "prove":
            files = {f"mnv1.{name}": [f"{root}/mnv1/{name}.py", "0"] for name in ("blocks", "model")}
            if fault == "elsewhere":
                files["mnv1.model"] = ["/usr/lib/mnv1/model.py", "0"]
            answer = {
                "files": files if fault != "nothing" else {},
                "torch": str(time.time()) if fault == "fickle" else "1",
            }
            answer = {"error": "ImportError: no"} if fault == "unloadable" else answer
            lines.write(json.dumps(answer) + "\n")
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
