"""Weights by their name on the Hugging Face hub, where there is internet."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mnv1.base.packages import require
from mnv1.net.errors import PretrainedError
from mnv1.net.weights.folders import CONFIG, WEIGHTS


def download(name: str) -> Path:
    """The file of weights of a model on the hub, with its `config.json` beside it where there is one.

    Both come from the local cache where they are there already. `OWNER/NAME` is a repository; a name alone is one of
    timm's, such as `mobilenetv1_100.ra4_e3600_r224_in1k`. Raises `PretrainedError` when there is no such model or no
    internet, `mnv1.base.packages.MissingPackageError` without the hub's package.
    """
    hub, errors = require("huggingface_hub", "pretrained"), require("huggingface_hub.errors", "pretrained")
    repository = name if "/" in name else f"timm/{name}"
    for file in WEIGHTS:
        try:
            path = Path(hub.hf_hub_download(repository, file))
            with contextlib.suppress(errors.EntryNotFoundError):
                hub.hf_hub_download(repository, CONFIG)
            return path
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError):
            raise PretrainedError(
                f"{name}: no such file, and the hub cannot be reached to look for {repository}: give a local file"
            ) from None
        except errors.EntryNotFoundError:
            continue
        except (errors.RepositoryNotFoundError, errors.HFValidationError):
            raise PretrainedError(f"{name}: no such file, and no public model {repository} on the hub") from None
        except (errors.HfHubHTTPError, OSError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise PretrainedError(f"{name}: the hub did not give it: {first}") from None
    raise PretrainedError(f"{name}: the hub's {repository} has none of {', '.join(WEIGHTS)}")
